"""The measures against values worked out by hand, and those of the hierarchy against the obvious way on random taxonomies.

The trap: names repeat, so nothing here may be right for its name alone. What other libraries make of the same is in test_metrics_peers.py.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtag.metrics import (
    Confusion,
    accuracy,
    accuracy_by_depth,
    area_under_risk_coverage,
    bootstrap,
    brier_score,
    calibration_error,
    calibration_error_by_depth,
    example_f1,
    f1_by_depth,
    f1_means,
    gold_ranks,
    hierarchical_f1,
    hierarchical_scores,
    lca_distance,
    lca_distances,
    levels,
    log_loss,
    log_losses,
    macro_f1,
    mean_reciprocal_rank,
    on_the_way,
    overlaps,
    precision_at_k,
    risk_coverage,
    selective_precision,
    sibling_confusions,
    sureness_by_depth,
    weighted_f1,
)
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea > Green", "Drinks > Tea > Black", "Drinks > Coffee", "Toys > Dolls", "Toys > Kites"])
GREEN, BLACK, COFFEE, DOLLS, KITES = SHOP.classes
TRAP = Taxonomy.from_paths(["Electronics > Other", "Clothing > Other"])
GRAPH = Taxonomy(
    [
        Category("drinks", "Drinks"),
        Category("gifts", "Gifts"),
        Category("tea", "Tea", parents=("drinks",)),
        Category("pots", "Teapots", parents=("gifts",)),
        Category("caddies", "Tea caddies", parents=("tea", "gifts")),
        Category("black", "Black tea", parents=("tea",)),
    ]
)
"""The classes are pots, caddies and black; a caddy is tea, and a gift, and its path runs over tea."""


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
    assert weighted_f1([electronics], [clothing]) == 0
    assert example_f1([{electronics}], [{clothing}]) == 0
    assert hierarchical_scores([electronics], [clothing], TRAP) == (0, 0, 0)
    assert lca_distance([electronics], [clothing], TRAP) == 4  # up to the virtual root, and down again
    assert accuracy_by_depth([electronics], [clothing], TRAP) == [(1, 0), (1, 0)]
    assert f1_by_depth([electronics], [clothing], TRAP) == [(1, 0, 0), (1, 0, 0)]
    assert precision_at_k([[electronics]], [[clothing]], 1) == 0
    assert sibling_confusions([electronics], [clothing], TRAP) == [Confusion("electronics", "clothing", 1, 0)]
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


def test_weighted_f1_counts_a_category_by_its_gold() -> None:
    tags = [GREEN, GREEN, BLACK, None, COFFEE]
    gold = [GREEN, BLACK, BLACK, COFFEE, DOLLS]
    # As above: 2/3 for green (one gold), 2/3 for black (two), 0 for coffee and for dolls.
    assert weighted_f1(tags, gold) == pytest.approx((2 / 3 + 2 * 2 / 3) / 5)
    assert weighted_f1([], []) == 0
    assert f1_means(np.array([0, 0, 1, -1, 2]), np.array([0, 1, 1, 2, 3]), 5) == pytest.approx((1 / 3, 2 / 5))
    assert f1_means(np.array([], dtype=int), np.array([], dtype=int), 3) == (0, 0)


def test_f1_by_depth_cuts_a_tag_that_goes_deeper_and_takes_one_that_ends_above_for_silence() -> None:
    tags = [GREEN, "drinks", BLACK, DOLLS]
    gold = [BLACK, COFFEE, COFFEE, DOLLS]
    # Depth 1: all are right. Depth 2: tea is said twice and true once, right once: 2/3; coffee 0 of two; dolls 1. Depth 3: green for black.
    depth_2 = ((2 / 3 + 0 + 1) / 3, (2 / 3 + 2 * 0 + 1) / 4)
    assert f1_by_depth(tags, gold, SHOP) == [(4, 1, 1), (4, *map(pytest.approx, depth_2)), (1, 0, 0)]


def test_example_f1_is_the_mean_over_products_of_the_f1_of_sets() -> None:
    # 2 * 1 / (2 + 1), nothing right, nothing said where nothing is, and something where nothing is.
    assert example_f1([{GREEN, COFFEE}, {BLACK}, set(), {DOLLS}], [{GREEN}, {GREEN}, set(), set()]) == pytest.approx(
        (2 / 3 + 0 + 1 + 0) / 4
    )
    assert example_f1([set()], [set()]) == 1
    assert example_f1([], []) == 0


def test_hierarchical_precision_and_recall_are_of_the_categories_on_the_ways() -> None:
    # Tea for green: drinks and tea are said, and right, of three. Dolls for coffee: two are said, none of the two is right.
    assert overlaps(["drinks/tea", DOLLS, None], [GREEN, COFFEE, KITES], SHOP).tolist() == [[2, 2, 3], [0, 2, 2], [0, 0, 2]]
    assert hierarchical_scores(["drinks/tea", DOLLS, None], [GREEN, COFFEE, KITES], SHOP) == pytest.approx((2 / 4, 2 / 7, 4 / 11))
    assert hierarchical_scores([None], [GREEN], SHOP) == (0, 0, 0)


def test_in_a_graph_all_that_lies_above_counts_once() -> None:
    # Above a caddy lie drinks, tea and gifts; pots share gifts, black tea shares drinks and tea.
    assert overlaps(["pots", "black", "caddies"], ["caddies", "caddies", "black"], GRAPH).tolist() == [[1, 2, 4], [2, 3, 4], [2, 4, 3]]
    assert on_the_way(["gifts", "drinks", "pots", None], ["caddies"] * 4, GRAPH).tolist() == [True, True, False, False]
    assert lca_distances(["pots", "black", "gifts", "drinks"], ["caddies"] * 4, GRAPH).tolist() == [2, 2, 1, 2]
    assert accuracy_by_depth(["pots", "black"], ["caddies", "caddies"], GRAPH) == [(2, 0.5), (2, 0.5), (2, 0)]
    assert sibling_confusions(["pots", "black"], ["caddies", "caddies"], GRAPH) == [
        Confusion("caddies", "black", 0, 1),
        Confusion("caddies", "pots", 0, 1),
    ]


def test_the_distance_runs_over_what_tag_and_gold_share_and_an_abstention_stands_at_the_virtual_root() -> None:
    tags = [GREEN, BLACK, "drinks/tea", COFFEE, DOLLS, None, None, "drinks"]
    gold = [GREEN, GREEN, GREEN, GREEN, GREEN, GREEN, COFFEE, DOLLS]
    # Right; up to tea and down; down; up to drinks and down twice; two up, over the virtual root, three down; down three; two; one and two.
    assert lca_distances(tags, gold, SHOP).tolist() == [0, 2, 1, 3, 5, 3, 2, 3]
    assert lca_distance(tags, gold, SHOP) == 19 / 8
    assert lca_distance([], [], SHOP) == 0


def test_levels_are_the_path_from_the_root_down() -> None:
    order = list(SHOP)
    found = [[order[place] if place >= 0 else None for place in row] for row in levels([GREEN, "toys", None], SHOP)]
    assert found == [["drinks", "drinks/tea", GREEN], ["toys", None, None], [None, None, None]]


def test_siblings_are_confused_where_the_ways_part() -> None:
    tags = [BLACK, GREEN, GREEN, COFFEE, DOLLS, KITES, "drinks", None, GREEN]
    gold = [GREEN, BLACK, BLACK, GREEN, BLACK, DOLLS, COFFEE, COFFEE, GREEN]
    assert sibling_confusions(tags, gold, SHOP) == [
        Confusion(GREEN, BLACK, 2, 1),
        Confusion("drinks", "toys", 0, 1),
        Confusion("drinks/tea", COFFEE, 0, 1),
        Confusion(DOLLS, KITES, 0, 1),
    ]
    assert sibling_confusions(tags, gold, SHOP)[0].count == 3


def test_the_rank_of_the_gold_and_of_equals_the_first_comes_first() -> None:
    shares = np.array([[0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.25, 0.5, 0.25]], dtype=np.float32)
    ranks = gold_ranks(shares, np.array([0, 0, 1, 2]))
    assert ranks.tolist() == [3, 1, 2, 3]
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 / 3 + 1 + 1 / 2 + 1 / 3) / 4)
    assert mean_reciprocal_rank(ranks[:0]) == 0


def test_precision_at_k_is_divided_by_what_could_be_found() -> None:
    ranked = [[GREEN, BLACK, COFFEE], [DOLLS, KITES, GREEN], [GREEN, BLACK, COFFEE]]
    gold = [[COFFEE], [DOLLS, GREEN, BLACK], []]
    assert precision_at_k(ranked, gold, 1) == (0 / 1 + 1 / 1) / 2
    assert precision_at_k(ranked, gold, 2) == (0 / 1 + 1 / 2) / 2
    assert precision_at_k(ranked, gold, 3) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert precision_at_k([], [], 3) == 0


def test_log_loss_and_brier_score_of_two_products() -> None:
    shares, gold = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]), np.array([0, 2])
    assert log_loss(shares, gold) == pytest.approx(np.log(2) / 2)
    # (1/2)^2 + (1/4)^2 + (1/4)^2, and nothing
    assert brier_score(shares, gold) == pytest.approx(0.375 / 2)
    assert log_losses(np.array([0.0], dtype=np.float32)) == pytest.approx(15.942, abs=1e-3)
    assert log_loss(shares[:0], gold[:0]) == brier_score(shares[:0], gold[:0]) == 0
    assert log_loss(np.ones((1, 1)), np.array([0])) == 0  # with a single category nothing can be told apart


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    # In tenths of 15 bins: 0.95 and 0.96 share the last bin, one of two right: gap 0.455; 0.5 is alone and right: 0.5.
    confidence, right = np.array([0.95, 0.96, 0.5]), np.array([True, False, True])
    assert calibration_error(confidence, right) == pytest.approx((2 * 0.455 + 0.5) / 3)
    assert calibration_error(confidence, right, bins=1) == pytest.approx(abs(2.41 - 2) / 3)
    # The upper end belongs to a bin: 0.5 lies with 0.4 in the first of two, 0.6 and 1 in the second, 0 with the first.
    assert calibration_error(np.array([0.5, 0.4, 0.6, 1.0, 0.0]), np.array([False, True, True, True, False]), bins=2) == pytest.approx(
        (abs(0.9 - 1) + abs(1.6 - 2)) / 5
    )
    assert calibration_error(confidence[:0], right[:0]) == 0


def test_the_calibration_error_at_a_depth_sums_over_the_subtree() -> None:
    shares = np.array([[0.5, 0.25, 0.125, 0.125, 0.0], [0.0, 0.25, 0.5, 0.0, 0.25]], dtype=np.float32)
    assert sureness_by_depth(shares, SHOP)[:, :2].tolist() == [[0.875, 0.75], [0.75, 0.5]]
    assert sureness_by_depth(shares, SHOP)[0, 2] == 0.5
    assert np.isnan(sureness_by_depth(shares, SHOP)[1, 2])
    # The likeliest are green and coffee, the gold black and coffee: drinks are right twice, tea once, coffee once, green not.
    assert calibration_error_by_depth(shares, [BLACK, COFFEE], SHOP) == [
        (2, pytest.approx((0.125 + 0.25) / 2)),
        (2, pytest.approx((0.25 + 0.5) / 2)),
        (1, pytest.approx(0.5)),
    ]


def test_in_a_graph_a_class_counts_once_for_each_category_above_it() -> None:
    assert GRAPH.classes == ("caddies", "black", "pots")
    shares = np.array([[0.25, 0.25, 0.5]], dtype=np.float32)
    assert sureness_by_depth(shares, GRAPH)[:, :2].tolist() == [[0.75, 0.5]]  # gifts: pots and caddies
    assert calibration_error_by_depth(shares, ["caddies"], GRAPH)[:2] == [(1, 0.25), (1, 0.5)]  # a caddy is a gift, and no pot


def test_the_risk_is_the_share_of_wrong_ones_among_the_surest() -> None:
    confidence, right = np.array([0.3, 0.9, 0.5, 0.7]), np.array([True, True, False, False])
    coverage, risk = risk_coverage(confidence, right)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == [0, 1 / 2, 2 / 3, 1 / 2]
    assert area_under_risk_coverage(confidence, right) == pytest.approx((0 + 1 / 2 + 2 / 3 + 1 / 2) / 4)
    assert area_under_risk_coverage(confidence[:0], right[:0]) == 0


def test_the_order_of_equally_sure_products_changes_no_risk() -> None:
    confidence = np.array([0.9, 0.5, 0.5, 0.5])
    # Behind the first, which is right, each of the three is wrong by a third.
    expected = [0, (1 / 3) / 2, (2 / 3) / 3, 1 / 4]
    for right in ([True, False, True, True], [True, True, True, False]):
        assert risk_coverage(confidence, np.array(right))[1].tolist() == pytest.approx(expected)


def test_the_bootstrap_draws_products_with_a_seed() -> None:
    values = np.arange(200.0)

    def mean(rows: np.ndarray) -> np.ndarray:
        return np.array([values[rows].mean()])

    low, high = bootstrap(mean, 200)
    # The mean's standard error is that of the uniform distribution: 57.7 / sqrt(200) = 4.08.
    assert (low[0], high[0]) == pytest.approx((99.5 - 1.96 * 4.08, 99.5 + 1.96 * 4.08), abs=1)
    assert bootstrap(mean, 200) == (low, high)
    assert bootstrap(mean, 200, seed=1) != (low, high)
    assert [each.tolist() for each in bootstrap(mean, 1)] == [[0.0], [0.0]]


def test_a_figure_that_some_resamples_lack_is_taken_from_the_others() -> None:
    def mean_of_the_second(rows: np.ndarray) -> np.ndarray:
        return np.array([5.0 if (rows == 1).any() else np.nan, np.nan])

    low, high = bootstrap(mean_of_the_second, 2)
    assert (low.tolist(), high.tolist()) == ([5.0, 0.0], [5.0, 0.0])


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


@settings(deadline=None)
@given(st.data(), graphs())
def test_the_distance_is_the_shortest_way_up_and_down_again(data: st.DataObject, taxonomy: Taxonomy) -> None:
    nodes = st.sampled_from(list(taxonomy))
    pairs = data.draw(st.lists(st.tuples(st.none() | nodes, nodes), min_size=1, max_size=6))
    up = nx.DiGraph([(node, parent) for node in taxonomy for parent in taxonomy.parents(node) or ("virtual root",)])
    expected = []
    for tag, gold in pairs:
        said, true = (nx.single_source_shortest_path_length(up, each or "virtual root") for each in (tag, gold))
        expected.append(min(said[node] + true[node] for node in said if node in true))
    assert lca_distances([tag for tag, _ in pairs], [gold for _, gold in pairs], taxonomy).tolist() == expected


@settings(deadline=None)
@given(st.data(), graphs())
def test_whom_siblings_are_confused_with_is_on_the_way_to_the_tag_and_not_to_the_gold(data: st.DataObject, taxonomy: Taxonomy) -> None:
    tag, gold = data.draw(st.tuples(*2 * [st.sampled_from(list(taxonomy))]))
    said, true = upwards(taxonomy, tag), upwards(taxonomy, gold)
    parted = {(wrong, right) for wrong in said - true for right in true - said if wrong in taxonomy.siblings(right)}
    found = sibling_confusions([tag], [gold], taxonomy)
    assert bool(found) == bool(parted)
    for each in found:
        assert {(each.one, each.other), (each.other, each.one)} & parted
        assert each.count == 1
