"""A tagger that learns from labels: what they change, what they leave, and what of it outlives the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fewtag import Product, Tagger, Taxonomy, ladder
from fewtag.core import Label
from fewtag.errors import FewtagError, LabelError, ModelError
from fewtag.labelling import add_labels, take_back
from fewtag.ladder import Ladder
from fewtag.models.few_shot import rung
from fewtag.store import Ledger
from fewtag.taxonomy_file import ModelSettings
from fewtag.workspace import Workspace

PATHS = ["饮料 > 茶叶", "饮料 > 咖啡", "日用 > 香皂", "日用 > 毛巾"]
TEXTS = ["西湖绿茶 茶叶", "咖啡豆 深烘", "香皂 三块装", "纯棉毛巾", "红茶 茶叶 50包", "速溶咖啡", "毛巾 两条", "洁白香皂"]
TEA, COFFEE, SOAP, TOWEL = "饮料/茶叶", "饮料/咖啡", "日用/香皂", "日用/毛巾"
ODD = ["铁观音 礼盒", "大红袍 礼盒", "拿铁 挂耳", "卡布奇诺 挂耳"]
"""Teas and coffees whose names say nothing of the kind."""


def shop(workspace: Path | None = None, **settings: float) -> Tagger:
    return Tagger(Taxonomy.from_paths(PATHS, language="zh"), workspace=workspace, **settings)  # type: ignore[arg-type]


def best(tagger: Tagger, texts: list[str]) -> list[str]:
    return [tagger.classes_[column] for column in tagger.predict_proba(texts).argmax(axis=1)]


def test_labels_teach_what_names_do_not_say() -> None:
    tagger = shop()
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, "饮料 > 咖啡", "咖啡"])
    assert best(tagger, ["碧螺春 礼盒", "摩卡 挂耳"]) == [TEA, COFFEE]
    assert tagger.training is not None
    assert (tagger.training.labels, tagger.training.warm, tagger.training.tuned) == (4, 2, False)
    assert tagger.training.sureness == 1


def test_categories_without_labels_stay_reachable_and_on_their_rung() -> None:
    tagger = shop()
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    assert best(tagger, ["柠檬香皂", "浴室毛巾"]) == [SOAP, TOWEL]
    stages = {tag.alternatives[0][0]: tag.stage for tag in tagger.predict([*TEXTS, *ODD])}
    assert stages == {TEA: "few-shot", COFFEE: "few-shot", SOAP: "zero-shot", TOWEL: "zero-shot"}


def test_what_a_person_says_of_a_product_is_its_tag_and_of_no_other() -> None:
    tagger = shop()
    products = [Product(f"P{number}", text) for number, text in enumerate(TEXTS)]
    tagger.fit(products, [SOAP, *[None] * 7])  # green tea, called soap
    assert tagger.predict(products)[0].category == SOAP
    assert tagger.predict(products)[0].confidence > 0.99
    other = tagger.predict([Product("P0", TEXTS[4])])[0]
    assert other.alternatives[0][0] == TEA, "the same id with another text is another product"


def test_a_negative_label_keeps_its_product_from_a_whole_branch(tmp_path: Path) -> None:
    tagger = shop(tmp_path)
    products = [Product(f"P{number}", text) for number, text in enumerate(TEXTS)]
    tagger.bootstrap(products)
    assert tagger.predict(products[:1])[0].alternatives[0][0] == TEA
    denied = Label("P0", "饮料", "ann", negative=True)
    add_labels(tagger.workspace, tagger.taxonomy, [(denied, TEXTS[0]), (Label("P1", COFFEE, "ann"), TEXTS[1])])
    tagger.train(products)
    row = tagger.predict_proba(products[:1])[0]
    assert row[:2].max() < 1e-6
    assert row.sum() == pytest.approx(1, abs=1e-5)


def test_texts_are_known_by_what_they_say_and_not_by_their_place() -> None:
    tagger = shop()
    tagger.fit([ODD[0]], [TEA])
    tagger.fit([ODD[2]], [COFFEE])
    assert tagger.training
    assert tagger.training.labels == 2
    assert [tag.category for tag in tagger.predict([ODD[2], ODD[0]])] == [COFFEE, TEA]
    assert min(tag.confidence for tag in tagger.predict([ODD[2], ODD[0]])) > 0.99


@pytest.mark.parametrize("given", [[TEA], [None, COFFEE], [TEA, COFFEE]])
def test_a_label_or_two_take_nothing_away_from_the_other_categories(given: list[str | None]) -> None:
    tagger = shop()
    tagger.bootstrap(TEXTS)
    before = best(tagger, TEXTS)
    tagger.fit(TEXTS, given + [None] * (8 - len(given)), tune=False)
    assert best(tagger, TEXTS) == before == [TEA, COFFEE, SOAP, TOWEL, TEA, COFFEE, TOWEL, SOAP]


def test_labels_that_are_taken_back_are_unlearnt(tmp_path: Path) -> None:
    products = [Product(f"P{number}", text) for number, text in enumerate([*TEXTS, *ODD])]
    tagger = shop(tmp_path)
    tagger.bootstrap(products)
    before = tagger.predict_proba(products)
    add_labels(tagger.workspace, tagger.taxonomy, [(Label("P8", TEA, "ann"), ODD[0])])
    tagger.train(products)
    take_back(tagger.workspace, "P8", "ann")
    outcome = tagger.train(products)
    assert not outcome.unchanged
    assert tagger.training is None
    assert np.array_equal(tagger.predict_proba(products), before)
    assert shop(tmp_path).bootstrap(products).unchanged
    with pytest.raises(ModelError, match="there are no labels to learn from"):
        tagger.train(products)


def test_a_tagger_that_was_saved_adds_to_what_it_knows(tmp_path: Path) -> None:
    shop().fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE]).save(tmp_path / "saved")
    loaded = Tagger.load(tmp_path / "saved")
    loaded.predict(TEXTS)
    loaded.fit(["浴巾 礼品"], [TOWEL], tune=False)
    assert loaded.training
    assert (loaded.training.labels, loaded.training.warm) == (5, 3)
    assert best(loaded, ["碧螺春 礼盒"]) == [TEA]


def test_the_text_that_was_labelled_outlives_what_the_catalogue_says_now(tmp_path: Path) -> None:
    tagger = shop(tmp_path)
    add_labels(
        Workspace.create(tmp_path),
        tagger.taxonomy,
        [(Label(str(n), category, "ann"), ODD[n]) for n, category in enumerate([TEA, TEA, COFFEE, COFFEE])],
    )
    shifted = [Product(str(number), text) for number, text in enumerate([ODD[2], ODD[3], ODD[0], ODD[1], *TEXTS])]
    tagger.train(shifted)
    assert best(tagger, ["碧螺春 礼盒", "摩卡 挂耳"]) == [TEA, COFFEE]


@pytest.mark.parametrize("module", ["pandas", "polars"])
def test_a_frame_keeps_its_ids_and_may_lack_labels(module: str, tmp_path: Path) -> None:
    library = pytest.importorskip(module)
    frame = library.DataFrame({"sku": ["A", "B", "C"], "title": ODD[:3]})
    tagger = shop(tmp_path)
    tagger.fit(frame, [TEA, float("nan"), COFFEE])  # type: ignore[list-item]
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert [(row.label.product_id, row.label.category) for row in ledger.label_rows()] == [("A", TEA), ("C", COFFEE)]


def test_a_label_of_a_category_that_is_gone_does_not_outvote_one_that_is_there(tmp_path: Path) -> None:
    wide = Taxonomy.from_paths([*PATHS, "日用 > 牙膏"], language="zh")
    said = [(Label("P8", TEA, "ann"), ODD[0]), (Label("P8", "日用/牙膏", "bob"), ODD[0]), (Label("P10", COFFEE, "ann"), ODD[2])]
    add_labels(Workspace.create(tmp_path), wide, said)
    tagger = shop(tmp_path)
    tagger.train([Product(f"P{number}", text) for number, text in enumerate([*TEXTS, *ODD])])
    assert tagger.training
    assert tagger.training.labels == 2


def test_labels_add_up_over_calls_and_processes(tmp_path: Path) -> None:
    shop(tmp_path).fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, None, None])
    again = shop(tmp_path)
    again.fit([*TEXTS, *ODD], [None] * 10 + [COFFEE, COFFEE])
    assert again.training
    assert (again.training.labels, again.training.warm) == (4, 2)


def test_a_training_is_not_done_twice_and_what_it_says_is_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    train = Ladder.train

    def counted(self: Ladder, *arguments: object) -> object:
        trained.append(1)
        return train(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Ladder, "train", counted)
    products = [Product(f"P{number}", text) for number, text in enumerate([*TEXTS, *ODD])]
    shop(tmp_path).bootstrap(products)
    add_labels(shop(tmp_path).workspace, shop().taxonomy, [(Label("P8", TEA, "ann"), ODD[0]), (Label("P10", COFFEE, "ann"), ODD[2])])
    first = shop(tmp_path).train(products)
    assert not first.unchanged
    assert shop(tmp_path).train(products).unchanged
    assert shop(tmp_path).bootstrap(products).unchanged, "the catalogue is tagged with all that is known"
    assert trained == [1]
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        latest = {each.tag.product_id: each.tag for each in ledger.latest()}
    assert (latest["P8"].category, latest["P8"].stage) == (TEA, "few-shot")
    assert len(latest) == 12


def test_a_catalogue_that_changes_keeps_what_labels_have_taught(tmp_path: Path) -> None:
    shop(tmp_path).fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    later = shop(tmp_path)
    later.bootstrap([*TEXTS, *ODD, "碧螺春 礼盒"])
    assert best(later, ["碧螺春 礼盒"]) == [TEA]
    assert later.training


def test_another_taxonomy_forgets_what_labels_have_taught_of_the_old_one(tmp_path: Path) -> None:
    shop(tmp_path).fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    wider = Tagger(Taxonomy.from_paths([*PATHS, "日用 > 牙膏"], language="zh"), workspace=tmp_path)
    wider.bootstrap([*TEXTS, *ODD])
    assert wider.training is None
    wider.train([*TEXTS, *ODD])
    assert wider.training
    assert wider.training.labels == 4


def test_what_is_saved_and_loaded_says_the_same_bits(tmp_path: Path) -> None:
    tagger = shop()
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    tagger.save(tmp_path / "saved")
    loaded = Tagger.load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba([*TEXTS, *ODD]), tagger.predict_proba([*TEXTS, *ODD]))
    assert loaded.training == tagger.training


def test_the_same_labels_and_seed_give_the_same_bits() -> None:
    given = [None] * 8 + [TEA, TEA, COFFEE, COFFEE]
    one, other = (shop().fit([*TEXTS, *ODD], given).predict_proba(TEXTS) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.fixture
def tunable(tiny_encoder: Path) -> Callable[..., Tagger]:
    """Makes taggers whose encoder is small enough to be tuned in a second, and each of which stands for a process of its own."""
    settings = ModelSettings(preset="embedded", encoder=str(tiny_encoder))
    return lambda workspace=None: Tagger(Taxonomy.from_paths(PATHS, language="zh"), preset=settings, workspace=workspace)


FOUR = [None] * 8 + [TEA, TEA, COFFEE, COFFEE]
MORE = [None] * 2 + [SOAP, TOWEL] + [None] * 8


def test_quick_training_keeps_the_encoder_that_was_tuned_and_unchanged_is_unchanged(
    tunable: Callable[..., Tagger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tunable(tmp_path).fit([*TEXTS, *ODD], FOUR)
    monkeypatch.setattr(rung, "tune", None)  # whatever would be tuned from here on is an error
    quick = tunable(tmp_path).fit([*TEXTS, *ODD], MORE, tune=False)
    assert first.training
    assert quick.training
    assert (first.training.tuned, first.training.tuned_before) == (True, "")
    assert first.training.sureness == ladder.TUNED_SURENESS, "too few labels to keep any back"
    assert (quick.training.tuned, quick.training.labels, quick.training.warm) == (True, 6, 4)
    assert quick.training.tuned_before
    assert best(quick, ["香皂 三块装", "纯棉毛巾"]) == [SOAP, TOWEL]
    monkeypatch.setattr(Ladder, "train", None)
    again = tunable(tmp_path).fit([*TEXTS, *ODD], MORE, tune=False)
    assert np.array_equal(again.predict_proba(TEXTS), quick.predict_proba(TEXTS))


@pytest.mark.slow
def test_a_tuned_history_can_be_repeated_to_the_bit_and_what_was_taken_back_leaves_no_trace(
    tunable: Callable[..., Tagger], tmp_path: Path
) -> None:
    def history(workspace: Path) -> list[Tagger]:
        calls = [(FOUR, True), (MORE, False), (MORE, True), (MORE, True)]
        return [tunable(workspace).fit([*TEXTS, *ODD], given, tune=tune) for given, tune in calls]

    one, other = history(tmp_path / "one"), history(tmp_path / "other")
    for mine, theirs in zip(one, other, strict=True):
        assert np.array_equal(mine.predict_proba(TEXTS), theirs.predict_proba(TEXTS))
    said = [tagger.training for tagger in one]
    assert all(said)
    tuned_before = [training.tuned_before for training in said if training]
    assert tuned_before[0] == ""
    assert tuned_before[1] == tuned_before[2] == tuned_before[3] != "", "kept, gone on from, and done once"
    record = one[2]._ladder._few_shot.tuned.record  # type: ignore[union-attr]
    assert record.started_from.endswith(tuned_before[1])
    with Ledger.open(tmp_path / "one" / "fewtag.db") as ledger:
        soap = next(row.label for row in ledger.label_rows() if row.label.category == SOAP)
    take_back(one[3].workspace, soap.product_id, "python")
    fewer = [None] * 3 + [TOWEL] + [None] * 8
    back = tunable(tmp_path / "one").fit([*TEXTS, *ODD], fewer)
    assert back.training
    assert (back.training.labels, back.training.tuned_before) == (5, "")
    tunable(tmp_path / "afresh").fit([*TEXTS, *ODD], FOUR, tune=False)
    afresh = tunable(tmp_path / "afresh").fit([*TEXTS, *ODD], fewer)
    assert np.array_equal(back.predict_proba(TEXTS), afresh.predict_proba(TEXTS))


def test_a_large_catalogue_tells_how_frequent_each_category_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two labels each; of 300 products without a label, nine of ten are soaps: what may be either is taken for soap."""
    pile = [f"礼盒 香皂 {number}" for number in range(270)] + [f"礼盒 茶叶 {number}" for number in range(30)]
    given = [f"礼盒 {kind} {copy}" for kind in ("茶叶", "咖啡", "香皂", "毛巾") for copy in "甲乙"]
    labels = [TEA, TEA, COFFEE, COFFEE, SOAP, SOAP, TOWEL, TOWEL]
    odds = []
    for belief in (0.0, ladder.COUNT_BELIEF):
        monkeypatch.setattr(ladder, "COUNT_BELIEF", belief)
        row = shop().fit([*given, *pile], labels + [None] * len(pile)).predict_proba(["礼盒"])[0]
        odds.append(row[2] / row[0])
    assert odds[1] > 2 * odds[0]


