"""The decision rule: hand-worked tags, backing off, abstaining, and a model that knows nothing and must not look as if it did.

Which odds are evidence: a category with a share s of the classes needs p / (1 - p) >= 3 s / (1 - s).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fewtag.core import Tag
from fewtag.decide import EVIDENCE, PRECISION, decide
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(
    [
        "Drinks > Tea > Green",
        "Drinks > Tea > Black",
        "Drinks > Coffee",
        "Toys > Dolls",
        "Toys > Kites",
        "Toys > Balls",
        "Pets > Dogs",
        "Pets > Cats",
    ]
)
GREEN, BLACK, COFFEE, DOLLS = SHOP.classes[:4]
PRECISIONS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)


def row(taxonomy: Taxonomy, shares: Mapping[str, float]) -> npt.NDArray[np.float32]:
    """Return one row of probabilities; what the named classes leave is spread evenly over the rest."""
    rest = (1 - sum(shares.values())) / max(len(taxonomy.classes) - len(shares), 1)
    return np.array([[shares.get(category, rest) for category in taxonomy.classes]], dtype=np.float32)


def said(taxonomy: Taxonomy, shares: Mapping[str, float], precision: float = PRECISION) -> tuple[str | None, float]:
    (tag,) = decide(["1"], row(taxonomy, shares), taxonomy, precision)
    return tag.category, round(tag.confidence, 4)


def test_the_deepest_category_that_is_sure_enough_is_taken() -> None:
    shares = {GREEN: 0.5, BLACK: 0.25, COFFEE: 0.125, DOLLS: 0.125}
    # On the way to green: green 0.5, tea 0.75, drinks 0.875.
    assert said(SHOP, shares, 0.5) == (GREEN, 0.5)
    assert said(SHOP, shares, 0.6) == ("drinks/tea", 0.75)
    assert said(SHOP, shares, 0.75) == ("drinks/tea", 0.75)
    assert said(SHOP, shares, 0.8) == ("drinks", 0.875)
    assert said(SHOP, shares, 0.9) == (None, 0.5)


def test_a_tag_says_how_sure_it_is_and_what_else_it_could_be() -> None:
    probabilities = row(SHOP, {GREEN: 0.625, BLACK: 0.25, COFFEE: 0.0625, DOLLS: 0.03125})
    (tag,) = decide(["4711"], probabilities, SHOP, 0.8, stages=["few-shot"] * len(SHOP.classes))
    rest = 0.0078125  # a quarter of what is left, 0.03125
    alternatives = ((GREEN, 0.625), (BLACK, 0.25), (COFFEE, 0.0625), (DOLLS, 0.03125), ("toys/kites", rest))
    assert tag == Tag("4711", "drinks/tea", 0.875, "few-shot", alternatives, 0.625)
    (tag,) = decide(["4711"], probabilities, SHOP, 0.99)
    assert tag == Tag("4711", None, 0.625, "zero-shot", alternatives, 0.625)


def test_what_is_said_are_plain_numbers_that_json_can_hold() -> None:
    (tag,) = decide(["1"], row(SHOP, {GREEN: 1.0}), SHOP)
    assert {type(value) for value in (tag.confidence, tag.score, *(share for _, share in tag.alternatives))} == {float}


def test_the_way_goes_to_the_likeliest_class_even_where_another_branch_holds_more() -> None:
    shares = {DOLLS: 0.375, GREEN: 0.25, BLACK: 0.25, COFFEE: 0.125}
    assert said(SHOP, shares, 0.5) == (None, 0.375)


def test_each_product_has_its_own_tag_in_the_order_given() -> None:
    rows = np.vstack([row(SHOP, shares) for shares in ({DOLLS: 1.0}, {}, {GREEN: 0.5, BLACK: 0.5})])
    tags = decide(["a", "b", "c"], rows, SHOP)
    assert [(tag.product_id, tag.category) for tag in tags] == [("a", DOLLS), ("b", None), ("c", "drinks/tea")]
    assert decide([], np.empty((0, len(SHOP.classes)), dtype=np.float32), SHOP) == []


def test_a_probability_that_is_the_precision_is_enough() -> None:
    for precision in PRECISIONS[1:]:
        # Below 0.6 dolls would do, but for any of these precisions one class in eight needs no more: 3 * 1/7 = odds of 0.3.
        assert said(SHOP, {DOLLS: precision}, precision) == (DOLLS, precision)
        assert said(SHOP, {DOLLS: precision - 0.001}, precision)[0] != DOLLS


def test_rounding_does_not_make_more_than_certain() -> None:
    third = np.float32(1 / 3) * np.float32(1.0001)
    probabilities = np.zeros((1, 8), dtype=np.float32)
    probabilities[0, :3] = third
    (tag,) = decide(["1"], probabilities, SHOP, 0.99)
    assert (tag.category, tag.confidence) == ("drinks", 1.0)


def test_an_assignable_inner_category_is_a_class_and_holds_its_children() -> None:
    shoes = Taxonomy.from_paths(["Shoes", "Shoes > Heels", "Shoes > Boots", *(f"Toys > {number}" for number in range(9))])
    # Best is the inner category itself; its subtree holds all three.
    assert said(shoes, {"shoes": 0.5, "shoes/heels": 0.25, "shoes/boots": 0.25}) == ("shoes", 1.0)
    # Best is a leaf below it; the inner category's own share counts for it, and not for the leaf.
    assert said(shoes, {"shoes/heels": 0.5, "shoes": 0.4375, "toys/0": 0.0625}, 0.9) == ("shoes", 0.9375)
    assert said(shoes, {"shoes/heels": 0.9375, "shoes": 0.0625}, 0.9) == ("shoes/heels", 0.9375)


def test_evidence_is_three_times_the_odds_of_a_random_guess() -> None:
    wide = Taxonomy.from_paths([*(f"Wide > {number}" for number in range(8)), "Narrow > A", "Narrow > B"])
    # Wide has 8 of 10 classes: odds of 4, so it needs odds of 12, which is 12/13 = 0.9231.
    assert EVIDENCE == 3
    assert said(wide, {"wide/0": 0.46, "wide/1": 0.46, "narrow/a": 0.08}, 0.9)[0] is None
    assert said(wide, {"wide/0": 0.4625, "wide/1": 0.4625, "narrow/a": 0.075}, 0.9) == ("wide", 0.925)
    # Narrow has 2 of 10: odds of 1/4, needs 3/7 of the probability, and precision is what binds.
    assert said(wide, {"narrow/a": 0.45, "narrow/b": 0.45}, 0.9) == ("narrow", 0.9)


def test_the_one_root_of_everything_is_never_said() -> None:
    single = Taxonomy.from_paths(["All > Tea", "All > Coffee", "All > Milk"])
    assert said(single, {"all/tea": 0.75, "all/coffee": 0.25}, 0.7) == ("all/tea", 0.75)
    assert said(single, {"all/tea": 0.75, "all/coffee": 0.25}, 0.8) == (None, 0.75)


def test_two_classes_need_three_to_one() -> None:
    two = Taxonomy.from_paths(["Tea", "Coffee"])
    assert said(two, {"tea": 0.74, "coffee": 0.26}, 0.5) == (None, 0.74)
    assert said(two, {"tea": 0.75, "coffee": 0.25}, 0.5) == ("tea", 0.75)


def several_parents(*, first: str) -> Taxonomy:
    """Gift is below a root and below another root's child; `first` is the parent that its path runs through."""
    second = {"gifts": "kitchen/cups", "kitchen/cups": "gifts"}[first]
    return Taxonomy(
        [
            Category("gifts", "Gifts"),
            Category("kitchen", "Kitchen"),
            Category("kitchen/cups", "Cups", parents=("kitchen",)),
            Category("mug", "Gift mug", parents=(first, second)),
            Category("card", "Card", parents=("gifts",)),
            Category("glass", "Glass", parents=("kitchen/cups",)),
            *(Category(f"other-{number}", f"Other {number}") for number in range(7)),
        ]
    )


