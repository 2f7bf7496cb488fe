"""A tagger that learns from labels: what they change, what they leave, and what of it outlives the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fewtag import ModelSettings, Product, Tagger, Taxonomy, ladder, upper
from fewtag.core import Label, Tag
from fewtag.course import Course
from fewtag.decide import decide
from fewtag.errors import FewtagError, LabelError, ModelError
from fewtag.labelling import add_labels, take_back
from fewtag.labels import category_of
from fewtag.ladder import Ladder
from fewtag.models.few_shot import rung
from fewtag.models.fine_tune.settings import TrainSettings
from fewtag.propagation import Propagation
from fewtag.store import Ledger, ModelIdentity
from fewtag.workspace import Workspace

PATHS = ["饮料 > 茶叶", "饮料 > 咖啡", "日用 > 香皂", "日用 > 毛巾"]
TEXTS = ["西湖绿茶 茶叶", "咖啡豆 深烘", "香皂 三块装", "纯棉毛巾", "红茶 茶叶 50包", "速溶咖啡", "毛巾 两条", "洁白香皂"]
TEA, COFFEE, SOAP, TOWEL = "饮料/茶叶", "饮料/咖啡", "日用/香皂", "日用/毛巾"
ODD = ["铁观音 礼盒", "大红袍 礼盒", "拿铁 挂耳", "卡布奇诺 挂耳"]
"""Teas and coffees whose names say nothing of the kind."""


def shop(workspace: Path | None = None, **settings: float) -> Tagger:
    return Tagger(Taxonomy.from_paths(PATHS, language="zh"), workspace=workspace, **settings)  # type: ignore[arg-type]


def last_run(tagger: Tagger) -> int:
    with Ledger.open(tagger.workspace.ledger) as ledger:
        run = ledger.last_run()
        return run.id if run else 0


def best(tagger: Tagger, texts: list[str]) -> list[str]:
    return [tagger.classes_[column] for column in tagger.predict_proba(texts).argmax(axis=1)]


def test_labels_teach_what_names_do_not_say() -> None:
    tagger = shop()
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, "饮料 > 咖啡", "咖啡"])
    assert best(tagger, ["碧螺春 礼盒", "摩卡 挂耳"]) == [TEA, COFFEE]
    assert tagger.training is not None
    assert (tagger.training.labels, tagger.training.warm, tagger.training.steps[0].record["tuned"]) == (4, 2, None)
    assert tagger.training.sureness == 1


def test_categories_without_labels_stay_reachable_and_on_their_rung() -> None:
    tagger = shop()
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    assert best(tagger, ["柠檬香皂", "浴室毛巾"]) == [SOAP, TOWEL]
    stages = {tag.alternatives[0][0]: tag.stage for tag in tagger.predict(TEXTS)}
    assert stages == {TEA: "few-shot", COFFEE: "few-shot", SOAP: "zero-shot", TOWEL: "zero-shot"}


def test_what_a_person_says_of_a_product_is_its_tag_and_of_no_other() -> None:
    tagger = shop()
    products = [Product(f"P{number}", text) for number, text in enumerate(TEXTS)]
    tagger.fit(products, [SOAP, *[None] * 7])  # green tea, called soap
    assert tagger.predict(products)[0].category == SOAP
    assert tagger.predict(products)[0].confidence > 0.99
    assert [tag.stage == "label" for tag in tagger.predict(products)] == [True, *[False] * 7]
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
    assert (latest["P8"].category, latest["P8"].stage) == (TEA, "label")
    assert len(latest) == 12


def test_a_catalogue_that_changes_keeps_what_labels_have_taught(tmp_path: Path) -> None:
    shop(tmp_path).fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    later = shop(tmp_path)
    later.bootstrap([*TEXTS, *ODD, "碧螺春 礼盒"])
    assert best(later, ["碧螺春 礼盒"]) == [TEA]
    assert later.training


def test_in_another_taxonomy_a_bootstrap_learns_anew_what_labels_teach(tmp_path: Path) -> None:
    shop(tmp_path).fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    wider = Tagger(Taxonomy.from_paths([*PATHS, "日用 > 牙膏"], language="zh"), workspace=tmp_path)
    assert wider.bootstrap([*TEXTS, *ODD]).relearnt
    assert wider.training
    assert wider.training.labels == 4
    assert best(wider, ["碧螺春 礼盒"]) == [TEA]
    again = Tagger(Taxonomy.from_paths([*PATHS, "日用 > 牙膏"], language="zh"), workspace=tmp_path).bootstrap([*TEXTS, *ODD])
    assert (again.unchanged, again.relearnt) == (True, False)


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
def tunable(no_cards: None, tiny_encoder: Path) -> Callable[..., Tagger]:
    """Makes taggers whose encoder is small enough to be tuned in a second, and each of which stands for a process of its own."""
    settings = ModelSettings(preset="embedded", encoder=str(tiny_encoder))
    return lambda workspace=None: Tagger(Taxonomy.from_paths(PATHS, language="zh"), preset=settings, workspace=workspace)


FOUR = [None] * 8 + [TEA, TEA, COFFEE, COFFEE]
MORE = [None] * 2 + [SOAP, TOWEL] + [None] * 8


@pytest.mark.slow
def test_quick_training_keeps_the_encoder_that_was_tuned_and_unchanged_is_unchanged(
    tunable: Callable[..., Tagger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tunable(tmp_path).fit([*TEXTS, *ODD], FOUR, tune=True)
    monkeypatch.setattr(rung, "tune", None)  # whatever would be tuned from here on is an error
    quick = tunable(tmp_path).fit([*TEXTS, *ODD], MORE, tune=False)
    assert first.training
    assert quick.training
    assert first.training.steps[0].record["tuned"]
    assert first.training.sureness == upper.TUNED_SURENESS, "too few labels to keep any back"
    assert (first.training.tuned_before, quick.training.labels, quick.training.warm) == ("", 6, 4)
    assert quick.training.steps[0].record["tuned"] == first.training.steps[0].record["tuned"]
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
    assert one[2].training
    assert one[2].training.steps[0].record["tuned"]["started_from"].endswith(tuned_before[1])
    with Ledger.open(tmp_path / "one" / "fewtag.db") as ledger:
        soap = next(row.label for row in ledger.label_rows() if row.label.category == SOAP)
    take_back(one[3].workspace, soap.product_id, "python")
    fewer = [None] * 3 + [TOWEL] + [None] * 8
    back = tunable(tmp_path / "one").fit([*TEXTS, *ODD], fewer, tune=True)
    assert back.training
    assert (back.training.labels, back.training.tuned_before) == (5, "")
    tunable(tmp_path / "afresh").fit([*TEXTS, *ODD], FOUR, tune=False)
    afresh = tunable(tmp_path / "afresh").fit([*TEXTS, *ODD], fewer, tune=True)
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
    assert tagger.take_back(last_run(tagger)) == len(tags)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert {each.tag.product_id: each.tag for each in ledger.latest()} == before
    with pytest.raises(FewtagError, match="there is nothing of run 3 to take back"):
        tagger.take_back(3)


def test_two_propagations_can_both_be_taken_back(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        before = {each.tag.product_id: each.tag for each in ledger.latest()}
    tagger.propagate(products, precision=0.9)
    first = last_run(tagger)
    tagger.propagate(products, precision=0.5)
    tagger.take_back(last_run(tagger))
    tagger.take_back(first)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert {each.tag.product_id: each.tag for each in ledger.latest()} == before


def test_an_unchanged_propagation_writes_nothing_until_a_label_an_undo_or_a_training_comes_between(
    labelled: tuple[Tagger, list[Product]], tmp_path: Path
) -> None:
    tagger, products = labelled
    tags = tagger.propagate(products)
    first = tagger.propagation
    assert first == Propagation(run=last_run(tagger))
    assert [(tag.product_id, tag.category) for tag in tagger.propagate(products)] == [(tag.product_id, tag.category) for tag in tags]
    assert tagger.propagation == replace(first, unchanged=True)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert len(ledger.history(tags[0].product_id)) == 2
    tagger.take_back(first.run)
    assert tagger.propagate(products) == tags
    assert tagger.propagation == Propagation(run=first.run + 2)
    add_labels(tagger.workspace, tagger.taxonomy, [(Label("P1", KINDS[1], "ann"), PILE[1])])
    tagger.propagate(products)
    assert not tagger.propagation.unchanged
    tagger.train(products, tune=False)
    tagger.propagate(products)
    assert not tagger.propagation.unchanged


def test_what_a_trained_model_holds_more_surely_stays(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    would = tagger.propagate(products, dry_run=True)
    other = next(category for category in (TEA, COFFEE) if category != would[0].category)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        run = ledger.start_run("train", "by hand", tagger.taxonomy.version, 0, {})
        trained = [
            Tag(would[0].product_id, other, 0.999, "few-shot"),
            Tag(would[1].product_id, would[1].category, 0.999, "few-shot"),
            Tag(would[2].product_id, other, 0.5, "few-shot"),
            Tag(would[3].product_id, "drinks", 0.999, "few-shot"),
        ]
        rest = [Tag(product.id, None, 0.1, "zero-shot") for product in products if product.id not in {tag.product_id for tag in trained}]
        ledger.add_tags(run, ModelIdentity("by hand"), [*trained, *rest])
        ledger.finish_run(run)
    tags = tagger.propagate(products)
    assert [tag.product_id for tag in tags] == [tag.product_id for tag in would[2:]]
    assert tagger.propagation.left_alone == 2
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        assert ledger.history(would[0].product_id)[0].tag.stage == "few-shot"


def test_what_is_not_spread_again_gets_the_tag_back_that_it_had(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        before = {each.tag.product_id: each.tag for each in ledger.latest()}
    denied, *others = tagger.propagate(products)
    text = PILE[int(denied.product_id[1:])]
    add_labels(tagger.workspace, tagger.taxonomy, [(Label(denied.product_id, str(denied.category), "bob", negative=True), text)])
    again = tagger.propagate(products)
    assert {tag.product_id for tag in others} <= {tag.product_id for tag in again}
    assert denied.product_id not in {tag.product_id for tag in again}
    assert tagger.history(denied.product_id)[0].tag == before[denied.product_id]
    assert tagger.explain(products[int(denied.product_id[1:])]).tag.stage == "zero-shot"
    assert tagger.explain(products[int(again[0].product_id[1:])]).tag == tagger.history(again[0].product_id)[0].tag
    assert tagger.explain(text).tag.stage == "zero-shot", "a text alone is no product that anything was spread to"
    assert tagger.propagate(products) == [tagger.history(tag.product_id)[0].tag for tag in again], "unchanged, it says the same"
    assert tagger.propagation.unchanged
    assert tagger.take_back(last_run(tagger)) == len(again) + 1, "what was given back too"
    assert tagger.history(denied.product_id)[0].tag.category == denied.category


def test_a_label_that_came_after_what_was_spread_is_what_is_explained(labelled: tuple[Tagger, list[Product]]) -> None:
    tagger, products = labelled
    first, *_ = tagger.propagate(products)
    product = products[int(first.product_id[1:])]
    tagger.fit([product], [COFFEE], tune=False)  # the ledger's tag is still the one that was spread
    assert tagger.history(product.id)[0].tag.stage == "neighbours"
    assert (tagger.explain(product).tag.stage, tagger.explain(product).tag.category) == ("label", COFFEE)


def test_tags_are_decided_anew_where_one_more_can_decide_them(
    labelled: tuple[Tagger, list[Product]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger, products = labelled
    assert tagger.bootstrap(products).unchanged
    monkeypatch.setattr("fewtag.tagger.Stage", Literal["zero-shot", "few-shot"])
    assert not tagger.bootstrap(products).unchanged


def test_a_propagation_gives_nothing_back_beyond_its_catalogue(labelled: tuple[Tagger, list[Product]]) -> None:
    tagger, products = labelled
    first, *_ = tagger.propagate(products)
    others = [product for product in products if product.id != first.product_id]
    assert first.product_id not in {tag.product_id for tag in tagger.propagate(others)}
    assert tagger.propagation.given_back == 0
    assert tagger.history(first.product_id)[0].tag.stage == "neighbours"


def test_what_is_known_better_stays_however_often_labels_are_spread(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    first, *_ = tagger.propagate(products)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        run = ledger.start_run("train", "by hand", tagger.taxonomy.version, 0, {})
        ledger.add_tags(run, ModelIdentity("by hand"), [Tag(first.product_id, first.category, 0.9999, "few-shot")])
        ledger.finish_run(run)
        again = ledger.start_run("propagate", "by hand", tagger.taxonomy.version, 0, {})
        ledger.add_tags(again, ModelIdentity("by hand"), [first])
        ledger.finish_run(again)
    assert first.product_id not in {tag.product_id for tag in tagger.propagate(products)}
    assert (tagger.propagation.left_alone, tagger.propagation.given_back) == (1, 1)
    assert tagger.history(first.product_id)[0].tag.stage == "few-shot"


def test_a_dry_run_changes_nothing(labelled: tuple[Tagger, list[Product]], tmp_path: Path) -> None:
    tagger, products = labelled
    run = last_run(tagger)
    dry = tagger.propagate(products, dry_run=True)
    assert last_run(tagger) == run
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


CLASSIFIER_SHOP = ["Drinks > Tea", "Drinks > Coffee", "Home > Soap"]
WORDS = {"Tea": ["sencha", "assam", "oolong"], "Coffee": ["espresso", "mocha", "robusta"], "Soap": ["lather", "suds", "bar"]}
SMALL = TrainSettings(epochs=2, batch_size=16, held_out=0.3)


@pytest.fixture(scope="module")
def english(tiny_encoder: Path) -> ModelSettings:
    return ModelSettings(encoder=str(tiny_encoder), classifier=str(tiny_encoder))


def texts_and_labels(per_class: int = 15) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    texts: dict[str, str] = {}
    for name, words in WORDS.items():
        size = len(texts) + per_class
        while len(texts) < size:
            texts.setdefault(f"{rng.choice(words)} {rng.choice(words)} no {rng.integers(100)}", name)
    return list(texts), list(texts.values())


def classifying(models: ModelSettings, workspace: Path | None = None) -> Tagger:
    return Tagger(Taxonomy.from_paths(CLASSIFIER_SHOP), preset=models, workspace=workspace)


def test_a_fine_tune_stands_above_the_other_rungs_and_tells_of_its_run(english: ModelSettings, tmp_path: Path) -> None:
    texts, labels = texts_and_labels()
    tagger = classifying(english, tmp_path / "one").fit(texts, labels, tune=False, fine_tune=SMALL)
    assert tagger.training
    first, second = tagger.training.steps
    assert (first.stage, second.stage, second.held_out) == ("few-shot", "fine-tune", 12)
    assert (second.record["classes"], second.record["held_out"], second.record["settings"]["epochs"]) == (3, 12, 2)
    assert second.below == first.__class__.of_json(asdict(second)).below
    saved = tmp_path / "saved"
    tagger.save(saved)
    loaded = Tagger.load(saved)
    assert np.array_equal(loaded.predict_proba(texts), tagger.predict_proba(texts))
    assert loaded.training == tagger.training
    assert {tag.stage for tag in loaded.predict(texts)} == {"label"}
    others = loaded.predict([f"another {text}" for text in texts])
    speaking = dict(zip(loaded.classes_, loaded._ladder.stages, strict=True))
    assert [tag.stage for tag in others] == [speaking[tag.alternatives[0][0]] for tag in others]
    assert {tag.stage for tag in others} <= {"few-shot", "fine-tune"}
    again = classifying(english, tmp_path / "two").fit(texts, labels, tune=False, fine_tune=SMALL)
    assert np.array_equal(again.predict_proba(texts), tagger.predict_proba(texts))
    voices = tagger.explain(texts[0]).candidates[0].voices
    assert list(voices) == ["zero-shot", "few-shot", "fine-tune"]


@pytest.mark.slow
def test_a_fine_tune_is_not_begun_on_few_labels_unless_it_is_asked_for(english: ModelSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = texts_and_labels(40)
    for enough, expected in ((121, ["few-shot"]), (120, ["few-shot", "fine-tune"])):
        monkeypatch.setattr(upper, "MANY", enough)
        training = classifying(english).fit(texts, labels).training
        assert training
        assert [step.stage for step in training.steps] == expected


def test_too_few_labels_to_hold_some_out_are_no_reason_for_a_fine_tune(english: ModelSettings) -> None:
    texts, labels = texts_and_labels(4)
    with pytest.raises(ModelError, match="10% of each category are fewer than 10 labels to hold out, so that nothing could say whether"):
        classifying(english).fit(texts, labels, tune=False, fine_tune=True)


def test_what_is_no_fine_tune_is_told() -> None:
    with pytest.raises(FewtagError, match="fine_tune is 'lora' -> give True, False or None, or TrainSettings"):
        shop().fit(ODD, [TEA, TEA, COFFEE, COFFEE], fine_tune="lora")  # type: ignore[arg-type]


def test_where_labels_cannot_tell_whether_it_helps_nothing_is_tuned_unasked(tunable: Callable[..., Tagger]) -> None:
    training = tunable().fit([*TEXTS, *ODD], FOUR).training
    assert training
    assert training.steps[0].record["tuned"] is None


def test_where_no_classifier_speaks_the_language_a_fine_tune_is_refused() -> None:
    with pytest.raises(ModelError, match="no classifier of this preset speaks 'zh' -> name one with"):
        shop().fit(ODD, [TEA, TEA, COFFEE, COFFEE], tune=False, fine_tune=True)


@pytest.mark.slow
def test_sure_tags_teach_the_classifier_alone_and_are_no_labels(english: ModelSettings, tmp_path: Path) -> None:
    texts, labels = texts_and_labels()
    more = [f"{word} {number}" for number, word in enumerate(["sencha", "suds", "mocha"] * 10)]
    products = [Product(str(number), text) for number, text in enumerate([*texts, *more])]
    tagger = classifying(english, tmp_path)
    tagger.precision = 0.01
    said = [(Label(str(row), category_of(label, tagger.taxonomy), "ann"), texts[row]) for row, label in enumerate(labels)]
    add_labels(Workspace.create(tmp_path), tagger.taxonomy, said)
    tagger.train(products, tune=False)
    with Ledger.open(tagger.workspace.ledger) as ledger:
        tags = [stored.tag for stored in ledger.latest() if stored.tag.category in tagger.classes_]
    sure = sum(tag.confidence >= 0.9 and int(tag.product_id) >= 45 for tag in tags)
    tagger.train(products, tune=False, fine_tune=SMALL, tags=0.3)
    assert tagger.training
    assert tagger.training.labels == 45
    record = tagger.training.steps[1].record
    assert record["examples"] + record["held_out"] == 45 + sure > 45
    assert {label.source for label, _ in tagger._ladder.learnt} == {"ann"}
    assert tagger.train(products, tune=False, fine_tune=SMALL, tags=0.3).unchanged


def test_a_denial_alone_is_heeded_and_teaches_nothing_of_others(tmp_path: Path) -> None:
    tagger = shop(tmp_path)
    products = [Product(str(number), text) for number, text in enumerate(TEXTS)]
    tagger.bootstrap(products)
    before = tagger.predict_proba(products)
    add_labels(tagger.workspace, tagger.taxonomy, [(Label("0", TEA, "ann", negative=True), TEXTS[0])])
    tagger.train(products, tune=False)
    assert (tagger.training, tagger.is_taught) == (None, True)
    after = Tagger.open(tmp_path).predict_proba(products)
    assert after[0].argmax() != before[0].argmax() == tagger.classes_.index(TEA)
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)
    assert tagger.train(products, tune=False).unchanged


@pytest.mark.usefixtures("no_cards")
@pytest.mark.parametrize("helps", [pytest.param(True, marks=pytest.mark.slow), False])
def test_an_encoder_stays_as_it_was_where_labels_kept_back_say_so(
    english: ModelSettings, helps: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts, labels = texts_and_labels(80)
    losses = iter([1.0, 2.0] if helps else [2.0, 1.0])
    monkeypatch.setattr(upper, "sureness", lambda *_: (0.7, next(losses)))
    tagger = classifying(english, tmp_path / "shop").fit(texts, labels, fine_tune=False)
    assert tagger.training
    record = tagger.training.steps[0].record
    assert (record["kept_back"], record["tuned"] is not None, tagger.training.sureness) == (24, helps, 0.7 if helps else 1.0)
    plain = classifying(english).fit(texts, labels, tune=False).predict_proba(texts)
    assert np.array_equal(tagger.predict_proba(texts), plain) != helps
    assert np.array_equal(
        classifying(english, tmp_path / "shop").fit(texts, labels, fine_tune=False).predict_proba(texts), tagger.predict_proba(texts)
    )


def test_a_precision_is_promised_where_labels_prove_it_and_decides_the_tags(tmp_path: Path) -> None:
    tagger = shop(tmp_path / "w", precision=0.8)
    titles = [f"{text} {number}号" for number in range(15) for text in TEXTS]
    tagger.fit([*TEXTS, *titles], [None] * 8 + [*[TEA, COFFEE, SOAP, TOWEL, TEA, COFFEE, TOWEL, SOAP] * 15], tune=False)
    promise = tagger.promise
    assert promise.level is not None
    assert promise.labels == 120
    assert promise.decides == promise.level
    asked = ["西湖绿茶", "龙井 礼盒", "香皂 三块"]
    taxonomy = tagger.taxonomy.primary
    expected = decide(["?"] * 3, tagger.predict_proba(asked), taxonomy, promise.level)
    assert [(tag.category, tag.confidence) for tag in tagger.predict(asked)] == [(tag.category, tag.confidence) for tag in expected]
    tagger.save(tmp_path / "saved")
    again = Tagger.load(tmp_path / "saved")
    assert again.promise == promise
    assert (again.predict_proba(asked) == tagger.predict_proba(asked)).all()


def test_without_enough_labels_nothing_is_promised_and_tags_are_decided_by_the_precision() -> None:
    tagger = shop()
    tagger.bootstrap(TEXTS)
    assert (tagger.promise.level, tagger.promise.labels, tagger.promise.decides) == (None, 0, 0.9)
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    found = tagger.promise
    assert (found.level, found.labels, found.decides) == (None, 4, 0.9)


def test_an_encoder_that_was_tuned_on_all_labels_leaves_none_that_prove_anything() -> None:
    tagger = shop()
    tagger.fit([*TEXTS, *ODD], [None] * 8 + [TEA, TEA, COFFEE, COFFEE])
    above = tagger._ladder._upper
    course = Course([Product("1", "铁观音")], [Label("1", TEA)], [])
    unseen = above._kept_from_tuning(course, above.steps[0], lambda products: np.zeros((len(products), 4), dtype=np.float32))
    assert unseen.gold.tolist() == []
