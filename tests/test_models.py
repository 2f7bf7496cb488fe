"""The contract that every model of fewtag holds, whatever it is made of; a new model is one more row of `MODELS`.

The trap: an encoder knows every text, so only a model of n-grams alone can say that it knows nothing of one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.core import Label, Product
from fewtag.models.neighbours.rung import Neighbours
from fewtag.models.source import Source
from fewtag.models.zero_shot.rung import ZeroShot
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.prompts import Prompt
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]


@cache
def drawn(text: str, width: int) -> npt.NDArray[np.float64]:
    """Return numbers that look random and are the same for a text in every process."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).standard_normal(width)


@dataclass
class WordEncoder:
    """An encoder without weights: a text is the sum of its words' vectors, so texts that share words lie together."""

    identity: str = "words@1"
    width: int = 64
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> Array:
        self.asked += texts
        rows = [sum(drawn(word, self.width) for word in re.findall(r"\w+", text.lower()) or [text]) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32).reshape(-1, self.width)


@dataclass
class WordLM:
    """A language model without weights: a label is likely after a prompt that holds its name, else it has a likelihood of its own."""

    asked: list[str] = field(default_factory=list)

    def score(self, prompts: Sequence[str], labels: Sequence[str], *, chat: bool = False) -> Array:
        self.asked += prompts
        rows = [[drawn(label, 1)[0] + 4 * (label.strip().lower() in prompt.lower()) for label in labels] for prompt in prompts]
        return np.array(rows, dtype=np.float32)

    def score_shortlists(self, prompts: Sequence[str], labels: Sequence[str], shortlists: Any, *, chat: bool = False) -> Array:
        return np.take_along_axis(self.score(prompts, labels, chat=chat), shortlists, axis=1)


PATHS = ("Drinks > Green tea", "Drinks > Coffee", "Drinks > Juice", "Home > Soap", "Home > Candles", "Home > Towels")
TEXTS = (
    "Sencha green tea 100 g",
    "Matcha tea powder",
    "Ground coffee dark roast",
    "Coffee beans 1 kg",
    "Orange juice 1 l",
    "Apple juice 6 bottles",
    "Olive soap bar",
    "Hand soap 500 ml",
    "Candles of beeswax",
    "Bath towels 2 pieces",
)
OWN = (0, 0, 1, 1, 2, 2, 3, 3, 4, 5)
"""The place of each text's category among the paths, here and below."""
PATHS_ZH = ("饮料 > 绿茶", "饮料 > 咖啡", "饮料 > 果汁", "日用 > 香皂", "日用 > 蜡烛", "日用 > 毛巾")
TEXTS_ZH = (
    "西湖绿茶 250g",
    "绿茶 茶叶 50包",
    "速溶咖啡 30条",
    "咖啡豆 500g",
    "橙汁果汁 1L",
    "苹果果汁 6瓶",
    "香皂 100g",
    "橄榄香皂 三块装",
    "蜡烛 蜂蜡",
    "纯棉毛巾 两条",
)


@dataclass(frozen=True)
class Case:
    """How to make a model that has learnt nothing yet from a taxonomy, a seed and a folder, and what to show it."""

    make: Callable[[Taxonomy, int, Path], Any]
    language: str
    paths: tuple[str, ...]
    texts: tuple[str, ...]
    labelled: bool = False
    """Whether the model needs labels: each text then comes with the one of its own category, where the taxonomy has that."""

    @property
    def products(self) -> list[Product]:
        return products(self.texts)

    def labels(self, taxonomy: Taxonomy, texts: Sequence[str]) -> list[Label]:
        own = dict(zip(self.texts, (self.paths[place] for place in OWN), strict=True)) if self.labelled else {}
        known = {taxonomy.path(category): category for category in taxonomy.classes}
        return [Label(str(number), known[own[text]]) for number, text in enumerate(texts) if own.get(text) in known]

    def fitted(self, folder: Path, *, paths: Sequence[str] = (), texts: Sequence[str] = (), seed: int = 7) -> Any:
        taxonomy = Taxonomy.from_paths(paths or self.paths, language=self.language)
        return self.make(taxonomy, seed, folder).fit(products(texts or self.texts), self.labels(taxonomy, texts or self.texts))