@pytest.mark.parametrize("first", ["gifts", "kitchen/cups"])
def test_a_class_is_deeper_than_all_of_its_parents(first: str) -> None:
    """The mug's path may be shorter than its other parent's."""
    assert said(several_parents(first=first), {"mug": 0.95, "card": 0.05}) == ("mug", 0.95)


@pytest.mark.parametrize("first", ["gifts", "kitchen/cups"])
def test_backing_off_goes_up_by_any_parent(first: str) -> None:
    taxonomy = several_parents(first=first)
    assert said(taxonomy, {"mug": 0.5, "glass": 0.45, "card": 0.05}) == ("kitchen/cups", 0.95)
    assert said(taxonomy, {"mug": 0.5, "card": 0.45, "glass": 0.05}) == ("gifts", 0.95)
    # Cups and gifts hold 0.9 each: cups lie deeper.
    assert said(taxonomy, {"mug": 0.8, "card": 0.1, "glass": 0.1}) == ("kitchen/cups", 0.9)


def test_of_two_parents_equally_deep_the_surer_one_is_taken_and_else_the_first_in_the_file() -> None:
    taxonomy = Taxonomy(
        [
            Category("left", "Left"),
            Category("right", "Right"),
            Category("both", "Both", parents=("right", "left")),
            Category("l", "L", parents=("left",)),
            Category("r", "R", parents=("right",)),
            *(Category(f"other-{number}", f"Other {number}") for number in range(7)),
        ]
    )
    assert said(taxonomy, {"both": 0.5, "l": 0.2, "r": 0.3}, 0.6) == ("right", 0.8)
    assert said(taxonomy, {"both": 0.5, "l": 0.25, "r": 0.25}, 0.6) == ("left", 0.75)


