"""Which labels are suspected: against confident learning by brute force, in batches, and where a tagger has learnt a wrong label.

The trap: a model that has seen a label agrees with it, so a test without a wrong label among those learnt would prove nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewtag import Tagger, Taxonomy
from fewtag.core import Product
from fewtag.label_errors import Opinions, self_confidence, suspects
from fewtag.ladder import Ladder

SHOP = Taxonomy.from_paths(["饮料 > 茶", "饮料 > 咖啡", "日用 > 肥皂"], language="zh")
TEA, COFFEE, SOAP = SHOP.classes
TITLES = {
    TEA: ["西湖绿茶", "云南红茶", "茉莉花茶", "乌龙茶 茶叶", "普洱茶 茶饼", "绿茶 茶包"],
    COFFEE: ["速溶咖啡", "咖啡豆 深烘", "拿铁咖啡", "黑咖啡 咖啡粉", "挂耳咖啡", "咖啡 胶囊"],
    SOAP: ["香皂", "肥皂 洗衣", "硫磺皂", "手工皂 香皂", "肥皂 透明", "儿童香皂"],
}
PLANTED = "挂耳咖啡"


def drawn(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities by lot, (n, classes), and labels that mostly follow them."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes, 0.5), n).astype(np.float32)
    given = np.where(rng.random(n) < 0.8, shares.argmax(axis=1), rng.integers(classes, size=n))
    return shares, given


@pytest.mark.parametrize("seed", range(5))
def test_how_many_are_suspected_is_what_the_confident_joint_counts(seed: int) -> None:
    """Northcutt et al. 2021, equation 1, label by label."""
    shares, given = drawn(60, 4, seed)
    usual = [shares[given == each, each].mean() if (given == each).sum() > 1 else shares[range(60), given].mean() for each in range(4)]
    count = 0
    for row, label in enumerate(given):
        held = [each for each in range(4) if shares[row, each] >= usual[each]]
        count += bool(held) and max(held, key=lambda each: shares[row, each]) != label and max(shares[row, held]) > shares[row, label]
    found = suspects(Opinions.of(shares, given), 4)
    assert len(found) == count > 0
    assert self_confidence(Opinions.of(shares, given), 4) == pytest.approx(usual)


def test_a_suspect_names_the_likeliest_other_class_and_the_least_usual_stands_first() -> None:
    shares = np.float32([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.3, 0.7, 0], [0.8, 0, 0.2], [0, 0.6, 0.4]])
    found = suspects(Opinions.of(shares, np.array([0, 0, 0, 2, 2])), 3)
    # Usual of class 0: (.9 + .9 + .3) / 3 = .7, of class 2: (.2 + .4) / 2 = .3, of class 1, without labels: .54.
    # .3 / .7 < .2 / .3 < .4 / .3, though the margin of the second, .6, is the widest.
    assert [(each.row, each.likelier) for each in found] == [(2, 1), (3, 0), (4, 1)]
    assert (found[0].own, found[0].share) == (pytest.approx(0.3), pytest.approx(0.7))


def test_a_label_that_everything_agrees_with_is_not_suspected() -> None:
    assert suspects(Opinions.of(np.float32([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])), 2) == []


def test_the_likeliest_few_of_many_classes_come_to_the_same() -> None:
    shares, given = drawn(200, 30, 0)
    every, few = (suspects(Opinions.of(shares, given, top), 30) for top in (30, 20))
    assert [each.row for each in few] == [each.row for each in every]


def test_batches_are_put_together_as_they_came() -> None:
    shares, given = drawn(20, 5, 0)
    whole, parts = Opinions.of(shares, given, 3), [Opinions.of(shares[some], given[some], 3) for some in (slice(7), slice(7, 20))]
    joined = Opinions.joined(parts)
    assert all((getattr(whole, name) == getattr(joined, name)).all() for name in ("given", "own", "classes", "shares"))
    assert whole.agreed == (shares.argmax(axis=1) == given).mean()


@pytest.fixture
def mislabelled(tmp_path: Path) -> Tagger:
    """A tagger that was taught every product's category, but of one coffee that it is soap."""
    tagger = Tagger(SHOP, workspace=tmp_path / ".fewtag")
    texts = [text for each in TITLES.values() for text in each]
    tagger.bootstrap(texts)
    labels = [SOAP if text == PLANTED else category for category, each in TITLES.items() for text in each]
    return tagger.fit(texts, labels, tune=False)


def test_a_wrong_label_is_found_by_what_has_not_learnt_it(mislabelled: Tagger) -> None:
    opinion = mislabelled.second_opinion()
    assert opinion.stage == "few-shot"
    assert opinion.opinions is not None
    found = suspects(opinion.opinions, len(SHOP.classes))
    label, text = opinion.labels[found[0].row]
    assert (text, label.category, SHOP.classes[found[0].likelier]) == (PLANTED, SOAP, COFFEE)


def test_labels_too_many_to_be_held_out_are_judged_by_the_zero_shot_rung(mislabelled: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtag.ladder.HEAD_CELLS", 10)
    monkeypatch.setattr("fewtag.ladder.CELLS_PER_BATCH", 2 * len(SHOP.classes))  # nine batches of two
    opinion = mislabelled.second_opinion()
    assert (opinion.stage, len(opinion.labels)) == ("zero-shot", 18)
    assert opinion.opinions is not None
    ladder = mislabelled._ladder
    assert isinstance(ladder, Ladder)
    place = [text for _, text in opinion.labels].index(PLANTED)
    said = ladder._zero_shot.predict_proba([Product("", PLANTED)])[0]
    assert opinion.opinions.own[place] == pytest.approx(said[SHOP.index[SOAP]], abs=1e-6)


def test_labels_too_few_to_be_held_out_are_judged_by_the_zero_shot_rung(tmp_path: Path) -> None:
    tagger = Tagger(SHOP, workspace=tmp_path / ".fewtag")
    tagger.bootstrap([text for each in TITLES.values() for text in each])
    opinion = tagger.fit([PLANTED], [SOAP], tune=False).second_opinion()
    assert (opinion.stage, [text for _, text in opinion.labels]) == ("zero-shot", [PLANTED])
    assert opinion.opinions is not None
    assert [SHOP.classes[each.likelier] for each in suspects(opinion.opinions, len(SHOP.classes))] == [COFFEE]


def test_without_labels_there_is_no_opinion(tmp_path: Path) -> None:
    tagger = Tagger(SHOP, workspace=tmp_path / ".fewtag")
    tagger.bootstrap(["西湖绿茶"])
    opinion = tagger.second_opinion()
    assert (opinion.labels, opinion.opinions) == ([], None)
