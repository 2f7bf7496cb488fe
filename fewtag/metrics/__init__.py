"""Measures tags against gold. The trap: compared by name, `Pets > Other` for `Toys > Other` would be half right; so ids are compared."""

from fewtag.metrics.flat import accuracy, example_f1, f1_means, macro_f1, weighted_f1
from fewtag.metrics.hierarchy import (
    Confusion,
    Hierarchical,
    accuracy_by_depth,
    f1_by_depth,
    hierarchical_f1,
    hierarchical_scores,
    lca_distance,
    lca_distances,
    levels,
    overlaps,
    sibling_confusions,
)
from fewtag.metrics.intervals import bootstrap, f1_interval
from fewtag.metrics.probability import (
    BINS,
    brier_score,
    calibration_error,
    calibration_error_by_depth,
    log_loss,
    log_losses,
    sureness_by_depth,
)
from fewtag.metrics.ranking import gold_ranks, mean_reciprocal_rank, precision_at_k
from fewtag.metrics.selective import area_under_risk_coverage, on_the_way, risk_coverage, selective_precision

__all__ = [
    "BINS",
    "Confusion",
    "Hierarchical",
    "accuracy",
    "accuracy_by_depth",
    "area_under_risk_coverage",
    "bootstrap",
    "brier_score",
    "calibration_error",
    "calibration_error_by_depth",
    "example_f1",
    "f1_by_depth",
    "f1_interval",
    "f1_means",
    "gold_ranks",
    "hierarchical_f1",
    "hierarchical_scores",
    "lca_distance",
    "lca_distances",
    "levels",
    "log_loss",
    "log_losses",
    "macro_f1",
    "mean_reciprocal_rank",
    "on_the_way",
    "overlaps",
    "precision_at_k",
    "risk_coverage",
    "selective_precision",
    "sibling_confusions",
    "sureness_by_depth",
    "weighted_f1",
]
