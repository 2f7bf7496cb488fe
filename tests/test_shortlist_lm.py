"""A language model's opinion of the shortlist, against the sum worked out one number at a time; and that nothing is asked twice.

The trap: what the model said is kept in float16, so values are compared within its rounding of the log-likelihoods' differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from test_lm import load, save

from fewtag.core import Product
from fewtag.models.lm.model import LanguageModel
from fewtag.models.source import Source
from fewtag.models.zero_shot import shortlist_lm
from fewtag.models.zero_shot.shortlist_lm import SHORTLIST, ShortlistScorer, asked_first, distinct_names
from fewtag.prompts import Prompt
from fewtag.taxonomy import Category, Taxonomy

SOURCE = Source("tiny", "nowhere", "1")
FEW = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Pets > Dog food"])
MANY = Taxonomy.from_paths([f"Root > Class {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWX"])
PROMPT = Prompt.load("category.v1")


def log_softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The obvious way, in double precision."""
    scores = np.asarray(scores, dtype=np.float64)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def beliefs(rows: int, taxonomy: Taxonomy, seed: int = 3) -> npt.NDArray[np.float32]:
    """Log-probabilities drawn by lot."""
    return log_softmax(np.random.default_rng(seed).normal(0, 2, (rows, len(taxonomy.classes)))).astype(np.float32)


@dataclass
class TableLM:
    """A language model that says what a table has: label to log-likelihood, and more where the prompt holds a word."""

    table: dict[str, float] = field(default_factory=dict)
    after: dict[str, dict[str, float]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    chats: set[bool] = field(default_factory=set)
    labels: list[str] = field(default_factory=list)

    def score(self, prompts: Sequence[str], labels: Sequence[str], *, chat: bool = False) -> npt.NDArray[np.float32]:
        self.asked += prompts
        self.chats.add(chat)
        self.labels = list(labels)
        rows = [[self.table.get(label, 0) + self._more(prompt, label) for label in labels] for prompt in prompts]
        return np.array(rows, dtype=np.float32).reshape(len(prompts), len(labels))

    def score_shortlists(self, prompts: Sequence[str], labels: Sequence[str], shortlists: Any, *, chat: bool = False) -> Any:
        return np.take_along_axis(self.score(prompts, labels, chat=chat), shortlists, axis=1)

    def _more(self, prompt: str, label: str) -> float:
        return sum(more.get(label, 0) for word, more in self.after.items() if word in prompt)


def scorer(folder: Path, lm: Any, taxonomy: Taxonomy = FEW, prompt: Prompt = PROMPT, source: Source = SOURCE) -> ShortlistScorer:
    made = ShortlistScorer(source, prompt, taxonomy, folder)
    made._lm = lm  # in the place of what it would load
    return made


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(save(tmp_path_factory.mktemp("llama"), "llama"))


TEXTS = ["dark roast coffee", "loose green tea", "dry food for cats"]


def test_a_real_model_weighs_in_as_the_sum_says_that_is_worked_out_label_by_label(llama: LanguageModel, tmp_path: Path) -> None:
    before = beliefs(3, MANY)
    found = scorer(tmp_path, llama, MANY).reweigh(TEXTS, before, 0.5)
    labels = [f" {MANY[category].name}" for category in MANY.classes]
    said = llama.score([PROMPT.render(product=Product("", text), taxonomy_name=MANY.name) for text in TEXTS], labels)
    prior = np.log(np.exp(log_softmax(llama.score(PROMPT.content_free(taxonomy_name=MANY.name), labels))).mean(axis=0))
    for row in range(3):
        listed = np.argsort(-before[row])[:SHORTLIST]
        opinion = log_softmax(said[row, listed] - prior[listed])
        mass = np.exp(before[row, listed]).sum()
        expected = before[row].astype(np.float64)
        expected[listed] = log_softmax(before[row, listed] + 0.5 * opinion) + np.log(mass)
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=2e-2)
        assert np.abs(expected - before[row]).max() > 0.2


