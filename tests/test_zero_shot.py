"""What is special to the zero-shot rung: it takes out a bias, says why, is as sure as its voices, and knows when it knows nothing.

Worked example: the encoder below gives each product a cosine with each category, so the log-scores are those cosines / 0.06. The
texts are zeros and ones and share no n-gram with the categories, so the letters are silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from test_models import MODELS, TEXTS, WITHOUT_LABELS, WordEncoder, drawn, products

from fewtag import parts
from fewtag.core import Label, Product
from fewtag.models.source import Source
from fewtag.models.zero_shot import rung as zero_shot
from fewtag.models.zero_shot import shortlist_lm
from fewtag.models.zero_shot.rung import ENOUGH, LETTERS, PRIOR_STRENGTH, TEMPERATURE, ZeroShot
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer, asked_first
from fewtag.prompts import Prompt
from fewtag.status import Consulted
from fewtag.sweep import Outcome
from fewtag.tagger import Tagger
from fewtag.taxonomy import Category, Taxonomy

NAMES = ("Bread", "Cheese", "Fish", "Honey")
FLAT = Taxonomy.from_paths(NAMES)


@dataclass
class PlannedEncoder:
    """A phrase lies on the axis of the name that it has first, a product where its plan says: text to cosines with the names."""

    plan: Mapping[str, Sequence[float]]
    identity: str = "planned@1"
    names: tuple[str, ...] = NAMES

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([self._one(text) for text in texts], dtype=np.float32)

    def _one(self, text: str) -> list[float]:
        first = min((name for name in self.names if name in text), key=text.index, default=None)
        cosines = list(self.plan.get(text) or [float(name == first) for name in self.names])
        return [*cosines, np.sqrt(1 - np.square(cosines).sum())]  # the last axis is nobody's


def code(number: int) -> str:
    """Write a number in zeros and ones that look random: a text of its own for each, of few n-grams in all."""
    return f"{number * 0x9E3779B1 % 2**20:020b}"


def planned(log_scores: Sequence[Sequence[float]], each: int = 1) -> tuple[ZeroShot, list[str]]:
    """Return a rung fitted on products with these log-scores, `each` of every row, and the texts of one product a row."""
    rows = [list(np.array(row) * TEMPERATURE) for row in log_scores]
    texts = [code(number) for number in range(each * len(rows))]
    plan = {text: rows[place % len(rows)] for place, text in enumerate(texts)}
    return ZeroShot(FLAT, PlannedEncoder(plan)).fit(products(texts)), texts[: len(rows)]


def softmax(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.exp(scores) / np.exp(scores).sum()


BIASED = [
    [3.5, 0.0, 0.0, 0.0],
    [2.0, 1.5, 0.0, 0.0],
    [2.0, 0.0, 1.5, 0.0],
    [2.0, 0.0, 0.0, 1.5],
]
"""Every product's own category is worth 1.5, and bread 2 more for any product: so bread wins them all."""


def test_a_bias_of_the_encoder_towards_one_category_is_taken_out() -> None:
    rung, texts = planned(BIASED, each=100)
    evidence = [rung.explain(product) for product in products(texts)]
    assert [each.before_calibration.argmax() for each in evidence] == [0, 0, 0, 0]
    assert [each.after_calibration.argmax() for each in evidence] == [0, 1, 2, 3]
    assert rung.predict_proba(products(texts)).argmax(axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("each", "trust"), [(1, 4 / 54), (5, 20 / 70), (50, 200 / 250)])
def test_half_of_the_catalogues_mean_is_taken_for_bias_as_far_as_the_catalogue_is_large_enough_to_tell(each: int, trust: float) -> None:
    assert (ENOUGH, PRIOR_STRENGTH) == (50, 0.5)
    rung, texts = planned(BIASED, each)
    before = np.array([softmax(row) for row in BIASED])
    after = before / before.mean(axis=0) ** (0.5 * trust)
    for row, product in enumerate(products(texts)):
        found = rung.explain(product)
        np.testing.assert_allclose(found.before_calibration, before[row], rtol=1e-4)
        np.testing.assert_allclose(found.after_calibration, after[row] / after[row].sum(), rtol=1e-3)