def test_a_child_that_stands_before_its_parents_in_the_file_is_deeper_all_the_same() -> None:
    taxonomy = Taxonomy(
        [
            Category("leaf", "Leaf", parents=("middle",)),
            Category("middle", "Middle", parents=("top",)),
            Category("top", "Top"),
            *(Category(f"other-{number}", f"Other {number}") for number in range(7)),
        ]
    )
    assert said(taxonomy, {"leaf": 0.95}) == ("leaf", 0.95)


FATTEST = Taxonomy.from_paths([f"{root} > {number}" for root, size in (("Fat", 30), ("Thin", 6), ("Lean", 4)) for number in range(size)])
LOPSIDED = Taxonomy.from_paths([*(f"Fat > {number}" for number in range(99)), "Thin"])
DEEP = Taxonomy.from_paths(["A > B > C > D > E", "A > B > C > D > F", "A > B > C > G", "A > B > H", "A > I", "J"])
NOTHING_KNOWN = {"shop": SHOP, "fattest": FATTEST, "lopsided": LOPSIDED, "deep": DEEP, "several parents": several_parents(first="gifts")}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("taxonomy", NOTHING_KNOWN.values(), ids=NOTHING_KNOWN)
def test_a_model_that_knows_nothing_abstains(taxonomy: Taxonomy, precision: float) -> None:
    count = len(taxonomy.classes)
    uniform = np.full((1, count), 1 / count, dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 0.1, (200, count))
    noisy = np.exp(noise) / np.exp(noise).sum(axis=1, keepdims=True)
    rows = np.vstack([uniform, noisy]).astype(np.float32)
    tags = decide([str(number) for number in range(len(rows))], rows, taxonomy, precision)
    assert {tag.category for tag in tags} == {None}
    assert tags[0].confidence == pytest.approx(1 / count)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_fattest_branchs_own_share_is_no_evidence(precision: float) -> None:
    """Fat holds what its 30 of 40 classes make by chance, 0.75, on some of them: a class may be known, the branch is not."""
    for inside in range(1, 31):
        shares = {f"fat/{number}": 0.75 / inside if number < inside else 0.0 for number in range(30)}
        category, _ = said(FATTEST, shares, precision)
        assert category == ("fat/0" if 0.75 / inside >= precision else None)


