"""Measures of a tagger that may answer with a parent or not at all. The trap: silence is never wrong, so mind the coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fewtag.taxonomy import Taxonomy


def on_the_way(tags: Sequence[str | None], gold: Sequence[str | None], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """Return for each product whether it is tagged with its gold category or one above it, (n,); with None for either it is not.

    >>> on_the_way(["toys", None], ["toys/kites", "toys/kites"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).tolist()
    [True, False]
    """
    above = {truth: {truth, *taxonomy.ancestors(truth)} for truth in set(gold) if truth is not None}
    return np.array([truth is not None and tag in above[truth] for tag, truth in zip(tags, gold, strict=True)], dtype=np.bool_)


def selective_precision(tags: Sequence[str | None], gold: Sequence[str | None], taxonomy: Taxonomy) -> tuple[float, float]:
    """Return the coverage (the share of products with a tag) and the share of those tags that are the gold category or above it.

    Gold is None for a product that belongs nowhere. Without any tag the precision is 1, as nothing wrong was said.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> selective_precision(["toys", None, "toys/dolls"], ["toys/kites", "toys/kites", None], taxonomy)
    (0.6666666666666666, 0.5)
    """
    right = on_the_way(tags, gold, taxonomy)
    said = sum(tag is not None for tag in tags)
    return said / max(len(tags), 1), int(right.sum()) / said if said else 1.0


def risk_coverage(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return coverage and risk, (n,) each, where the surest 1, 2 ... n products are answered: the risk is the share of wrong ones.

    Of equally sure products, whose order says nothing, each counts as wrong as they are on average (El-Yaniv and Wiener 2010).

    >>> [each.round(2).tolist() for each in risk_coverage(np.array([0.9, 0.7, 0.8]), np.array([True, True, False]))]
    [[0.33, 0.67, 1.0], [0.0, 0.5, 0.33]]
    """
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True)) if len(order) else np.empty(0, dtype=np.int64)
    wrong = np.cumsum(~right[order])
    errors = np.interp(answered, np.append(0, answered[last]), np.append(0, wrong[last]))
    return answered / max(len(order), 1), errors / answered


def area_under_risk_coverage(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> float:
    """Return the mean risk over all coverages, from (n,) and (n,): 0 is best, and 0 without any product (Geifman et al. 2019).

    >>> area_under_risk_coverage(np.array([0.9, 0.7, 0.8]), np.array([True, True, False])).__round__(4)
    0.2778
    """
    _, risk = risk_coverage(confidence, right)
    return float(risk.sum() / max(len(risk), 1))