def test_outside_of_the_shortlist_nothing_changes_and_the_shortlist_stays_as_likely_as_it_was(tmp_path: Path) -> None:
    before = beliefs(3, MANY)
    wild = TableLM({f" Class {letter}": -7.0 * place for place, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWX")})
    wild.after = {"coffee": {" Class C": 50.0}, "tea": {" Class D": -50.0}}
    found = scorer(tmp_path, wild, MANY).reweigh(TEXTS, before, 1.0)
    assert len(MANY.classes) == 24 > SHORTLIST == 16
    outside = before < np.sort(before, axis=1)[:, [-SHORTLIST]]
    assert outside.sum(axis=1).tolist() == [8, 8, 8]
    assert np.array_equal(found[outside], before[outside])
    mass = [np.exp(rows).sum(axis=1, where=~outside) for rows in (found, before)]
    np.testing.assert_allclose(mass[0], mass[1], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), np.ones(3), rtol=1e-5)
    assert np.abs(found - before).max() > 1


def test_what_the_model_says_of_no_product_is_taken_away(tmp_path: Path) -> None:
    """Tea is likelier than coffee by 9 after any prompt: that is no opinion of any product."""
    before = beliefs(3, FEW)
    found = scorer(tmp_path, TableLM({" Tea": -1, " Coffee": -10, " Dog food": -4})).reweigh(TEXTS, before, 1.0)
    np.testing.assert_allclose(found, before, rtol=0, atol=5e-3)


def test_what_it_says_of_this_product_beyond_that_is_added(tmp_path: Path) -> None:
    lm = TableLM({" Tea": -1, " Coffee": -10, " Dog food": -4}, after={"roast": {" Coffee": 2.0}})
    before = np.log(np.array([[0.5, 0.25, 0.25]], dtype=np.float32))
    found = scorer(tmp_path, lm).reweigh(["dark roast"], before, 0.5)
    # Coffee is e^(0.5 * 2) times as likely as before, and then all are made to sum to 1.
    expected = np.array([0.5, 0.25 * np.e, 0.25])
    np.testing.assert_allclose(np.exp(found[0]), expected / expected.sum(), rtol=5e-3)


def test_without_weight_nothing_changes(tmp_path: Path) -> None:
    before = beliefs(3, FEW)
    lm = TableLM(after={"roast": {" Coffee": 9.0}})
    np.testing.assert_allclose(scorer(tmp_path, lm).reweigh(TEXTS, before, 0.0), before, rtol=0, atol=1e-6)


def test_scores_are_not_changed_in_place_and_stay_float32(tmp_path: Path) -> None:
    before = beliefs(3, FEW)
    kept = before.copy()
    found = scorer(tmp_path, TableLM(after={"roast": {" Coffee": 9.0}})).reweigh(TEXTS, before, 1.0)
    assert found.dtype == np.float32
    assert np.array_equal(before, kept)


def test_the_model_reads_the_prompt_and_the_names_as_the_prompt_wants_them(tmp_path: Path) -> None:
    lm, chinese = TableLM(), TableLM()
    scorer(tmp_path, lm).reweigh(["dark roast"], beliefs(1, FEW), 0.5)
    assert lm.labels == [" Tea", " Coffee", " Dog food"]
    assert PROMPT.render(product=Product("", "dark roast"), taxonomy_name="taxonomy") in lm.asked
    assert sum("N/A" in prompt for prompt in lm.asked) == 1
    assert lm.chats == {False}
    scorer(tmp_path, chinese, prompt=Prompt.load("category_chat.zh.v1")).reweigh(["dark roast"], beliefs(1, FEW), 0.5)
    assert chinese.labels == ["Tea", "Coffee", "Dog food"]
    assert chinese.chats == {True}


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    first, second = TableLM({" Tea": -1}, after={"roast": {" Coffee": 2.0}}), TableLM({" Tea": -5})
    one = scorer(tmp_path, first)
    found = one.reweigh(TEXTS, beliefs(3, FEW), 0.5)
    assert len(first.asked) == 3 + 3  # the products, and no product in three ways
    assert np.array_equal(one.reweigh(TEXTS, beliefs(3, FEW), 0.5), found)
    assert len(first.asked) == 6
    one.reweigh([*TEXTS, "soap", "soap"], beliefs(5, FEW), 0.5)
    assert len(first.asked) == 7
    # Nor by the next process, whose model is not even needed.
    assert np.array_equal(scorer(tmp_path, second).reweigh(TEXTS, beliefs(3, FEW), 0.5), found)
    assert second.asked == []


def test_a_kill_costs_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_lm, "PER_STEP", 2)
    texts = ["one", "two", "three", "four", "five"]

    class Killed(TableLM):
        def score_shortlists(self, prompts: Sequence[str], *rest: Any, **more: Any) -> Any:
            if len(self.asked) >= 4:
                raise KeyboardInterrupt
            return super().score_shortlists(prompts, *rest, **more)

    with pytest.raises(KeyboardInterrupt):
        scorer(tmp_path, Killed()).reweigh(texts, beliefs(5, FEW), 0.5)
    again = TableLM()
    scorer(tmp_path, again).reweigh(texts, beliefs(5, FEW), 0.5)
    assert sum("Product: five" in prompt for prompt in again.asked) == 1
    assert len(again.asked) == 1 + 3