PILE = [
    f"{kind} {size} 第{number}款"
    for number in range(10)
    for kind in ("绿茶 茶叶 龙井", "咖啡豆 深烘", "香皂 橄榄", "毛巾 纯棉")
    for size in ("大", "小")
]
KINDS = [category for _ in range(10) for category in (TEA, COFFEE, SOAP, TOWEL) for _ in range(2)]


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Tagger, list[Product]]:
    """A bootstrapped shop of eighty products, every second of which is labelled, and what is for sale."""
    tagger = shop(tmp_path)
    products = [Product(f"P{number}", text) for number, text in enumerate(PILE)]
    tagger.bootstrap(products)
    said = [(Label(f"P{number}", KINDS[number], "ann"), PILE[number]) for number in range(0, 80, 2)]
    add_labels(tagger.workspace, tagger.taxonomy, said)
    return tagger, products


def test_propagated_tags_name_the_labels_that_they_come_from_and_can_be_taken_back(
    labelled: tuple[Tagger, list[Product]], tmp_path: Path
) -> None:
    tagger, products = labelled
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        before = {each.tag.product_id: each.tag for each in ledger.latest()}
    tags = tagger.propagate(products)
    assert len(tags) > 20
    for tag in tags:
        number = int(tag.product_id[1:])
        assert (tag.stage, tag.category, number % 2) == ("neighbours", KINDS[number], 1)
        assert tag.sources
        assert all(KINDS[int(source[1:])] == tag.category and int(source[1:]) % 2 == 0 for source, _ in tag.sources)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        latest = {each.tag.product_id: each.tag for each in ledger.latest()}
    assert {latest[tag.product_id].stage for tag in tags} == {"neighbours"}
    assert latest[tags[0].product_id].sources[0][0] == tags[0].sources[0][0]
    assert tagger.take_back(tagger.last_run()) == len(tags)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert {each.tag.product_id: each.tag for each in ledger.latest()} == before
    with pytest.raises(FewtagError, match="there is nothing of run 3 to take back"):
        tagger.take_back(3)