def test_a_catalogue_without_bias_is_left_as_it_is() -> None:
    rung, texts = planned(np.eye(4) * 1.5)
    for product in products(texts):
        found = rung.explain(product)
        np.testing.assert_allclose(found.after_calibration, found.before_calibration, rtol=1e-4)


@pytest.mark.parametrize("strength", [0.5, *(pytest.param(each, marks=pytest.mark.slow) for each in (1.5, 3.0))])
def test_the_blend_is_on_average_as_sure_as_the_voices(strength: float) -> None:
    rows = np.random.default_rng(5).uniform(0, strength, (200, 4)) + strength * np.eye(4)[np.arange(200) % 4]
    rung, texts = planned(rows.tolist())
    evidence = [rung.explain(product) for product in products(texts)]
    voices, blend = ([getattr(each, name).max() for each in evidence] for name in ("after_calibration", "probability"))
    assert np.mean(blend) == pytest.approx(np.mean(voices), abs=2e-3)
    assert not np.allclose(blend, voices, atol=5e-3)  # one by one, products are surer or less sure than before


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_with_any_voices_the_blend_is_on_average_as_sure_as_they_are(name: str, tmp_path: Path) -> None:
    rung = MODELS[name].fitted(tmp_path)
    evidence = [rung.explain(product) for product in MODELS[name].products]
    sure = np.mean([each.probability.max() for each in evidence])
    assert sure == pytest.approx(np.mean([each.after_calibration.max() for each in evidence]), abs=2e-3)


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_the_evidence_ends_in_what_is_predicted(name: str, tmp_path: Path) -> None:
    rung = MODELS[name].fitted(tmp_path)
    for product in MODELS[name].products:
        evidence = rung.explain(product)
        [predicted] = rung.predict_proba([product])
        assert np.array_equal(evidence.probability, predicted)
        for stage in (evidence.before_calibration, evidence.after_calibration, evidence.probability):
            assert (stage.dtype, stage.shape) == (np.dtype(np.float32), (6,))
            assert stage.sum() == pytest.approx(1, abs=1e-5)


def test_the_similarity_is_the_mean_of_the_cosines_with_the_whole_and_with_the_nearest_part() -> None:
    """Bread stands at the whole, its alias Toast is a part of its own; the letters are silent."""
    taxonomy = Taxonomy([Category("b", "Bread", aliases=("Toast",)), Category("f", "Fish")])
    encoder = PlannedEncoder({"1234": (0.6, 0.0, 0.5)}, names=("Bread", "Fish", "Toast"))
    rung = ZeroShot(taxonomy, encoder).fit(products(["1234"]))
    [product] = products(["1234"])
    bread, fish = rung.explain(product).similarity
    # The whole of bread is on bread's axis (0.6); of its parts bread (0.6) is nearer than toast (0.5).
    assert (bread, fish) == pytest.approx((0.6, 0.0), abs=1e-6)
    encoder.plan = {"1234": (0.1, 0.0, 0.9)}
    assert rung.explain(product).similarity[0] == pytest.approx((0.1 + 0.9) / 2, abs=1e-6)


def test_letters_speak_beside_the_encoder_with_a_fifth_of_its_weight() -> None:
    rung = ZeroShot(FLAT, PlannedEncoder({"honey": (0.5, 0.0, 0.0, 0.2)})).fit(products(["honey"]))
    [product] = products(["honey"])
    # Letter by letter, the product is the category: the cosine is 1.
    assert LETTERS == 0.2
    assert rung.explain(product).similarity.tolist() == pytest.approx([0.5, 0.0, 0.0, 0.2 + 0.2], abs=1e-6)


