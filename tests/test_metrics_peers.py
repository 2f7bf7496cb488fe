"""The measures against scikit-learn's, hiclass's and scipy's of the same, on tags and probabilities drawn at random.

The trap: hiclass compares names at whichever level, so it is given ids, which are unique.
"""

from __future__ import annotations

import hiclass.metrics
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn import metrics as peers
from sklearn.calibration import calibration_curve

from fewtag import metrics
from fewtag.taxonomy import Taxonomy

SHOP = Taxonomy.from_paths([f"{root} > {child} > {leaf}" for root in "abc" for child in "de" for leaf in "fgh"])
CLOSE = 1e-9
COUNT = 300


@pytest.fixture(params=range(3))
def drawn(request: pytest.FixtureRequest) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Probabilities, (300, 18), and gold columns, (300,), of which some are the likeliest."""
    random = np.random.default_rng(request.param)
    shares = random.dirichlet(np.full(len(SHOP.classes), 0.3), size=COUNT)
    return shares, np.where(random.random(COUNT) < 0.5, shares.argmax(axis=1), random.integers(len(SHOP.classes) // 2, size=COUNT))


Drawn = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def ids(columns: npt.NDArray[np.int64]) -> list[str]:
    return [SHOP.classes[column] for column in columns]


def test_log_loss_and_brier_score_are_scikit_learns_for_a_matrix_and_product_by_product(drawn: Drawn) -> None:
    shares, gold = drawn
    labels = np.arange(shares.shape[1])
    own = shares[np.arange(COUNT), gold]
    expected = peers.log_loss(gold, shares, labels=labels)
    assert metrics.log_loss(shares, gold) == pytest.approx(expected, abs=CLOSE)
    assert metrics.log_losses(own).mean() == pytest.approx(expected, abs=CLOSE)
    expected = ((shares - np.eye(len(labels))[gold]) ** 2).sum(axis=1).mean()
    assert metrics.brier_score(shares, gold) == pytest.approx(expected, abs=CLOSE)
    assert (1 - 2 * own + (shares**2).sum(axis=1)).mean() == pytest.approx(expected, abs=CLOSE)


def test_f1_from_counts_and_by_name_is_scikit_learns(drawn: Drawn) -> None:
    shares, gold = drawn
    said, labels = shares.argmax(axis=1), np.unique(gold)
    expected = {average: peers.f1_score(gold, said, labels=labels, average=average) for average in ("macro", "weighted")}
    assert metrics.f1_means(said, gold, len(SHOP.classes)) == pytest.approx((expected["macro"], expected["weighted"]), abs=CLOSE)
    assert metrics.macro_f1(ids(said), ids(gold)) == pytest.approx(expected["macro"], abs=CLOSE)
    assert metrics.weighted_f1(ids(said), ids(gold)) == pytest.approx(expected["weighted"], abs=CLOSE)


def test_the_mean_reciprocal_rank_is_scikit_learns_label_ranking_average_precision(drawn: Drawn) -> None:
    shares, gold = drawn
    ranks = metrics.gold_ranks(shares, gold)
    expected = peers.label_ranking_average_precision_score(np.eye(shares.shape[1], dtype=int)[gold], shares)
    assert metrics.mean_reciprocal_rank(ranks) == pytest.approx(expected, abs=CLOSE)
    for k in (1, 3, 5):
        top = peers.top_k_accuracy_score(gold, shares, k=k, labels=np.arange(shares.shape[1]))
        ranked = [ids(row) for row in np.argsort(-shares, axis=1)]
        assert metrics.precision_at_k(ranked, [[each] for each in ids(gold)], k) == pytest.approx(top, abs=CLOSE)
        assert (ranks <= k).mean() == pytest.approx(top, abs=CLOSE)


def test_the_hierarchical_scores_are_hiclasss(drawn: Drawn) -> None:
    shares, gold = drawn
    random = np.random.default_rng(COUNT)
    said = [SHOP.trail(each)[: random.integers(1, 4)] for each in ids(shares.argmax(axis=1))]  # some back off
    true = [SHOP.trail(each) for each in ids(gold)]
    levelled = [[*each, "", ""][:3] for each in said]
    found = metrics.hierarchical_scores([each[-1] for each in said], [each[-1] for each in true], SHOP)
    peer = (hiclass.metrics.precision(true, levelled), hiclass.metrics.recall(true, levelled), hiclass.metrics.f1(true, levelled))
    assert found == pytest.approx(peer, abs=CLOSE)


def test_hiclass_takes_two_categories_of_one_name_for_half_right_and_ids_are_not() -> None:
    by_name = hiclass.metrics.f1([["Electronics", "Other"]], [["Clothing", "Other"]])
    shop = Taxonomy.from_paths(["Electronics > Other", "Clothing > Other"])
    assert (by_name, metrics.hierarchical_f1([shop.classes[0]], [shop.classes[1]], shop)) == (0.5, 0)


def test_the_bins_of_the_calibration_error_are_those_of_scikit_learns_curve(drawn: Drawn) -> None:
    shares, gold = drawn
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == gold
    true, said = calibration_curve(right, confidence, n_bins=metrics.BINS)
    counts = np.histogram(confidence, bins=metrics.BINS, range=(0, 1))[0]
    expected = (np.abs(true - said) * counts[counts > 0]).sum() / COUNT
    assert metrics.calibration_error(confidence, right) == pytest.approx(expected, abs=CLOSE)


def test_the_intervals_are_scipys_percentiles(drawn: Drawn) -> None:
    right = (drawn[0].argmax(axis=1) == drawn[1]).astype(float)
    low, high = metrics.bootstrap(lambda rows: right[rows].mean(keepdims=True), COUNT, resamples=500)
    peer = stats.bootstrap((right,), np.mean, n_resamples=500, batch=1, method="percentile", rng=np.random.default_rng(0))
    assert (low[0], high[0]) == pytest.approx(tuple(peer.confidence_interval), abs=CLOSE)


@pytest.mark.parametrize(("right", "of"), [(0, 1), (3, 3), (7, 10), (499, 500)])
def test_wilsons_interval_is_scipys_and_ends_where_shares_do(right: int, of: int) -> None:
    low, high = metrics.wilson(right, of)
    assert (low, high) == pytest.approx(tuple(stats.binomtest(right, of).proportion_ci(0.95, "wilson")), abs=1e-7)
    assert (low == 0, high == 1) == (right == 0, right == of)