def test_two_propagations_can_both_be_taken_back(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        before = {each.tag.product_id: each.tag for each in ledger.latest()}
    tagger.propagate(products, precision=0.9)
    first = tagger.last_run()
    tagger.propagate(products, precision=0.5)
    tagger.take_back(tagger.last_run())
    tagger.take_back(first)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert {each.tag.product_id: each.tag for each in ledger.latest()} == before


def test_a_dry_run_changes_nothing(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    run = tagger.last_run()
    dry = tagger.propagate(products, dry_run=True)
    assert tagger.last_run() == run
    assert tagger.propagate(products) == dry


def test_nothing_is_spread_to_a_product_that_is_labelled_not_to_be_so(labelled: tuple[Tagger, list[Product]]) -> None:
    tagger, products = labelled
    denied = tagger.propagate(products, dry_run=True)[0]
    text = PILE[int(denied.product_id[1:])]
    add_labels(tagger.workspace, tagger.taxonomy, [(Label(denied.product_id, str(denied.category), "bob", negative=True), text)])
    again = {tag.product_id: tag.category for tag in tagger.propagate(products, dry_run=True)}
    assert again.get(denied.product_id) != denied.category


def test_without_a_label_there_is_nothing_to_spread(tmp_path: Path) -> None:
    tagger = shop(tmp_path)
    tagger.bootstrap(TEXTS)
    with pytest.raises(ModelError, match="there are no labels to spread"):
        tagger.propagate(TEXTS)


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        ([TEA], FewtagError, "there are 8 products and 1 labels -> give one label per product, or None"),
        (["饮料", *[None] * 7], LabelError, "no product belongs to '饮料' itself -> write one of its children: 饮料/茶叶, 饮料/咖啡"),
        (["茶", *[None] * 7], FewtagError, "there is no category '茶' -> did you mean '饮料/茶叶'?"),
        (
            [None] * 8,
            ModelError,
            "there are no labels to learn from -> say what some products are: `fewtag label import FILE`, or labels other than None",
        ),
    ],
)
def test_labels_that_cannot_be_are_told(labels: list[str | None], error: type[FewtagError], said: str) -> None:
    with pytest.raises(error) as told:
        shop().fit(TEXTS, labels)
    assert str(told.value) == said