@pytest.mark.parametrize(
    "other",
    [
        {"source": Source("tiny", "nowhere", "2")},
        {"source": Source("another", "nowhere", "1")},
        {"prompt": Prompt.load("category.zh.v1")},
        {"taxonomy": Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Pets > Cat food"])},
    ],
    ids=["other weights", "another model", "another prompt", "another taxonomy"],
)
def test_what_was_said_holds_for_one_model_prompt_and_taxonomy_alone(other: dict[str, Any], tmp_path: Path) -> None:
    scorer(tmp_path, TableLM()).reweigh(TEXTS, beliefs(3, FEW), 0.5)
    lm = TableLM()
    scorer(tmp_path, lm, **other).reweigh(TEXTS, beliefs(3, FEW), 0.5)
    assert len(lm.asked) == 3 + 3


def test_another_shortlist_of_the_same_product_is_another_question(tmp_path: Path) -> None:
    lm = TableLM()
    many = scorer(tmp_path, lm, MANY)
    many.reweigh(["tea"], beliefs(1, MANY), 0.5)
    many.reweigh(["tea"], beliefs(1, MANY, seed=4), 0.5)
    many.reweigh(["tea"], beliefs(1, MANY), 0.5)
    assert sum("Product: tea" in prompt for prompt in lm.asked) == 2


def test_likelihoods_far_from_zero_keep_their_differences(tmp_path: Path) -> None:
    """Float16 is coarse beyond 100: what is kept is how far each label is from the best."""
    near = TableLM({" Tea": 0, " Coffee": 0, " Dog food": 0}, after={"roast": {" Coffee": 0.125}})
    far = TableLM(dict.fromkeys([" Tea", " Coffee", " Dog food"], -3000.0), after=near.after)
    before = beliefs(1, FEW)
    found = [scorer(tmp_path / name, lm).reweigh(["roast"], before, 1.0) for name, lm in (("near", near), ("far", far))]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-3)
    assert found[0][0, 1] - before[0, 1] > 0.05


def test_the_model_is_loaded_when_it_is_first_asked_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Source] = []

    def load_it(source: Source) -> TableLM:
        loaded.append(source)
        return TableLM()

    monkeypatch.setattr(LanguageModel, "load", load_it)
    fresh = ShortlistScorer(SOURCE, PROMPT, FEW, tmp_path)
    assert loaded == []
    fresh.reweigh(TEXTS, beliefs(3, FEW), 0.5)
    fresh.reweigh(["another"], beliefs(1, FEW), 0.5)
    assert loaded == [SOURCE]
    ShortlistScorer(SOURCE, PROMPT, FEW, tmp_path).reweigh(TEXTS, beliefs(3, FEW), 0.5)
    assert loaded == [SOURCE]


