"""The measures against values worked out by hand, and hierarchical F1 against the obvious way on random taxonomies.

The trap: names repeat, so nothing here may be right for its name alone.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtag.metrics import accuracy, accuracy_by_depth, hierarchical_f1, macro_f1, selective_precision
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea > Green", "Drinks > Tea > Black", "Drinks > Coffee", "Toys > Dolls", "Toys > Kites"])
GREEN, BLACK, COFFEE, DOLLS, KITES = SHOP.classes
TRAP = Taxonomy.from_paths(["Electronics > Other", "Clothing > Other"])


def test_accuracy_is_the_share_of_gold_categories_and_an_abstention_is_wrong() -> None:
    assert accuracy([GREEN, BLACK, None, "drinks/tea"], [GREEN, GREEN, GREEN, GREEN]) == 0.25
    assert accuracy([], []) == 0


def test_macro_f1_is_the_mean_over_the_golds_categories() -> None:
    tags = [GREEN, GREEN, BLACK, None, COFFEE]
    gold = [GREEN, BLACK, BLACK, COFFEE, DOLLS]
    # green: 1 right of 2 said and 1 true, 2/3; black: 1 of 1 and 2, 2/3; coffee: 0 of 1 and 1; dolls: 0 of 0 and 1.
    assert macro_f1(tags, gold) == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)
    assert macro_f1(gold, gold) == 1
    assert macro_f1([], []) == 0


def test_macro_f1_counts_a_rare_category_as_much_as_a_frequent_one() -> None:
    gold = [GREEN] * 99 + [BLACK]
    # All are called green: precision 0.99 and recall 1 for green, nothing for black.
    assert macro_f1([GREEN] * 100, gold) == pytest.approx((2 * 99 / 199 + 0) / 2)


def test_a_category_that_is_said_and_is_nowhere_in_the_gold_is_no_row_of_the_mean() -> None:
    assert macro_f1([DOLLS, GREEN], [GREEN, GREEN]) == pytest.approx(2 / 3)


def test_hierarchical_f1_gives_what_a_tag_shares_with_the_gold() -> None:
    # The ways: green has 3 categories, black 3, tea 2, dolls 2.
    assert hierarchical_f1([GREEN], [GREEN], SHOP) == 1
    assert hierarchical_f1([BLACK], [GREEN], SHOP) == pytest.approx(2 * 2 / (3 + 3))
    assert hierarchical_f1(["drinks/tea"], [GREEN], SHOP) == pytest.approx(2 * 2 / (2 + 3))
    assert hierarchical_f1([DOLLS], [GREEN], SHOP) == 0
    assert hierarchical_f1([None], [GREEN], SHOP) == 0
    assert hierarchical_f1([], [], SHOP) == 0


def test_hierarchical_f1_is_counted_over_all_products_together() -> None:
    # Shared 3 + 0 + 1 of the 3 + 0 + 2 said and the 3 + 3 + 2 true: not the mean of three F1s.
    assert hierarchical_f1([GREEN, None, KITES], [GREEN, GREEN, DOLLS], SHOP) == pytest.approx(2 * 4 / (5 + 8))


def test_two_categories_of_one_name_share_nothing() -> None:
    electronics, clothing = TRAP.classes
    assert TRAP[electronics].name == TRAP[clothing].name == "Other"
    assert accuracy([electronics], [clothing]) == 0
    assert macro_f1([electronics], [clothing]) == 0
    assert hierarchical_f1([electronics], [clothing], TRAP) == 0
    assert accuracy_by_depth([electronics], [clothing], TRAP) == [(1, 0), (1, 0)]
    assert selective_precision([electronics], [clothing], TRAP) == (1, 0)


def test_accuracy_by_depth_asks_how_far_down_a_tag_is_right() -> None:
    tags = [GREEN, BLACK, "drinks", None, DOLLS]
    gold = [GREEN, GREEN, COFFEE, DOLLS, GREEN]
    # Depth 1: drinks, drinks and drinks are right. Depth 2: tea and tea. Depth 3: three golds go so deep, and green is one.
    assert accuracy_by_depth(tags, gold, SHOP) == [(5, 3 / 5), (5, 2 / 5), (3, 1 / 3)]
    assert accuracy_by_depth([], [], SHOP) == []


def test_selective_precision_takes_a_category_above_the_gold_for_right() -> None:
    tags = [GREEN, "drinks/tea", "drinks", BLACK, None, None, "toys"]
    gold = [GREEN, GREEN, GREEN, GREEN, GREEN, None, None]
    # Said of five: green, tea and drinks are right, black is wrong, and so is toys for what belongs nowhere.
    assert selective_precision(tags, gold, SHOP) == (5 / 7, 3 / 5)
    assert selective_precision([GREEN], ["drinks/tea"], SHOP) == (1, 0)  # deeper than the gold is not above it
    assert selective_precision([None, None], [GREEN, None], SHOP) == (0, 1)
    assert selective_precision([], [], SHOP) == (0, 1)


@pytest.mark.parametrize("measure", [accuracy, macro_f1])
def test_lists_of_different_lengths_are_refused(measure: object) -> None:
    with pytest.raises(ValueError, match="longer than argument 1"):
        measure([GREEN], [GREEN, BLACK])  # type: ignore[operator]


@pytest.mark.parametrize("measure", [hierarchical_f1, accuracy_by_depth, selective_precision])
def test_lists_of_different_lengths_are_refused_with_a_taxonomy_too(measure: object) -> None:
    with pytest.raises(ValueError, match="shorter than argument 1"):
        measure([GREEN, GREEN], [GREEN], SHOP)  # type: ignore[operator]


@st.composite
def graphs(draw: st.DrawFn) -> Taxonomy:
    """Draw a taxonomy in which each category has up to two parents among those before it."""
    size = draw(st.integers(1, 9))
    parents = [draw(st.lists(st.sampled_from(range(node)), max_size=2, unique=True)) if node else [] for node in range(size)]
    return Taxonomy([Category(str(node), "same name", parents=tuple(map(str, above))) for node, above in enumerate(parents)])


def upwards(taxonomy: Taxonomy, category: str) -> set[str]:
    """The obvious way up: a category and all that can be reached over parents."""
    return {category}.union(*(upwards(taxonomy, parent) for parent in taxonomy[category].parents))


@settings(deadline=None)
@given(st.data(), graphs())
def test_hierarchical_f1_is_twice_the_shared_over_all_that_is_said_and_true(data: st.DataObject, taxonomy: Taxonomy) -> None:
    nodes = st.sampled_from(list(taxonomy))
    pairs = data.draw(st.lists(st.tuples(st.none() | nodes, nodes), min_size=1, max_size=6))
    said = [upwards(taxonomy, tag) if tag else set() for tag, _ in pairs]
    true = [upwards(taxonomy, gold) for _, gold in pairs]
    shared = sum(len(one & other) for one, other in zip(said, true, strict=True))
    precision = shared / max(sum(map(len, said)), 1)
    recall = shared / sum(map(len, true))
    expected = 2 * precision * recall / (precision + recall) if shared else 0
    found = hierarchical_f1([tag for tag, _ in pairs], [gold for _, gold in pairs], taxonomy)
    assert found == pytest.approx(expected)
    assert selective_precision([tag for tag, _ in pairs], [gold for _, gold in pairs], taxonomy)[0] == sum(map(bool, said)) / len(pairs)