def test_alternatives_are_the_likeliest_five_and_equal_ones_stand_in_the_order_of_the_file() -> None:
    many = Taxonomy.from_paths([f"C{number:03}" for number in range(300)])
    (tag,) = decide(["1"], row(many, {}), many)
    assert [category for category, _ in tag.alternatives] == ["c000", "c001", "c002", "c003", "c004"]
    (tag,) = decide(["1"], row(many, {"c200": 0.5, "c100": 0.125, "c299": 0.125}), many)
    assert [category for category, _ in tag.alternatives] == ["c200", "c100", "c299", "c000", "c001"]


def test_of_two_likeliest_classes_the_first_is_tagged_and_leads_the_alternatives() -> None:
    shares = {DOLLS: 0.5, COFFEE: 0.5}
    (tag,) = decide(["1"], row(SHOP, shares), SHOP, 0.5)
    assert (tag.category, tag.alternatives[:2]) == (COFFEE, ((COFFEE, 0.5), (DOLLS, 0.5)))


def test_fewer_than_five_classes_are_all_of_the_alternatives() -> None:
    two = Taxonomy.from_paths(["Tea", "Coffee"])
    (tag,) = decide(["1"], row(two, {"tea": 0.25}), two)
    assert tag.alternatives == (("coffee", 0.75), ("tea", 0.25))


def test_the_probabilities_are_left_as_they_were() -> None:
    probabilities = row(SHOP, {GREEN: 0.5})
    before = probabilities.copy()
    decide(["1"], probabilities, SHOP)
    assert np.array_equal(probabilities, before)


@st.composite
def graphs(draw: st.DrawFn) -> Taxonomy:
    """A random taxonomy in which a category may have several parents, some of the inner ones assignable."""
    size = draw(st.integers(2, 12))
    categories = []
    for number in range(size):
        parents = draw(st.lists(st.integers(0, number - 1), unique=True, max_size=2)) if number else []
        categories.append(
            Category(f"c{number}", f"C{number}", parents=tuple(f"c{each}" for each in parents), assignable=draw(st.booleans()))
        )
    return Taxonomy(draw(st.permutations(categories)))


def by_brute_force(taxonomy: Taxonomy, shares: Mapping[str, float], precision: float) -> set[str | None]:
    """Return what may be said: no category that is allowed and lies below another allowed one's."""
    best = max(shares.values())
    (likeliest, *_) = [category for category in taxonomy.classes if shares[category] == best]

    def below(node: str) -> set[str]:
        return {node}.union(*(below(child) for child in taxonomy.children(node)))

    allowed = set()
    for node in taxonomy:
        inside = below(node) & set(taxonomy.classes)
        probability = sum(shares[each] for each in inside)
        # odds(p) - 3 odds(s), times what they are divided by; nothing is evidence for what holds all of the classes.
        outside = len(taxonomy.classes) - len(inside)
        margin = probability * outside - 3 * (1 - probability) * len(inside)
        assume(margin != 0 or not outside)  # there, rounding may go either way
        if likeliest in inside and probability >= precision and margin > 0:
            allowed.add(node)
    return {node for node in allowed if not (below(node) - {node}) & allowed} or {None}


@pytest.mark.parametrize("examples", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_any_taxonomy_is_decided_as_by_brute_force(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(taxonomy=graphs(), precision=st.sampled_from(PRECISIONS), data=st.data())
    def holds(taxonomy: Taxonomy, precision: float, data: st.DataObject) -> None:
        count = len(taxonomy.classes)
        weights = data.draw(st.lists(st.sampled_from([0, 0, 1, 2, 5, 11, 30]), min_size=count, max_size=count).filter(any))
        total = 2 ** (sum(weights) - 1).bit_length()  # sixteenths and the like, so that no sum is rounded
        weights[weights.index(max(weights))] += total - sum(weights)
        shares = {category: weight / total for category, weight in zip(taxonomy.classes, weights, strict=True)}
        assert said(taxonomy, shares, precision)[0] in by_brute_force(taxonomy, shares, precision)

    holds()