def test_a_shortlist_may_be_longer_than_the_taxonomy(tmp_path: Path, llama: LanguageModel) -> None:
    for paths in (["Tea"], ["Tea", "Coffee"]):
        taxonomy = Taxonomy.from_paths(paths)
        found = scorer(tmp_path, llama, taxonomy).reweigh(TEXTS, beliefs(3, taxonomy), 0.5)
        np.testing.assert_allclose(np.exp(found).sum(axis=1), np.ones(3), rtol=1e-5)


def test_names_that_several_classes_share_get_as_much_of_their_path_as_tells_them_apart() -> None:
    def named(*paths: str) -> list[str]:
        return distinct_names(Taxonomy.from_paths(paths))

    assert named("Toys > Dolls", "Tea") == ["Dolls", "Tea"]
    assert named("Toys > Other", "Pets > Other", "Tea") == ["Other (Toys)", "Other (Pets)", "Tea"]
    assert named("Other", "Pets > Other") == ["Other", "Other (Pets)"]
    assert named("Clothing", "Clothing > Clothing") == ["Clothing", "Clothing (Clothing)"]
    assert named("A > X > Other", "B > X > Other", "B > Y > Other") == ["Other (X, A)", "Other (X, B)", "Other (Y)"]


def test_classes_of_one_path_are_scored_alike(tmp_path: Path, llama: LanguageModel) -> None:
    doubled = Taxonomy([Category("tea", "Tea"), Category("coffee", "Coffee"), Category("tea-2", "Tea")])
    assert distinct_names(doubled) == ["Tea", "Coffee", "Tea"]
    even = np.log(np.full((1, 3), 1 / 3, dtype=np.float32))
    tea, coffee, again = scorer(tmp_path, llama, doubled).reweigh(["green tea"], even, 1.0)[0]
    assert tea == again != coffee


def test_the_reach_is_what_an_opinion_takes_from_a_lead_worked_out_by_hand(tmp_path: Path) -> None:
    """Tea leads by 1, 2 and 3 nats, and the model is for coffee by 4, at half of its weight 2; for the first product alone."""
    before = log_softmax([[0, -1, -9], [0, -2, -9], [0, -3, -9]]).astype(np.float32)
    lm = TableLM(after={"roast": {" Coffee": 4.0}})
    found = scorer(tmp_path, lm).reach(["a roast", "two", "three"], before, 0.5)
    assert found == pytest.approx(2.0, abs=1e-2)  # the lead of 1 becomes one of -1
    agreeing = TableLM(after={" ": {" Tea": 4.0}, "N/A": {" Tea": -4.0}})
    assert scorer(tmp_path / "agreeing", agreeing).reach(["a roast"], before[:1], 0.5) == 0.0


def test_one_product_in_a_hundred_is_left_out_of_the_reach(tmp_path: Path) -> None:
    """Of 200 products the model lifts coffee by 1 nat in each, and in two of them, or three, by 10."""
    before = log_softmax(np.tile([0.0, -3.0, -9.0], (200, 1))).astype(np.float32)
    texts = [f"text {number:03}" for number in range(200)]
    for wild, expected in ((2, 1.0), (3, 10.0)):
        lm = TableLM(after={"text": {" Coffee": 1.0}} | {text: {" Coffee": 9.0} for text in texts[:wild]})
        assert scorer(tmp_path / str(wild), lm).reach(texts, before, 1.0) == pytest.approx(expected, abs=2e-2)


def test_only_products_within_reach_are_asked_about_and_the_others_stand_as_they_were(tmp_path: Path) -> None:
    before = log_softmax([[0, -1, -9], [0, -2.5, -9], [-4, 0, -1.9]]).astype(np.float32)
    lm = TableLM(after={"Product": {" Dog food": 1.0}})
    found = scorer(tmp_path, lm).reweigh(TEXTS, before, 1.0, reach=2.0)
    asked = [text for text in TEXTS if any(text in prompt for prompt in lm.asked)]
    assert asked == [TEXTS[0], TEXTS[2]]
    assert np.array_equal(found[1], before[1])
    every = scorer(tmp_path / "every", lm).reweigh(TEXTS, before, 1.0)
    np.testing.assert_allclose(found[[0, 2]], every[[0, 2]], atol=1e-6)
    silent = TableLM()
    assert np.array_equal(scorer(tmp_path / "none", silent).reweigh(TEXTS, before, 1.0, reach=0.5), before)
    assert silent.asked == []  # not even about no product


