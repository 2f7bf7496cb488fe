"""The neighbours rung: labels walk as the closed form says, are spread to what they speak for, and never over a gap or a person's no.

Worked example: `Blobs` puts the text "a7" near the centre of blob a. Blobs a, b and c are orthogonal, so that nothing but the labels'
own blob is near a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import binomtest
from test_models import drawn

from fewtag.audit import audit_sample
from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.metrics import wilson
from fewtag.models.neighbours.brakes import (
    BOUND,
    LENIENCE,
    SHRINKAGE,
    Sureness,
    thresholds,
    usual_similarity,
    wilson_lower,
)
from fewtag.models.neighbours.graph import ALPHA, neighbour_graph, reach, scale, without_self
from fewtag.models.neighbours.rung import Neighbours
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]
AXES = "abcxyz"
FLAT = Taxonomy.from_paths(["a", "b", "c"])


@dataclass
class Blobs:
    """Puts a text on the axis of its first letter, with noise of its own; one with a second letter lies between two axes."""

    noise: float = 0.6
    identity: str = "blobs@1"
    width: int = 24

    def encode(self, texts: Sequence[str]) -> Array:
        rows = np.array([drawn(text.lower().strip("!"), self.width) for text in texts]) * self.noise / np.sqrt(self.width)
        for row, text in enumerate(texts):
            letters = [letter for letter in text.lower() if letter in AXES]
            for letter in letters:
                rows[row, AXES.index(letter)] += 1 / np.sqrt(len(letters))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def blob(letter: str, n: int = 30) -> list[Product]:
    return [Product(f"{letter}{number}", f"{letter}{number}") for number in range(n)]


def labelled(letter: str, n: int, category: str = "") -> list[Label]:
    return [Label(f"{letter}{number}", category or letter) for number in range(n)]


PRODUCTS = blob("a") + blob("b") + blob("c")
LABELS = labelled("a", 12) + labelled("b", 12) + labelled("c", 12)


def fitted(products: Sequence[Product] = PRODUCTS, labels: Sequence[Label] = LABELS, seed: int = 0) -> Neighbours:
    return Neighbours(FLAT, Blobs(), seed=seed).fit(products, labels)


def random_vectors(n: int, dimensions: int = 6) -> Array:
    rows = np.random.default_rng(1).standard_normal((n, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def nearest(vectors: Array, k: int) -> tuple[Array, npt.NDArray[np.int64]]:
    cosines = vectors @ vectors.T
    rows = np.argsort(-cosines, axis=1)[:, : k + 1]
    return without_self(np.take_along_axis(cosines, rows, axis=1), rows)


def test_the_graph_is_what_brute_force_over_all_pairs_gives() -> None:
    vectors, k = random_vectors(20), 4
    cosines, rows = nearest(vectors, k)
    weights = np.zeros((20, 20))
    for one in range(20):
        for other in range(20):
            if other in rows[one] or one in rows[other]:
                distance = [np.sqrt(2 - 2 * sorted(vectors @ vectors[end], reverse=True)[k]) for end in (one, other)]
                weights[one, other] = np.exp(-(2 - 2 * vectors[one] @ vectors[other]) / (distance[0] * distance[1]))
    degree = weights.sum(axis=1)
    expected = weights / np.sqrt(degree[:, None] * degree)
    np.testing.assert_allclose(neighbour_graph(cosines, rows).toarray(), expected, atol=1e-5)


def test_a_hub_is_heard_less_than_a_product_with_few_neighbours() -> None:
    """Row 0 is everyone's neighbour; rows 1 and 2 are also each other's, at the same distance as from the hub."""
    cosines = np.full((6, 1), 0.8, dtype=np.float32)
    rows = np.array([[1], [2], [1], [0], [0], [0]])
    graph = neighbour_graph(cosines, rows).toarray()
    assert graph[1, 0] == pytest.approx(1 / np.sqrt(2 * 4), abs=1e-6)
    assert graph[1, 2] == pytest.approx(1 / np.sqrt(2 * 1), abs=1e-6)


def test_labels_walk_as_the_closed_form_of_label_spreading_says() -> None:
    graph = neighbour_graph(*nearest(random_vectors(40), 5))
    seeds = np.zeros((40, 3))
    seeds[[3, 17, 30], [0, 1, 2]] = 1
    found = reach(graph, sparse.csr_matrix(seeds), floor=0).toarray()
    closed = (1 - ALPHA) * np.linalg.inv(np.eye(40) - ALPHA * graph.toarray()) @ seeds
    np.testing.assert_allclose(found, closed, atol=1e-5)
    pruned = reach(graph, sparse.csr_matrix(seeds))
    np.testing.assert_allclose(pruned.toarray(), closed, atol=2e-3)
    assert (pruned.toarray() <= closed + 1e-6).all()
    assert pruned.nnz <= np.count_nonzero(found)


def test_a_walk_does_not_leave_its_component_and_a_whisper_is_not_passed_on() -> None:
    line = sparse.diags_array([np.full(99, 0.5), np.full(99, 0.5)], offsets=[-1, 1]).tocsr()
    seeds = sparse.csr_matrix(([1.0], ([0], [0])), shape=(100, 1))
    heard = reach(line, seeds).toarray().ravel()
    # On an endless line what is heard falls by (1 - sqrt(1 - a²)) / a = 1/2 a step: below the floor from step 12 on at the latest.
    np.testing.assert_allclose(heard[1:6] / heard[:5], np.full(5, 0.5), atol=2e-2)
    assert heard[8] > 0
    assert not heard[13:].any()


def test_the_scale_is_the_distance_to_the_seventh_neighbour_or_to_the_last() -> None:
    cosines = np.float32([[0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.5], [1, 1, 1, 1, 1, 1, 1, 1], [0.5, -1, -1, -1, -1, -1, -1, -1]])
    assert scale(cosines).tolist() == pytest.approx([0.4, 0.1, np.sqrt(2)], abs=1e-6)
    assert scale(cosines[:1, :2]).tolist() == pytest.approx([0.2], abs=1e-6)


def test_labels_are_spread_over_their_blob_and_name_where_they_come_from() -> None:
    spreads = fitted().spread()
    assert len(spreads) >= 0.8 * 54
    assert all(spread.category == spread.product_id[0] for spread in spreads)
    vectors = dict(zip([product.id for product in PRODUCTS], Blobs().encode([product.text for product in PRODUCTS]), strict=True))
    given = {label.product_id for label in LABELS}
    for spread in spreads:
        cosines = sorted(
            ((float(vectors[spread.product_id] @ vectors[other]), other) for other in given if other[0] == spread.category), reverse=True
        )
        assert [source for source, _ in spread.sources] == [other for _, other in cosines[:3]]
        assert [cosine for _, cosine in spread.sources] == pytest.approx([cosine for cosine, _ in cosines[:3]], abs=1e-5)
        assert 0.9 < spread.confidence < 1
        assert spread.product_id not in given


def test_spreads_follow_the_products() -> None:
    order = [product.id for product in PRODUCTS]
    places = [order.index(spread.product_id) for spread in fitted().spread()]
    assert places == sorted(places)


def test_nothing_is_spread_over_a_gap_and_beyond_it_every_category_is_as_likely() -> None:
    """Blob x has no label; a bridge of products leads to it from blob a."""
    bridge = [Product(f"ax{number}", f"ax{number}") for number in range(5)]
    rung = fitted(PRODUCTS + bridge + blob("x"))
    spreads = rung.spread()
    assert any(spread.product_id.startswith("a") for spread in spreads)
    assert not [spread for spread in spreads if spread.product_id.startswith("x")]
    [row] = fitted(PRODUCTS + blob("x")).predict_proba([Product("new", "x99")])
    np.testing.assert_allclose(row, np.full(3, 1 / 3), atol=1e-6)


def test_few_labels_are_not_believed_and_wrong_ones_even_less() -> None:
    assert fitted(labels=labelled("a", 2) + labelled("b", 2)).spread() == []
    mixed = [replace(label, category="abc"[number % 3]) for number, label in enumerate(LABELS)]
    assert fitted(labels=mixed).spread() == []


def test_a_higher_precision_is_spread_to_no_more() -> None:
    rung = fitted([*PRODUCTS, *(Product(f"ab{number}", f"ab{number}") for number in range(20))], LABELS + labelled("ab", 10, "a"))
    covered = [len(rung.spread(precision=precision)) for precision in (0.5, 0.9, 0.95, 0.999)]
    assert covered == sorted(covered, reverse=True)
    assert covered[0] > covered[-1]


def test_where_another_rung_strongly_disagrees_nothing_is_spread() -> None:
    rung = fitted()
    agreeing = np.float32([[0.8 if "abc"[column] == product.id[0] else 0.1 for column in range(3)] for product in PRODUCTS])
    assert len(rung.spread(agreeing)) >= 0.8 * 54
    against = agreeing.copy()
    against[12:30] = [0.1, 0.8, 0.1]  # the unlabelled ones of blob a
    spreads = rung.spread(against)
    assert {spread.product_id[0] for spread in spreads} == {"b", "c"}
    with pytest.raises(ValueError, match=r"of shape \(90, 3\), not \(3, 90\)"):
        rung.spread(agreeing.T)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 29), st.sampled_from("abc")), max_size=40))
def test_a_product_is_never_given_what_it_is_labelled_not_to_be(barred: list[tuple[str, int, str]]) -> None:
    negatives = [Label(f"{letter}{number}", category, negative=True) for letter, number, category in barred]
    positive = [label for label in LABELS if (label.product_id, label.category) not in {(n.product_id, n.category) for n in negatives}]
    rung = fitted(labels=[*positive, *negatives])
    forbidden = {(label.product_id, label.category) for label in negatives}
    assert not {(spread.product_id, spread.category) for spread in rung.spread(precision=0.5)} & forbidden
    found = rung.predict_proba(PRODUCTS)
    np.testing.assert_allclose(found.sum(axis=1), np.ones(90), atol=1e-5)
    for product, row in zip(PRODUCTS, found, strict=True):
        no = [column for column in range(3) if (product.id, "abc"[column]) in forbidden]
        assert len(no) == 3 or not row[no].any()


def test_a_no_pushes_its_category_away_among_near_neighbours() -> None:
    def probability(labels: Sequence[Label]) -> float:
        return float(fitted(labels=labels).predict_proba([Product("new", "a100")])[0, 0])

    noes = [Label(f"a{number}", "a", negative=True) for number in range(12, 30)]
    assert probability([*LABELS, *noes]) < probability(LABELS) - 0.05


def test_a_no_to_an_inner_category_bars_all_below_it() -> None:
    taxonomy = Taxonomy.from_paths(["Food > a", "Food > b", "c"])
    rung = Neighbours(taxonomy, Blobs()).fit(PRODUCTS, [Label("a0", "food/a"), Label("a1", "food", negative=True)])
    assert rung.predict_proba([Product("a1", "a1")]).tolist() == [[0, 0, 1]]


def test_a_label_of_less_weight_counts_less() -> None:
    def probability(weight: float) -> float:
        return float(fitted(labels=[replace(LABELS[0], weight=weight)]).predict_proba(PRODUCTS[:1])[0, 0])

    # The text itself votes for a with its weight, and the even distribution has a tenth of a vote.
    assert probability(1) == pytest.approx((1 + 0.1 / 3) / 1.1, abs=1e-5)
    assert probability(0.5) == pytest.approx((0.5 + 0.1 / 3) / 0.6, abs=1e-5)


def test_texts_that_differ_in_case_and_punctuation_alone_are_the_same_product() -> None:
    products = [Product("one", "a1"), Product("two", "A1!"), Product("three", "b1"), Product("four", "a1 !")]
    rung = Neighbours(FLAT, Blobs()).fit(products, [Label("one", "a"), Label("four", "a", negative=True)])
    assert rung.spread() == []  # one says yes, another no to the very same text
    rung.fit(products, [Label("one", "a")])
    assert [(spread.product_id, spread.category, spread.sources) for spread in rung.spread()] == [
        ("two", "a", (("one", pytest.approx(1, abs=1e-5)),)),
        ("four", "a", (("one", pytest.approx(1, abs=1e-5)),)),
    ]


def test_the_same_seed_gives_the_same_spreads_and_bits() -> None:
    one, other = fitted(seed=4), fitted(seed=4)
    assert one.spread() == other.spread() != []
    assert np.array_equal(one.predict_proba(PRODUCTS), other.predict_proba(PRODUCTS))


def test_what_is_saved_predicts_the_same_and_spreads_only_after_a_fit(tmp_path: Path) -> None:
    rung = fitted(labels=[*LABELS, Label("a20", "a", negative=True)])
    rung.save(tmp_path)
    loaded = Neighbours(FLAT, Blobs()).load(tmp_path)
    unseen = [*PRODUCTS, Product("new", "a77"), Product("far", "x3"), Product("between", "ab5")]
    assert np.array_equal(loaded.predict_proba(unseen), rung.predict_proba(unseen))
    with pytest.raises(ModelError, match="no products to spread labels to -> fit it"):
        loaded.spread()


def test_labels_of_other_products_say_nothing_and_of_unknown_categories_are_refused() -> None:
    assert fitted(labels=[*LABELS, Label("gone", "a")]).spread() == fitted().spread()
    with pytest.raises(ModelError, match="product 'a0' is labelled 'tea', which is no assignable category"):
        fitted(labels=[Label("a0", "tea")])


def test_a_threshold_holds_for_all_classes_together_and_for_each_alone() -> None:
    """Of 60 held-out labels the surest 50 are right; class 1 errs twice among those below, class 0 never."""
    sure = np.linspace(0.99, 0.4, 60)
    said = np.arange(60) % 2
    right = np.ones(60, dtype=bool)
    right[[51, 53]] = False
    for precision in (0.8, 0.93, 0.95):
        expected = []
        for column in (0, 1):
            passing = []
            for n in range(1, 61):
                pooled = binomtest(int(right[:n].sum()), n).proportion_ci(BOUND, "wilson").low
                found, own = (right & (said == column))[:n].sum(), (said == column)[:n].sum()
                if found and pooled >= precision and (found + SHRINKAGE * pooled) / (own + SHRINKAGE) >= precision:
                    passing.append(sure[n - 1])
            expected.append(max(min(passing), 1 - LENIENCE * (1 - precision)))
        assert thresholds(sure, right, said, 2, precision).tolist() == pytest.approx(expected)
    zero, one = thresholds(sure, right, said, 2, 0.8)
    assert zero == one == pytest.approx(0.6)  # less sure tags could be proven too, but each might be wrong with more than .4
    assert thresholds(sure, right, said * 0, 2, 0.8).tolist() == pytest.approx([0.6, np.inf])  # no label of class 1 was found again
    assert np.isinf(thresholds(sure[:3], right[:3], said[:3], 2, 0.95)).all()


def test_a_category_that_was_wrong_itself_needs_more_than_what_all_have_proven() -> None:
    """All 100 labels of class 0 are right, and the one of class 1 that is found again comes with one that is not."""
    sure = np.concatenate([np.linspace(0.99, 0.95, 100), [0.94, 0.93]])
    right = np.array([True] * 101 + [False])
    said = np.array([0] * 100 + [1, 1])
    zero, one = thresholds(sure, right, said, 2, 0.95)
    assert zero == 0.93
    assert one == 0.94  # with the wrong one: (1 + 4 * .97) / (2 + 4) = .81


def test_the_lower_bound_is_wilsons() -> None:
    found = wilson_lower(np.array([0, 7, 40]), np.array([5, 10, 40]))
    expected = [binomtest(right, of).proportion_ci(BOUND, "wilson").low for right, of in ((0, 5), (7, 10), (40, 40))]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_a_category_with_few_labels_takes_its_usual_distance_from_all() -> None:
    cosines = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    owner = np.array([0, 0, 0, 0, 1, 1])
    # The lowest tenth of all ends at .5; class 0 weighs as much as all with its four labels, class 2 has none.
    assert usual_similarity(cosines, owner, 3).tolist() == pytest.approx([(4 * 0.9 + 4 * 0.5) / 8, 0.5, 0.5])


def test_signs_of_which_nothing_was_learnt_make_no_tag_less_sure() -> None:
    sureness = Sureness(np.zeros(1), np.ones(1), np.array([1e-9]), bias=3.0)
    assert sureness(np.array([[-3.0], [3.0]])).tolist() == [pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)] * 2
    assert len(set(sureness(np.array([[-3.0], [3.0]])).tolist())) == 1


def test_sureness_grows_with_every_sign_that_tells_and_ignores_one_that_misleads() -> None:
    generator = np.random.default_rng(2)
    signs = generator.standard_normal((400, 2))
    right = generator.random(400) < 1 / (1 + np.exp(-3 * signs[:, 0] + 2 * signs[:, 1]))
    sureness = Sureness.learn(signs, right)
    assert sureness.weights[0] > 0.5
    assert sureness.weights[1] == 0
    low, high = sureness(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    assert low < 0.4 < 0.6 < high
    assert sureness(signs).mean() == pytest.approx(right.mean(), abs=0.03)


def test_an_audit_draws_each_spread_once_and_bounds_the_precision() -> None:
    drawn_once = audit_sample(range(1000), 50, seed=1)
    assert drawn_once == sorted(set(drawn_once)) == audit_sample(range(1000), 50, seed=1)
    assert drawn_once != audit_sample(range(1000), 50, seed=2)
    assert wilson(0, 0) == (0, 1)
    low, high = wilson(96, 100)
    # Wilson by hand: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    z, p, n = 1.959964, 0.96, 100
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-6)