def with_lm(taxonomy: Taxonomy, seed: int, folder: Path) -> ZeroShot:
    scorer = ShortlistScorer(Source("stub", "nowhere", "1"), Prompt.load("category.v1"), taxonomy, folder)
    scorer._lm = WordLM()  # in the place of what it would load
    return ZeroShot(taxonomy, WordEncoder(), lm=scorer, seed=seed)


MODELS = {
    "zero-shot, n-grams alone": Case(lambda taxonomy, seed, _: ZeroShot(taxonomy, None, seed=seed), "zh", PATHS_ZH, TEXTS_ZH),
    "zero-shot, encoder": Case(lambda taxonomy, seed, _: ZeroShot(taxonomy, WordEncoder(), seed=seed), "en", PATHS, TEXTS),
    "zero-shot, encoder and language model": Case(with_lm, "en", PATHS, TEXTS),
    "neighbours": Case(lambda taxonomy, seed, _: Neighbours(taxonomy, WordEncoder(), seed=seed), "en", PATHS, TEXTS, labelled=True),
}
WITHOUT_ENCODER = ("zero-shot, n-grams alone",)
WITHOUT_LABELS = ("zero-shot, n-grams alone", "zero-shot, encoder", "zero-shot, encoder and language model")


def products(texts: Sequence[str]) -> list[Product]:
    return [Product(str(number), text) for number, text in enumerate(texts)]


def are_probabilities(found: Any, rows: int, columns: int) -> None:
    assert (found.dtype, found.shape) == (np.dtype(np.float32), (rows, columns))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), np.ones(rows), rtol=0, atol=1e-5)


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_rows_are_probabilities(case: Case, tmp_path: Path) -> None:
    model = case.fitted(tmp_path)
    are_probabilities(model.predict_proba(case.products), 10, 6)


def test_columns_follow_the_classes_and_the_classes_the_taxonomy(case: Case, tmp_path: Path) -> None:
    model = case.fitted(tmp_path)
    assert model.classes_ == Taxonomy.from_paths(case.paths).classes
    # The texts stand in the order of the classes: two for each of the first four, one for each of the last two.
    assert model.predict_proba(case.products).argmax(axis=1).tolist() == list(OWN)
    turned = case.fitted(tmp_path, paths=case.paths[::-1])
    assert turned.classes_ == Taxonomy.from_paths(case.paths[::-1]).classes
    assert turned.predict_proba(case.products).argmax(axis=1).tolist() == [5, 5, 4, 4, 3, 3, 2, 2, 1, 0]


def test_a_product_is_judged_alone_whatever_stands_beside_it(case: Case, tmp_path: Path) -> None:
    model = case.fitted(tmp_path)
    together = model.predict_proba(case.products)
    np.testing.assert_allclose(model.predict_proba(case.products[::-1]), together[::-1], rtol=1e-4, atol=1e-6)
    for number, product in enumerate(case.products):
        np.testing.assert_allclose(model.predict_proba([product]), together[number : number + 1], rtol=1e-4, atol=1e-6)


def test_equal_texts_get_equal_rows(case: Case, tmp_path: Path) -> None:
    model = case.fitted(tmp_path)
    one, other = case.texts[0], case.texts[2]
    found = model.predict_proba(products([one, other, one, one, other]))
    assert np.array_equal(found, found[[0, 1, 0, 0, 1]])
    assert not np.array_equal(found[0], found[1])


def test_a_text_there_twice_counts_once(case: Case, tmp_path: Path) -> None:
    once, often = (case.fitted(tmp_path, texts=texts) for texts in (case.texts, case.texts + 5 * case.texts[:1]))
    assert np.array_equal(once.predict_proba(case.products), often.predict_proba(case.products))


def test_the_same_products_and_seed_give_the_same_bits(case: Case, tmp_path: Path) -> None:
    one, other = (case.fitted(tmp_path / folder).predict_proba(case.products) for folder in ("one", "other"))
    assert np.array_equal(one, other)