def test_the_products_asked_first_are_drawn_by_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_lm, "ASKED_FIRST", 5)
    texts = [f"text {number}" for number in range(50)]
    assert asked_first(texts) == asked_first(texts[::-1])
    assert asked_first(texts) not in (texts[:5], texts[::10])
    assert set(asked_first([*texts, "another"])) <= {*asked_first(texts), "another"}


def test_a_single_category_needs_no_opinion(tmp_path: Path) -> None:
    alone, lm = Taxonomy.from_paths(["Tea"]), TableLM()
    zeros = np.zeros((3, 1), dtype=np.float32)
    reach = scorer(tmp_path, lm, alone).reach(TEXTS, zeros, 0.5)
    assert np.array_equal(scorer(tmp_path, lm, alone).reweigh(TEXTS, zeros, 0.5, reach), zeros)
    assert lm.asked == []


CHANNEL = Prompt.load("channel.v1")


@pytest.mark.parametrize("each", [pytest.param(16, marks=pytest.mark.slow), 1])
def test_a_channel_weighs_each_title_behind_each_category_of_its_shortlist(
    llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    """Worked out title by title and token by token; the likelihood of a title is no matter of how likely its category's name is."""
    monkeypatch.setattr(shortlist_lm, "PER_READING", each)
    texts = [*TEXTS, "dark roast  coffee beans"]  # one begins another, and blanks count once
    before = beliefs(4, MANY)
    found = scorer(tmp_path, llama, MANY, CHANNEL).reweigh(texts, before, 0.5)
    for row, text in enumerate(texts):
        listed = np.argsort(-before[row])[:SHORTLIST]
        said = []
        for place in listed:
            prompt = (
                f"Products of taxonomy, each below the category that it belongs to.\n\nCategory: {MANY[MANY.classes[place]].name}\nProduct:"
            )
            ids, more = (llama.tokenizer(each)["input_ids"] for each in (prompt, f" {' '.join(text.split())}\n"))
            with torch.inference_mode():
                read = llama.model(torch.tensor([ids + more])).logits[0].log_softmax(-1)
            said.append(sum(float(read[len(ids) - 1 + at, token]) for at, token in enumerate(more)))
        expected = log_softmax(before[row, listed] + 0.5 * log_softmax(np.array(said))) + np.log(np.exp(before[row, listed]).sum())
        np.testing.assert_allclose(found[row, listed], expected, rtol=0, atol=2e-2)
        assert np.ptp(said) > 1


def test_a_channel_reads_each_category_once_a_step_and_has_no_view_of_no_product(tmp_path: Path) -> None:
    class Counting(TableLM):
        def score_shortlists(self, prompts: Sequence[str], labels: Sequence[str], shortlists: Any, *, chat: bool = False) -> Any:
            self.asked += prompts
            self.labels = list(labels)
            return np.array([[float(label == " dark roast\n") for label in np.array(labels)[shortlists[0]]]], dtype=np.float32)

    lm = Counting()
    texts = ["dark roast", "x" * 1000]
    even = np.log(np.full((2, 3), 1 / 3, dtype=np.float32))
    found = scorer(tmp_path, lm, FEW, CHANNEL).reweigh(texts, even, 1.0)
    assert [prompt.splitlines()[-2:] for prompt in lm.asked] == [
        [f"Category: {name}", "Product:"] for name in ("Tea", "Coffee", "Dog food")
    ]
    assert lm.labels == [" dark roast\n", f" {'x' * 256}\n"]
    np.testing.assert_allclose(found, even, atol=1e-6)  # each is as likely in every category