def test_the_nearest_phrase_is_the_one_that_is_most_like_the_product() -> None:
    taxonomy = Taxonomy(
        [
            Category("d", "Drinks"),
            Category("t", "Tea", aliases=("matcha", "rooibos"), examples=("Earl Grey bags",), parents=("d",)),
            Category("c", "Coffee/Cocoa", parents=("d",)),
        ]
    )
    rung = ZeroShot(taxonomy, WordEncoder()).fit(products(TEXTS))

    def nearest(text: str) -> tuple[str, ...]:
        return rung.explain(products([text])[0]).nearest

    assert nearest("cocoa and matcha") == ("matcha for sale in the Drinks department", "Cocoa for sale in the Drinks department")
    assert nearest("coffee and rooibos") == ("rooibos for sale in the Drinks department", "Coffee for sale in the Drinks department")
    assert nearest("Earl Grey")[0] == "Earl Grey bags"


def test_without_an_encoder_the_nearest_phrase_is_the_one_that_is_most_like_it_letter_by_letter() -> None:
    taxonomy = Taxonomy([Category("t", "茶叶", aliases=("绿茶", "红茶")), Category("s", "香皂", examples=("洗手液 500ml",))])
    rung = ZeroShot(taxonomy, None).fit(products(["西湖绿茶", "洗手液"]))
    assert rung.explain(products(["西湖绿茶"])[0]).nearest[0] == "绿茶"
    assert rung.explain(products(["洗手液"])[0]).nearest == ("茶叶", "洗手液 500ml")


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_batches_bound_memory_and_change_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = MODELS[name]
    whole = case.fitted(tmp_path).predict_proba(case.products)
    monkeypatch.setattr(zero_shot, "BATCH", 3)
    np.testing.assert_allclose(case.fitted(tmp_path).predict_proba(case.products), whole, rtol=1e-3, atol=1e-5)
    monkeypatch.setattr(zero_shot, "SCORES_PER_BATCH", 1)  # one product by one
    np.testing.assert_allclose(case.fitted(tmp_path).predict_proba(case.products), whole, rtol=1e-3, atol=1e-5)


def test_of_a_large_catalogue_a_sample_from_all_of_it_tells_how_sure_the_voices_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue is sorted by how sure the voices can be; a sample from its beginning would make the blend far too unsure."""
    monkeypatch.setattr(zero_shot, "SAMPLE", 20)
    rows = [[float(column == row % 4) * row / 25 for column in range(4)] for row in range(100)]
    rung, texts = planned(rows)
    evidence = [rung.explain(product) for product in products(texts)]
    sure = np.mean([each.probability.max() for each in evidence])
    assert sure == pytest.approx(np.mean([each.after_calibration.max() for each in evidence]), abs=0.02)


IGNORANT = Source("ignorant", "nowhere", "1")


@dataclass
class CheeseLM:
    """A language model that lifts cheese by up to 2 nats, by what a text's zeros and ones say."""

    asked: list[str] = field(default_factory=list)

    def score(self, prompts: Sequence[str], labels: Sequence[str], *, chat: bool = False) -> npt.NDArray[np.float32]:
        self.asked += prompts
        return np.array(
            [[prompt.count("1") % 9 / 4 if label == " Cheese" and "N/A" not in prompt else 0.0 for label in labels] for prompt in prompts],
            dtype=np.float32,
        )

    def score_shortlists(
        self, prompts: Sequence[str], labels: Sequence[str], shortlists: npt.NDArray[np.int64], *, chat: bool = False
    ) -> npt.NDArray[np.float32]:
        return np.take_along_axis(self.score(prompts, labels, chat=chat), shortlists, axis=1)