def test_fitting_again_forgets_what_was_learnt_before(case: Case, tmp_path: Path) -> None:
    model = case.fitted(tmp_path, texts=case.texts[:4])
    model.fit(case.products, case.labels(model.taxonomy, case.texts))
    assert np.array_equal(model.predict_proba(case.products), case.fitted(tmp_path).predict_proba(case.products))


def test_what_is_saved_and_loaded_predicts_the_same_bits(case: Case, tmp_path: Path) -> None:
    model, place = case.fitted(tmp_path), tmp_path / "saved"
    place.mkdir()
    model.save(place)
    loaded = case.make(Taxonomy.from_paths(case.paths, language=case.language), 0, tmp_path).load(place)
    unseen = products([*case.texts, f"{case.texts[0]} {case.texts[5]}", "42"])
    assert np.array_equal(loaded.predict_proba(unseen), model.predict_proba(unseen))
    assert loaded.classes_ == model.classes_


def test_no_products_get_no_rows(case: Case, tmp_path: Path) -> None:
    are_probabilities(case.fitted(tmp_path).predict_proba([]), 0, 6)


@pytest.mark.parametrize("seen", [1, 2])
@pytest.mark.parametrize("classes", [1, 2, 6])
def test_the_smallest_catalogues_and_taxonomies_are_enough(case: Case, tmp_path: Path, seen: int, classes: int) -> None:
    model = case.fitted(tmp_path, paths=case.paths[:classes], texts=case.texts[:seen])
    found = model.predict_proba(case.products)
    are_probabilities(found, 10, classes)
    assert classes > 1 or (found == 1).all()


STRANGE = {
    "emoji": "🍵👩🏽‍🍳 茶 🫖🇯🇵",
    "one letter": "x",
    "a sign alone": "!",
    "full width": "ＧＲＥＥＮ ＴＥＡ １００ｇ",
    "accents in two ways": "Cafe\u0301 café",
    "right to left": "شاي أخضر",
    "line breaks": "green\n\ttea\r\n绿茶",
    "very long": "Olive soap bar 香皂 " * 2_000,
    "one long word": "茶" * 20_000,
}


@pytest.mark.parametrize(
    "text",
    [pytest.param(text, id=name, marks=[pytest.mark.slow] * (name not in ("emoji", "one long word"))) for name, text in STRANGE.items()],
)
def test_any_text_can_be_learnt_from_and_judged(case: Case, tmp_path: Path, text: str) -> None:
    are_probabilities(case.fitted(tmp_path).predict_proba(products([text])), 1, 6)
    are_probabilities(case.fitted(tmp_path, texts=[*case.texts, text]).predict_proba(products([text])), 1, 6)
    are_probabilities(case.fitted(tmp_path, texts=[text]).predict_proba(products([text])), 1, 6)


@pytest.mark.parametrize("name", WITHOUT_ENCODER)
def test_a_text_without_any_known_feature_is_equally_likely_everywhere(name: str, tmp_path: Path) -> None:
    found = MODELS[name].fitted(tmp_path).predict_proba(products(["西湖绿茶", "ΩΨ", "شاي"]))
    np.testing.assert_allclose(found[1:], np.full((2, 6), 1 / 6), rtol=1e-6)
    assert found[0].max() > 0.5


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_a_model_that_needs_no_labels_does_not_listen_to_them(name: str, tmp_path: Path) -> None:
    case = MODELS[name]
    model = case.fitted(tmp_path)
    without = model.predict_proba(case.products)
    wrong = [Label(product.id, model.classes_[-1], "test") for product in case.products]
    assert np.array_equal(model.fit(case.products, wrong).predict_proba(case.products), without)


def test_the_language_model_of_this_table_is_asked_and_heard(tmp_path: Path) -> None:
    """Else the third row of the table would test the second once more."""
    model = MODELS["zero-shot, encoder and language model"].fitted(tmp_path)
    assert isinstance(model.lm._lm, WordLM)
    assert any("Orange juice 1 l" in prompt for prompt in model.lm._lm.asked)
    heard = model.predict_proba(products(TEXTS))
    assert not np.allclose(heard, MODELS["zero-shot, encoder"].fitted(tmp_path).predict_proba(products(TEXTS)), atol=1e-3)
