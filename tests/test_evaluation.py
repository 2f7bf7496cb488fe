"""An evaluation of five products whose probabilities are made by hand, figure by figure; in a tree, and in a graph.

The trap: a figure over all products must be the one that the measure of the same name gives, however it was gathered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fewtag import metrics
from fewtag.cli_evaluate import print_branches
from fewtag.decide import decide
from fewtag.errors import LabelError
from fewtag.evaluation import COLUMNS, BranchFigures, Evaluation, Figure, evaluate
from fewtag.score_sheet import Scores, Sheet
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Dolls", "Toys > Kites"])
TEA, COFFEE, DOLLS, KITES = SHOP.classes
SHARES = np.array(
    [
        [0.96, 0.02, 0.01, 0.01],  # tea, and is
        [0.5, 0.46, 0.02, 0.02],  # drinks, and is coffee
        [0.01, 0.02, 0.03, 0.94],  # kites, and is coffee
        [0.4, 0.1, 0.3, 0.2],  # left open, and is dolls
        [0.01, 0.01, 0.97, 0.01],  # dolls, and is nothing
    ],
    dtype=np.float32,
)
GOLD = [TEA, COFFEE, COFFEE, DOLLS, None]


def sheet(shares: np.ndarray = SHARES, gold: Sequence[str | None] = GOLD, shop: Taxonomy = SHOP, batch: int = 2) -> Sheet:
    """Tag products in batches, as a tagger does."""
    ids = [f"P{number}" for number in range(len(gold))]
    places = [slice(start, min(start + batch, len(gold))) for start in range(0, len(gold), batch)]
    tags = [tag for place in places for tag in decide(ids[place], shares[place], shop, 0.9)]
    return Sheet(tags, gold, Scores.joined([Scores.of(shares[place], gold[place], shop) for place in places]), shop)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtag.evaluation.RESAMPLES", 50)


@pytest.fixture
def found() -> Evaluation:
    return evaluate(sheet(), 0.9, learnt_from=3)


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


def test_every_figure_is_the_one_worked_out_by_hand(found: Evaluation) -> None:
    assert (found.products, found.nowhere, found.learnt_from, found.precision) == (5, 1, 3, 0.9)
    first, second = found.depths
    assert (first.depth, first.products, second.depth, second.products) == (1, 4, 2, 4)
    # The likeliest: tea, tea, kites, tea for tea, coffee, coffee, dolls.
    assert (first.accuracy.value, second.accuracy.value) == (2 / 4, 1 / 4)
    # Depth 1: drinks 2 right of 3 said and 3 true; toys none. Depth 2: tea 1 right of 3 said and 1 true, 2/4.
    assert (first.macro_f1.value, first.weighted_f1.value) == (close(1 / 3), close(3 / 4 * 2 / 3))
    assert (second.macro_f1.value, second.weighted_f1.value) == (close(0.5 / 3), close(0.5 / 4))
    assert found.likeliest.accuracy.value == found.ranking.precision_at_1.value == 1 / 4
    # Tags: tea, drinks, kites, none. Shared 2, 1, 0, 0 of 2, 1, 2, 0 said and 2 each true.
    assert found.tags.hierarchical_precision.value == close(3 / 5)
    assert found.tags.hierarchical_recall.value == close(3 / 8)
    assert found.tags.hierarchical_f1.value == close(6 / 13)
    assert found.tags.lca_distance.value == (0 + 1 + 4 + 2) / 4
    assert found.likeliest.lca_distance.value == (0 + 2 + 4 + 4) / 4
    # Ranks of the gold: 1, 2, 3, 2.
    assert found.ranking.mrr.value == close((1 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert (found.ranking.precision_at_3.value, found.ranking.precision_at_5.value) == (1, 1)
    assert found.ranking.log_loss.value == close(-np.log([0.96, 0.46, 0.02, 0.3]).mean())
    brier = [
        0.04**2 + 0.02**2 + 2 * 0.01**2,
        0.5**2 + 0.54**2 + 2 * 0.02**2,
        0.01**2 + 0.98**2 + 0.03**2 + 0.94**2,
        0.16 + 0.01 + 0.49 + 0.04,
    ]
    assert found.ranking.brier.value == close(sum(brier) / 4)
    # Each alone in its bin but for 0.96 and 0.94, one of which is right: gaps 0.9, 0.5 and 0.4.
    assert found.ranking.ece.value == close((0.9 + 0.5 + 0.4) / 4)
    # Tagged are tea, drinks, kites, and dolls for what belongs nowhere; two are right.
    assert (found.selective.coverage.value, found.selective.precision.value) == (close(4 / 5), 2 / 4)
    # From the surest: 0.97 wrong, 0.96 right, 0.94, 0.5 and 0.4 wrong.
    assert found.selective.risk_coverage_area.value == close((1 / 1 + 1 / 2 + 2 / 3 + 3 / 4 + 4 / 5) / 5)


def test_confusions_and_branches_are_of_the_likeliest(found: Evaluation) -> None:
    assert found.confusions == (metrics.Confusion("drinks", "toys", 1, 1), metrics.Confusion(TEA, COFFEE, 1, 0))
    assert [(each.category, each.path, each.products, each.accuracy.value) for each in found.branches] == [
        ("toys", "Toys", 1, 0),
        ("drinks", "Drinks", 3, 1 / 3),
    ]


@pytest.mark.parametrize(
    ("shares", "worst", "best"),
    [
        ([1.0], [], [1.0]),
        ([0.5], [0.5], []),
        ([0.0, 0.0], [0.0, 0.0], []),
        ([1.0, 1.0], [], [1.0, 1.0]),
        ([0.2, 0.4, 1.0], [0.2, 0.4], [1.0]),
        ([0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5]),
        ([0.5, *[1.0] * 7], [0.5], [1.0] * 5),
        ([*[0.0] * 7, 0.5], [0.0] * 5, [0.5]),
        ([each / 16 for each in range(16)], [each / 16 for each in range(5)], [each / 16 for each in range(11, 16)]),
    ],
)
def test_something_is_wrong_in_the_worst_branches_and_right_in_the_best(
    found: Evaluation, shares: list[float], worst: list[float], best: list[float]
) -> None:
    branches = tuple(BranchFigures(str(number), str(number), 1, Figure(share, share, share)) for number, share in enumerate(shares))
    extremes = replace(found, branches=branches).worst_and_best()
    assert tuple([each.accuracy.value for each in some] for some in extremes) == (worst, best)
    assert not set(extremes[0]) & set(extremes[1])


def test_branches_are_printed_from_the_worst_to_the_best_with_how_many_others_there_are(
    found: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = [0.25, *[1.0] * 7]
    branches = tuple(BranchFigures(str(number), f"B{number}", 4, Figure(share, share, share)) for number, share in enumerate(shares))
    print_branches(replace(found, branches=branches))
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[-1] for line in lines] == ["B0", "--json", "B3", "B4", "B5", "B6", "B7"]
    assert lines[1] == "     ...  and 2 others: --json"


def test_a_row_says_of_a_product_how_far_down_it_is_right(found: Evaluation) -> None:
    assert all(tuple(row) == COLUMNS for row in found.rows)
    names = ("gold", "gold_depth", "tag", "tag_right_to_depth", "likeliest", "likeliest_right_to_depth")
    assert [tuple(row[name] for name in names) for row in found.rows] == [
        (TEA, 2, TEA, 2, TEA, 2),
        (COFFEE, 2, "drinks", 1, TEA, 1),
        (COFFEE, 2, KITES, 0, KITES, 0),
        (DOLLS, 2, None, 0, TEA, 0),
        (None, None, DOLLS, 0, DOLLS, 0),
    ]
    assert (found.rows[1]["product_id"], found.rows[1]["tag_path"], found.rows[1]["confidence"]) == ("P1", "Drinks", close(0.96))
    assert (found.rows[3]["tag_path"], found.rows[3]["gold_path"], found.rows[3]["probability"]) == (None, "Toys > Dolls", close(0.4))


def test_an_interval_holds_its_figure_and_is_drawn_with_the_seed(found: Evaluation) -> None:
    figures = [found.selective.coverage, found.ranking.mrr, found.tags.hierarchical_f1, found.depths[0].accuracy]
    assert all(each.low <= each.value <= each.high and each.low < each.high for each in figures)
    assert evaluate(sheet(), 0.9, learnt_from=3) == found
    assert evaluate(sheet(), 0.9, learnt_from=3, seed=1).ranking != found.ranking
    # Coverage alone, as scipy and the test of `bootstrap` would have it.
    tagged = np.array([1.0, 1, 1, 0, 1])
    low, high = metrics.bootstrap(lambda rows: tagged[rows].mean(keepdims=True), 5, resamples=50)
    assert (found.selective.coverage.low, found.selective.coverage.high) == (low[0], high[0])


def test_a_few_products_that_are_all_right_or_all_wrong_are_no_certainty() -> None:
    found = evaluate(sheet(SHARES[[0, 0, 0]], [TEA] * 3), 0.9)
    # Wilson by hand: 3 of 3 reach down to 1 / (1 + z²/3) with z = 1.96, and 0 of 3 up to (z²/3) / (1 + z²/3).
    certain, never = (1, close(0.438503), 1), (0, 0, close(0.561497))
    shares = [found.depths[0].accuracy, found.likeliest.accuracy, found.tags.accuracy, found.ranking.precision_at_3]
    shares += [found.selective.coverage, found.selective.precision, found.branches[0].accuracy]
    assert [(each.value, each.low, each.high) for each in shares] == [certain] * 7
    wrong = evaluate(sheet(SHARES[[3, 3, 3]], [KITES] * 3), 0.9)  # left open
    shares = [wrong.depths[1].accuracy, wrong.tags.accuracy, wrong.ranking.precision_at_1, wrong.selective.coverage]
    assert [(each.value, each.low, each.high) for each in shares] == [never] * 4
    nothing = wrong.selective.precision
    assert (nothing.value, nothing.low, nothing.high) == (1, 0, 1), "nothing was said, so nothing is known"
    assert (found.likeliest.macro_f1.low, found.likeliest.macro_f1.high) == (1, 1), "which is no share of products"


def test_resamples_without_any_gold_say_nothing_of_what_is_asked_of_gold() -> None:
    found = evaluate(sheet(SHARES[[0, 4, 4, 4]], [TEA, None, None, None]), 0.9)
    figures = (found.likeliest.weighted_f1, found.likeliest.hierarchical_f1, found.tags.hierarchical_recall)
    assert [(each.value, each.low, each.high) for each in figures] == [(1, 1, 1)] * 3


def test_what_is_a_share_is_one_of_so_many_products(found: Evaluation) -> None:
    page = sheet()
    figures = page.figures(np.arange(5))
    hits = {key: figures[key] * count for key, count in page.shares.items()}
    assert all(each == close(round(each)) for each in hits.values())
    assert page.shares["depth 2", "accuracy"] == 4
    assert page.shares["selective", "precision"] == 4
    assert [each.products for each in found.branches] == [1, 3]


def test_batches_of_any_size_come_to_the_same(found: Evaluation) -> None:
    whole = evaluate(sheet(batch=5), 0.9, learnt_from=3)
    assert whole == found


GRAPH = Taxonomy(
    [
        Category("drinks", "Drinks"),
        Category("gifts", "Gifts"),
        Category("green", "Tea", parents=("drinks",), assignable=True),
        Category("caddies", "Caddies", parents=("green", "gifts")),
        Category("pots", "Pots", parents=("gifts",)),
        Category("black", "Tea", parents=("green",)),
    ]
)


@pytest.mark.parametrize("shop", [SHOP, GRAPH, Taxonomy.from_paths(["A", "B > C", "B > D > E", "B > D"])])
def test_over_all_products_each_figure_is_that_of_its_measure(shop: Taxonomy) -> None:
    random = np.random.default_rng(7)
    count = 120
    shares = random.dirichlet(np.full(len(shop.classes), 0.2), size=count).astype(np.float32)
    gold = [shop.classes[column] for column in random.integers(len(shop.classes), size=count)]
    page = sheet(shares, gold, shop, batch=50)
    columns = np.array([shop.index[each] for each in gold])
    best, said = [tag.alternatives[0][0] for tag in page.tags], [tag.category for tag in page.tags]
    found = evaluate(page, 0.9)
    by_depth = zip(
        metrics.accuracy_by_depth(best, gold, shop),
        metrics.f1_by_depth(best, gold, shop),
        metrics.calibration_error_by_depth(shares, gold, shop),
        strict=False,
    )
    for row, ((products, accuracy), (_, macro, weighted), (_, ece)) in zip(found.depths, by_depth, strict=True):
        assert row.ece is not None
        values = (row.accuracy.value, row.macro_f1.value, row.weighted_f1.value, row.ece.value)
        assert (row.products, *values) == (products, *map(close, (accuracy, macro, weighted, ece)))
    for answer, tags in ((found.likeliest, best), (found.tags, said)):
        precision, recall, f1 = metrics.hierarchical_scores(tags, gold, shop)
        assert (answer.hierarchical_precision.value, answer.hierarchical_recall.value) == (close(precision), close(recall))
        assert (answer.hierarchical_f1.value, answer.lca_distance.value) == (close(f1), close(metrics.lca_distance(tags, gold, shop)))
        assert (answer.macro_f1.value, answer.weighted_f1.value) == (
            close(metrics.macro_f1(tags, gold)),
            close(metrics.weighted_f1(tags, gold)),
        )
        assert answer.accuracy.value == close(metrics.accuracy(tags, gold))
    assert found.ranking.log_loss.value == close(metrics.log_loss(shares, columns))
    assert found.ranking.brier.value == close(metrics.brier_score(shares, columns))
    assert (found.selective.coverage.value, found.selective.precision.value) == tuple(
        map(close, metrics.selective_precision(said, gold, shop))
    )


def test_where_gold_has_one_root_the_branches_are_what_lies_below() -> None:
    page = sheet(SHARES[:2], [TEA, COFFEE])
    assert [each.category for each in evaluate(page, 0.9).branches] == [COFFEE, TEA]
    assert [each.category for each in evaluate(sheet(SHARES[:1], [TEA]), 0.9).branches] == ["drinks"]


def test_a_depth_that_no_likeliest_category_reaches_has_no_calibration_error() -> None:
    shop = Taxonomy.from_paths(["A", "B > C"])
    found = evaluate(sheet(np.array([[0.9, 0.1]], dtype=np.float32), [shop.classes[1]], shop), 0.9)
    assert (found.depths[0].ece, found.depths[1].ece) == (Figure(*3 * [close(0.9)]), None)  # type: ignore[arg-type]
    assert found.depths[1].accuracy.value == 0


def test_gold_that_belongs_nowhere_alone_cannot_be_measured() -> None:
    with pytest.raises(LabelError, match="no product that could be measured has a gold category"):
        evaluate(sheet(SHARES[:2], [None, None]), 0.9)


def test_the_json_has_a_version_and_no_number_that_json_lacks(found: Evaluation) -> None:
    told = found.to_json()
    assert (told["schema"], "rows" in told) == ("fewtag.evaluate/1", False)
    assert json.loads(json.dumps(told, allow_nan=False))["confusions"][1] == {
        "one": TEA,
        "other": COFFEE,
        "one_said_for_other": 1,
        "other_said_for_one": 0,
    }
    assert all(one.depth + 1 == other.depth for one, other in pairwise(found.depths))
