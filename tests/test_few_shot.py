"""What is special to the few-shot rung: which classes it can speak of, what labels count, and the SetFit model that it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from test_models import PATHS, TEXTS, WordEncoder, products

from fewtag.core import Label, Product
from fewtag.models.encoder import SentenceEncoder
from fewtag.models.few_shot import head as head_module
from fewtag.models.few_shot import rung as rung_module
from fewtag.models.few_shot.contrast import ContrastSettings
from fewtag.models.few_shot.familiar import ENOUGH, Familiar
from fewtag.models.few_shot.head import NEVER, Head
from fewtag.models.few_shot.held_back import FEWEST
from fewtag.models.few_shot.rung import FOLDS, FewShot
from fewtag.models.source import Source, locate
from fewtag.taxonomy import Taxonomy

SHOP = Taxonomy.from_paths(PATHS)
WORDS = [f"word{number}" for number in range(60)]
GOLD = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5]


def labels(rows: Sequence[int]) -> list[Label]:
    return [Label(str(row), SHOP.classes[GOLD[row]], "test") for row in rows]


def rung(folder: Path) -> FewShot:
    return FewShot(SHOP, WordEncoder(), folder=folder)


def test_a_head_tells_labelled_texts_apart_and_has_no_word_for_other_classes(tmp_path: Path) -> None:
    model = rung(tmp_path).fit(products(TEXTS), labels([0, 2, 6]))
    assert model.warm.tolist() == [True, True, False, True, False, False]
    found = model.predict_proba(products(TEXTS))
    assert found.argmax(axis=1).tolist()[:4] == [0, 0, 1, 1]
    assert found[:, ~model.warm].max() < 1e-8
    assert (model.log_probabilities(products(TEXTS))[:, ~model.warm] == NEVER).all()


@pytest.mark.parametrize("rows", [[], [3]])
def test_no_label_or_one_is_no_error(tmp_path: Path, rows: list[int]) -> None:
    found = rung(tmp_path).fit(products(TEXTS), labels(rows)).predict_proba(products(TEXTS))
    np.testing.assert_allclose(found, np.eye(6)[[1] * 10] if rows else np.full((10, 6), 1 / 6), atol=1e-6)


def test_a_negative_label_teaches_the_head_nothing(tmp_path: Path) -> None:
    plain = rung(tmp_path).fit(products(TEXTS), labels([0, 2, 6]))
    denied = rung(tmp_path).fit(products(TEXTS), [*labels([0, 2, 6]), Label("8", SHOP.classes[0], "test", negative=True)])
    assert np.array_equal(plain.predict_proba(products(TEXTS)), denied.predict_proba(products(TEXTS)))


def test_a_label_of_little_weight_is_heard_less(tmp_path: Path) -> None:
    wrong = Label("1", SHOP.classes[1], "test", weight=0.01)
    light, heavy = (
        rung(tmp_path).fit(products(TEXTS), [*labels([0, 2, 6]), each]).predict_proba(products(TEXTS[1:2]))[0, 0]
        for each in (wrong, Label("1", SHOP.classes[1], "test"))
    )
    assert light > 0.5 > heavy


def test_every_class_counts_alike_however_many_labels_it_has() -> None:
    features = np.array([[1, 0.1]] * 50 + [[0.1, 1]], dtype=np.float32)
    head = Head.fit(features, np.array([0] * 50 + [1]), np.ones(51, dtype=np.float32), 2)
    between = head.log_probabilities(np.array([[1, 1]], dtype=np.float32))
    np.testing.assert_allclose(np.exp(between), [[0.5, 0.5]], atol=0.02)


def test_beyond_a_size_the_nearest_mean_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "CELLS", 1)
    features = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    head = Head.fit(features, np.array([0, 0, 2]), np.array([1, 1, 1], dtype=np.float32), 3)
    mean = np.array([1.6, 0.8]) / np.hypot(1.6, 0.8)
    np.testing.assert_allclose(head.weights * head_module.TEMPERATURE, np.array([mean, [0, 1]]).T, rtol=1e-5)
    assert head.log_probabilities(features).argmax(axis=1).tolist() == [0, 0, 2]


def test_held_out_labels_are_each_judged_once_by_a_head_that_has_not_seen_them(tmp_path: Path) -> None:
    twice = [Label(f"{copy}{row}", SHOP.classes[GOLD[row]], "test") for copy in "ab" for row in range(4)]
    texts = [f"{TEXTS[row]} {copy}" for copy in "ab" for row in range(4)]
    every = [product.__class__(label.product_id, product.text) for product, label in zip(products(texts), twice, strict=True)]
    model = rung(tmp_path).fit(every, twice)
    held = model.held_out(every, twice)
    assert sorted(held.row.tolist()) == list(range(8))
    assert held.gold.tolist() == [[0, 0, 1, 1][row % 4] for row in held.row]
    assert (held.log_probabilities.argmax(axis=1) == held.gold).all(), "each text has fellows that share its words"
    assert FOLDS == 4
    lonely = model.held_out(every[:1] + every[2:3], [twice[0], twice[2]])
    assert not lonely.known[np.arange(len(lonely.gold)), lonely.gold].any(), "no head knows the class of its only label"


def test_of_very_many_labels_only_so_many_are_judged_and_all_are_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [Label(str(row), SHOP.classes[row % 2], "test") for row in range(40)]
    model = rung(tmp_path).fit(products([f"{row} tea" for row in range(40)]), every)
    monkeypatch.setattr(rung_module, "HELD_CELLS", 10 * 6)
    learnt: list[int] = []
    fit = Head.fit
    monkeypatch.setattr(Head, "fit", lambda features, *rest: learnt.append(len(features)) or fit(features, *rest))
    held = model.held_out(products([f"{row} tea" for row in range(40)]), every)
    assert len(set(held.row.tolist())) == len(held.row) == 10
    assert sum(40 - each for each in learnt) == 10


def test_hidden_classes_are_unknown_to_the_heads_that_they_are_hidden_from(tmp_path: Path) -> None:
    model = rung(tmp_path).fit(products(TEXTS), labels(range(8)))
    assert (
        model.held_out(products(TEXTS), labels(range(8)), hide=0.5).known.mean()
        < model.held_out(products(TEXTS), labels(range(8))).known.mean()
    )


SETTINGS = ContrastSettings(epochs=2, batch=4, learning_rate=1e-3, steps=(1, 8))


def tunable(source: Source, folder: Path, tune: bool = True) -> FewShot:
    return FewShot(SHOP, SentenceEncoder(source), source=source if tune else None, folder=folder, settings=SETTINGS)


@pytest.fixture
def tuned(no_cards: None, tiny_encoder: Path, tmp_path: Path) -> FewShot:
    return tunable(locate(str(tiny_encoder)), tmp_path / "work").fit(products(TEXTS), labels([0, 2, 4, 6]))


def test_a_tuned_rung_leaves_a_setfit_model_that_agrees_with_its_prototypes(tuned: FewShot, tmp_path: Path) -> None:
    from setfit import SetFitModel

    (tmp_path / "saved").mkdir()
    tuned.save(tmp_path / "saved")
    model = SetFitModel.from_pretrained(str(tmp_path / "saved" / "setfit"), device="cpu")
    assert list(model.labels) == [SHOP.classes[column] for column in range(4)]
    assert tuned.tuned
    assert tuned._prototypes is not None
    cosines = tuned.tuned.encoder.encode(list(TEXTS)) @ tuned._prototypes[:4].T
    expected = np.exp(cosines / head_module.TEMPERATURE)
    found = model.predict_proba(list(TEXTS), as_numpy=True)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=0.02)


def test_a_tuned_rung_loads_as_it_was_saved(tuned: FewShot, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    tuned.save(tmp_path / "saved")
    loaded = FewShot(SHOP, tuned.encoder, source=tuned.source, folder=tmp_path / "other").load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba(products(TEXTS)), tuned.predict_proba(products(TEXTS)))
    assert loaded.tuned
    assert tuned.tuned
    assert (loaded.tuned.record, loaded.tuned.source.identity) == (tuned.tuned.record, tuned.tuned.source.identity), (
        "its weights have one name"
    )
    assert np.array_equal(loaded.tuned.keys, tuned.tuned.keys)
    assert (loaded.tuned.record.titles, loaded.tuned.record.held_out, loaded.tuned.record.steps) == (4, 0, 2)


@pytest.mark.slow
@pytest.mark.usefixtures("no_cards")
def test_where_labels_are_enough_some_end_the_tuning_and_head_and_prototypes_see_all(tiny_encoder: Path, tmp_path: Path) -> None:
    source = locate(str(tiny_encoder))
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    every = [Label(str(row), SHOP.classes[GOLD[row % 10]], "test") for row in range(400)]
    model = tunable(source, tmp_path).fit(products(texts), every)
    assert model.tuned
    record = model.tuned.record
    assert record.titles + record.held_out == 400
    assert FEWEST <= record.held_out <= 40
    assert len(model.tuned.keys) == 400
    assert int((~model.tuned.learnt).sum()) == record.held_out
    kept = model.kept_back(products(texts), every, tuned=True)
    assert len(kept.row) == record.held_out, "what it has not learnt, and nothing else"
    assert kept.gold.tolist() == [GOLD[row % 10] for row in kept.row.tolist()]
    assert kept.log_probabilities.shape == kept.known.shape == (record.held_out, 6)
    plain = tunable(source, tmp_path / "plain", tune=False).fit(products(texts), every)
    assert len(plain.kept_back(products(texts), every, tuned=True).row) == 0
    assert record.log_loss <= record.log_loss_before
    assert record.started_from == source.identity


def test_without_a_source_the_encoder_that_was_tuned_before_stays_and_all_labels_are_heard(tuned: FewShot, tmp_path: Path) -> None:
    assert tuned.tuned
    assert tuned.source
    quick = tunable(tuned.source, tmp_path / "work", tune=False).fit(products(TEXTS), labels([0, 2, 4, 6, 8, 9]), tuned.tuned)
    assert quick.tuned is tuned.tuned
    assert quick.warm.all()
    (tmp_path / "saved").mkdir()
    quick.save(tmp_path / "saved")
    loaded = tunable(tuned.source, tmp_path / "other").load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba(products(TEXTS)), quick.predict_proba(products(TEXTS)))
    plain = tunable(tuned.source, tmp_path / "plain", tune=False).fit(products(TEXTS), labels([0, 2, 4, 6, 8, 9]))
    assert plain.tuned is None


@pytest.mark.slow
def test_a_tuning_starts_from_the_last_one_if_all_that_has_learnt_is_still_said(tuned: FewShot, tmp_path: Path) -> None:
    assert tuned.tuned
    assert tuned.source
    more, fewer = labels([0, 2, 4, 6, 8]), labels([0, 2, 4, 8])
    was = tuned.predict_proba(products(TEXTS))
    again = tunable(tuned.source, tmp_path / "work").fit(products(TEXTS), labels([0, 2, 4, 6]), tuned.tuned)
    assert again.tuned is tuned.tuned, "the same lesson again teaches nothing"
    replayed = tunable(tuned.source, tmp_path / "work").fit(products(TEXTS), more, tuned.tuned)
    assert replayed.tuned
    assert replayed.tuned.record.started_from == tuned.tuned.source.identity
    assert replayed.tuned.source.name == tuned.tuned.source.name
    assert replayed.tuned.source.revision != tuned.tuned.source.revision
    assert len(list((tmp_path / "work").glob("setfit-*"))) == 2
    (tmp_path / "saved").mkdir()
    tuned.save(tmp_path / "saved")
    reread = tunable(tuned.source, tmp_path / "reread").load(tmp_path / "saved")
    assert np.array_equal(reread.predict_proba(products(TEXTS)), was), "until it is replaced, the last one is whole"
    other = tunable(tuned.source, tmp_path / "other").fit(products(TEXTS), fewer, tuned.tuned)
    assert other.tuned
    assert other.tuned.record.started_from == tuned.source.identity
    afresh = tunable(tuned.source, tmp_path / "afresh").fit(products(TEXTS), fewer)
    assert np.array_equal(other.predict_proba(products(TEXTS)), afresh.predict_proba(products(TEXTS)))


def test_what_looks_like_labelled_texts_is_familiar_and_the_rest_of_the_catalogue_is_not() -> None:
    labelled = np.array([[1, 0]] * 10, dtype=np.float32)
    others = np.array([[1, 0]] * 10 + [[0, 1]] * 90, dtype=np.float32)
    near, far = Familiar.fit(labelled, others, np.ones(10, dtype=np.float32))(np.eye(2, dtype=np.float32))
    assert near > 1 > -1 > far
    assert near == pytest.approx(np.log(10), abs=0.3)  # ten of ten labelled, a tenth of the others, and both weigh alike


def test_without_enough_of_a_catalogue_or_without_cold_classes_no_text_is_familiar(tmp_path: Path) -> None:
    catalogue = [Product(f"C{number}", f"{TEXTS[number % 8]} {number}") for number in range(ENOUGH)]
    everyone = [*catalogue, *products(TEXTS)]
    few, many, all_warm = (
        rung(tmp_path).fit(some, labels(rows)).heard(products(TEXTS))[1]
        for some, rows in ((everyone[3:], range(8)), (everyone, range(8)), (everyone, range(10)))
    )
    assert np.array_equal(few, np.zeros(10))
    assert np.array_equal(all_warm, np.zeros(10))
    assert many.std() > 0


def test_a_held_out_text_is_not_familiar_for_having_been_seen(tmp_path: Path) -> None:
    """All texts are one another's like, labelled or not."""
    rng = np.random.default_rng(0)
    draw = [Product(str(number), " ".join(rng.choice(WORDS, 3))) for number in range(ENOUGH + 41)]
    said = [Label(str(number), SHOP.classes[number % 2], "test") for number in range(40)]
    model = rung(tmp_path).fit(draw, said)
    assert model.heard(draw[:40])[1].mean() > 0.3 > -0.3 > model.held_out(draw[:40], said).familiar.mean()


def test_what_is_familiar_is_saved(tmp_path: Path) -> None:
    catalogue = [Product(f"C{number}", f"{TEXTS[number % 8]} {number}") for number in range(ENOUGH)]
    model = rung(tmp_path / "work").fit([*catalogue, *products(TEXTS)], labels(range(8)))
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    loaded = rung(tmp_path / "other").load(tmp_path / "saved")
    for found, expected in zip(loaded.heard(products(TEXTS)), model.heard(products(TEXTS)), strict=True):
        assert np.array_equal(found, expected)