@dataclass
class IgnorantEncoder:
    """An encoder that has learnt nothing: a text's vector is drawn from its letters by lot, or is the same for all."""

    constant: bool = False
    width: int = 384
    """As wide as the encoders of the presets: in narrow spaces vectors drawn by lot lie near each other."""
    identity: str = IGNORANT.identity
    source: Source = IGNORANT

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.array([drawn("" if self.constant else text, self.width) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


LETTERS_ONLY = [f"{letter * 3}" for letter in "abcdefghijklmnopqrst"]
SHAPES = {
    "flat": LETTERS_ONLY,
    "five branches of four": [f"{'UVWXY'[place % 5] * 4} > {name}" for place, name in enumerate(LETTERS_ONLY)],
    "one branch with nearly all leaves": [f"{'VW'[place >= 19] * 4} > {name}" for place, name in enumerate(LETTERS_ONLY)],
}
CODES = [code(number) for number in range(400)]
"""No n-gram of these is one of a category's."""


def bootstrapped(monkeypatch: pytest.MonkeyPatch, paths: Sequence[str], encoder: object, texts: Sequence[str]) -> tuple[Tagger, Outcome]:
    monkeypatch.setattr(parts, "SentenceEncoder", lambda *_: encoder)
    tagger = Tagger(Taxonomy.from_paths(paths, language="en"))
    return tagger, tagger.bootstrap(list(texts))


@pytest.mark.parametrize("shape", [pytest.param("flat", marks=pytest.mark.slow), "one branch with nearly all leaves"])
def test_where_all_vectors_are_the_same_every_category_is_as_likely_and_nothing_is_tagged(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger, outcome = bootstrapped(monkeypatch, SHAPES[shape], IgnorantEncoder(constant=True), CODES)
    assert outcome == Outcome(products=400, tagged=0, backed_off=0, abstained=400)
    np.testing.assert_allclose(tagger.predict_proba(CODES[:50]), np.full((50, 20), 1 / 20), rtol=1e-3)


@pytest.mark.parametrize("shape", [pytest.param("flat", marks=pytest.mark.slow), "five branches of four"])
def test_where_vectors_are_drawn_by_lot_nothing_is_tagged(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger, outcome = bootstrapped(monkeypatch, SHAPES[shape], IgnorantEncoder(), CODES)
    assert outcome == Outcome(products=400, tagged=0, backed_off=0, abstained=400)
    unseen = tagger.predict([code(number) for number in range(400, 700)])
    assert [tag.category for tag in unseen] == [None] * 300


def test_where_vectors_are_drawn_by_lot_most_is_left_open_even_where_one_branch_is_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nineteen of twenty leaves hold 0.95 of an even distribution: what is tagged is that branch, which a guess would hit, never a leaf."""
    _, outcome = bootstrapped(monkeypatch, SHAPES["one branch with nearly all leaves"], IgnorantEncoder(), CODES)
    assert outcome.tagged == 0
    assert outcome.abstained + outcome.backed_off == 400
    assert outcome.abstained > 300


@pytest.mark.slow
def test_of_a_large_catalogue_the_language_model_is_asked_where_its_opinion_can_change_the_likeliest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bread leads by 0 to 6 nats, and the model, at its weight of a half, takes between 0 and 1 from that, whatever the lead."""
    monkeypatch.setattr(shortlist_lm, "ASKED_FIRST", 40)
    monkeypatch.setattr(ShortlistScorer, "weight", lambda *_: 0.5)
    log_scores = {code(number): number / 100 for number in range(600)}
    encoder = PlannedEncoder({text: [lead * TEMPERATURE, 0, 0, 0] for text, lead in log_scores.items()})

    def fitted(texts: Sequence[str], folder: str) -> tuple[ZeroShot, CheeseLM]:
        lm = CheeseLM()
        scorer = ShortlistScorer(IGNORANT, Prompt.load("category.v1"), FLAT, tmp_path / folder)
        scorer._lm = lm
        return ZeroShot(FLAT, encoder, lm=scorer).fit(products(texts)), lm

    rung, lm = fitted(list(log_scores), "one")
    assert 0.9 < rung._reach <= 1.01
    assert rung.consulted
    asked = rung.consulted.texts
    assert (rung.consulted.of, asked) == (600, sum(any(text in prompt for prompt in lm.asked) for text in log_scores))
    believed = {text: rung._believed(rung._view([text])) for text in log_scores}
    near = {text for text in believed if np.diff(np.sort(believed[text][0])[-2:])[0] <= rung._reach}
    heard = {text for text in believed if not np.array_equal(rung.lm.reweigh([text], believed[text], 0.5, rung._reach), believed[text])}
    silent = {text for text in believed if text.count("1") % 9 == 0}  # of these the model has no opinion
    assert (heard - silent, len(near | set(asked_first(list(log_scores))))) == (near - silent, asked)
    assert 100 < asked < 250
    # Neither the order of the catalogue nor the size of batches changes anything, nor does a tagger that is saved and loaded.
    monkeypatch.setattr(zero_shot, "BATCH", 7)
    again, _ = fitted(list(log_scores)[::-1], "two")
    assert (again._reach, again.consulted) == (rung._reach, rung.consulted)
    (tmp_path / "saved").mkdir()
    rung.save(tmp_path / "saved")
    loaded = ZeroShot(FLAT, encoder, lm=rung.lm).load(tmp_path / "saved")
    assert (loaded._reach, loaded.consulted) == (rung._reach, rung.consulted)
    assert np.array_equal(loaded.predict_proba(products(list(log_scores))), rung.predict_proba(products(list(log_scores))))


@dataclass
class PlannedLM:
    """A language model that lifts one name by three nats for each text of its plan."""

    plan: Mapping[str, str]
    asked: set[str] = field(default_factory=set)

    def score(self, prompts: Sequence[str], labels: Sequence[str], *, chat: bool = False) -> npt.NDArray[np.float32]:
        texts = [next((text for text in self.plan if text in prompt), "") for prompt in prompts]
        self.asked |= set(texts) - {""}
        return np.array([[3.0 * (label == f" {self.plan.get(text)}") for label in labels] for text in texts], dtype=np.float32)

    def score_shortlists(
        self, prompts: Sequence[str], labels: Sequence[str], shortlists: npt.NDArray[np.int64], *, chat: bool = False
    ) -> npt.NDArray[np.float32]:
        return np.take_along_axis(self.score(prompts, labels, chat=chat), shortlists, axis=1)


@pytest.fixture
def doubtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[PlannedLM], ZeroShot]:
    """A rung, not fitted yet, whose encoder finds bread in even texts and cheese in odd ones; three of ten texts it gets wrong."""
    monkeypatch.setattr(shortlist_lm, "ASKED_FIRST", 200)
    encoder = PlannedEncoder({text: [seen * TEMPERATURE for seen in SEEN[number % 2]] for number, text in enumerate(MANY_CODES)})

    def make(lm: PlannedLM) -> ZeroShot:
        scorer = ShortlistScorer(IGNORANT, Prompt.load("category.v1"), FLAT, tmp_path / str(id(lm)))
        scorer._lm = lm  # type: ignore[assignment]
        return ZeroShot(FLAT, encoder, lm=scorer)

    return make


MANY_CODES = [code(number) for number in range(400)]
SEEN = ([1.5, 0.5, 0, 0], [0.5, 1.5, 0, 0])
TRUTH = {text: NAMES[(number + (number % 10 < 3)) % 2] for number, text in enumerate(MANY_CODES)}
LABELS = [Label(text, FLAT.find(TRUTH[text]), "ann") for text in MANY_CODES[:100]]
ITEMS = [Product(text, text) for text in MANY_CODES]


def test_a_language_model_that_agrees_no_more_than_chance_is_asked_first_and_then_no_more(
    doubtful: Callable[[PlannedLM], ZeroShot],
) -> None:
    rng = np.random.default_rng(0)
    lm = PlannedLM({text: str(rng.choice(NAMES)) for text in MANY_CODES})
    rung = doubtful(lm).fit(ITEMS)
    assert rung.consulted == Consulted(200, 400, 0.0, by_labels=False)
    assert lm.asked == set(asked_first(MANY_CODES))
    without = ZeroShot(FLAT, rung.encoder).fit(ITEMS)
    np.testing.assert_array_equal(rung.predict_proba(ITEMS), without.predict_proba(ITEMS))


def test_without_labels_a_model_counts_by_how_far_it_agrees_and_with_labels_by_what_they_say(
    doubtful: Callable[[PlannedLM], ZeroShot],
) -> None:
    knowing = doubtful(PlannedLM(TRUTH)).fit(ITEMS)
    assert knowing.consulted
    assert (0.02 <= knowing.consulted.weight <= 0.2, knowing.consulted.by_labels) == (True, False)
    knowing.heed(ITEMS, LABELS)
    assert knowing.consulted.weight == 1.0  # the most that there is, as it is always right
    assert knowing.consulted.by_labels
    heard = np.concatenate([knowing._calibrated(view) for view in knowing._views(MANY_CODES)])
    assert [NAMES[column] for column in heard.argmax(axis=1)] == list(TRUTH.values())
    knowing.heed(ITEMS, LABELS[:29])  # too few to say
    assert knowing.consulted == doubtful(PlannedLM(TRUTH)).fit(ITEMS).consulted


def test_of_many_labels_the_model_is_asked_about_as_many_as_tell(
    doubtful: Callable[[PlannedLM], ZeroShot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist_lm, "ASKED_FIRST", 40)
    lm = PlannedLM(dict.fromkeys(MANY_CODES, NAMES[2]))
    found = doubtful(lm).fit(ITEMS, LABELS).consulted
    assert found
    assert (found.weight, found.by_labels) == (0.0, True)
    assert lm.asked == {*asked_first(MANY_CODES), *asked_first([label.product_id for label in LABELS])}


def test_a_single_category_needs_no_language_model(tmp_path: Path) -> None:
    alone, lm = Taxonomy.from_paths(["Bread"]), PlannedLM({})
    scorer = ShortlistScorer(IGNORANT, Prompt.load("category.v1"), alone, tmp_path)
    scorer._lm = lm  # type: ignore[assignment]
    rung = ZeroShot(alone, PlannedEncoder({text: [0.5] for text in MANY_CODES}, names=("Bread",)), lm=scorer).fit(ITEMS)
    assert rung.consulted is None
    assert np.array_equal(rung.predict_proba(ITEMS[:2]), np.ones((2, 1), dtype=np.float32))


def test_a_model_that_labels_are_better_met_without_has_no_weight_however_far_it_agrees(doubtful: Callable[[PlannedLM], ZeroShot]) -> None:
    misled = {text: NAMES[number % 2] if number % 10 < 5 else NAMES[2] for number, text in enumerate(MANY_CODES)}
    before = doubtful(PlannedLM(misled)).fit(ITEMS).consulted
    after = doubtful(PlannedLM(misled)).fit(ITEMS, LABELS).consulted
    assert before
    assert before.weight > 0.1
    assert after
    assert (after.weight, after.by_labels) == (0.0, True)


def test_where_the_encoder_knows_all_is_tagged() -> None:
    """Else the tests above would hold for a tagger that always abstains."""
    rung, texts = planned(np.eye(4) * 8, each=5)
    assert rung.predict_proba(products(texts)).diagonal().min() > 0.9


def test_without_an_encoder_texts_that_share_no_letters_with_the_categories_are_not_tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SentenceEncoder", None)  # a call would fail
    tagger = Tagger(Taxonomy.from_paths(SHAPES["one branch with nearly all leaves"], language="sv"))
    assert tagger.bootstrap(CODES) == Outcome(products=400, tagged=0, backed_off=0, abstained=400)
    assert tagger.bootstrap([f"{name} {number}" for number, name in enumerate(LETTERS_ONLY * 5)]).tagged > 50
