"""Measures of probabilities: whether a tagger is as sure as it is right.

The trap: the probability of an inner category is the sum over the assignable categories below it, each once, over whichever parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fewtag.metrics.hierarchy import levels
from fewtag.taxonomy import Taxonomy

BINS: Final = 15

Floats = npt.NDArray[np.floating]


def log_loss(probabilities: Floats, gold: npt.NDArray[np.int64]) -> float:
    """Return the mean of -log of what the gold columns, (n,), have in probabilities, (n, n_classes): scikit-learn's, in nats.

    Probabilities are clipped by the precision of their type, so that a float32 of 0 costs 15.9.

    >>> log_loss(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])).__round__(4)
    0.3993
    """
    if not len(gold) or probabilities.shape[1] < 2:
        return 0.0
    from sklearn import metrics

    return float(metrics.log_loss(gold, probabilities, labels=np.arange(probabilities.shape[1])))


def log_losses(chances: Floats) -> npt.NDArray[np.float64]:
    """Return each product's part in `log_loss`, (n,), from what its gold column has, (n,): for means over batches and resamples.

    >>> log_losses(np.array([0.5, 0.9])).round(4).tolist()
    [0.6931, 0.1054]
    """
    least = np.finfo(chances.dtype).eps
    return -np.log(np.clip(chances, least, 1 - least).astype(np.float64))


def brier_score(probabilities: Floats, gold: npt.NDArray[np.int64]) -> float:
    """Return the mean squared distance, over all classes and from 0 to 2, of probabilities, (n, n_classes), from the gold columns, (n,).

    scikit-learn's, after Brier 1950. A product's own part is 1 - 2 p(gold) + the sum of all squares.

    >>> brier_score(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])).__round__(4)
    0.26
    """
    if not len(gold) or probabilities.shape[1] < 2:
        return 0.0
    from sklearn import metrics

    return float(metrics.brier_score_loss(gold, probabilities, labels=np.arange(probabilities.shape[1]), scale_by_half=False))


class Bin(NamedTuple):
    """Products about which a tagger is about equally sure: how many they are, how sure it is on average, and how many it is right on."""

    products: int
    confidence: float
    right: int


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """Return what `calibration_error` is the sum of: the bins of equal width that have products, from the least sure (Murphy 1977).

    Both are (n,); a bin has its upper end but not its lower.

    >>> reliability(np.array([0.75, 0.75, 0.25]), np.array([True, False, False]), bins=2)
    [Bin(products=1, confidence=0.25, right=0), Bin(products=2, confidence=0.75, right=1)]
    """
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    count, hits = np.bincount(place, minlength=bins), np.bincount(place[right], minlength=bins)
    sure = np.bincount(place, weights=confidence, minlength=bins) / np.maximum(count, 1)
    return [Bin(*each) for each in zip(count.tolist(), sure.tolist(), hits.tolist(), strict=True) if each[0]]


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap between how sure and how right, in bins of equal width (Guo et al. 2017).

    Both are (n,); a bin weighs as much as it has products, and has its upper end but not its lower. Without any product it is 0.

    >>> calibration_error(np.array([0.9, 0.9, 0.2]), np.array([True, False, False])).__round__(4)
    0.3333
    """
    gaps = (abs(each.products * each.confidence - each.right) for each in reliability(confidence, right, bins))
    return sum(gaps) / max(len(confidence), 1)


def sureness_by_depth(probabilities: Floats, taxonomy: Taxonomy) -> npt.NDArray[np.float32]:
    """Return what each category on the path of the likeliest one has of the probability, (n, longest path); NaN where it has ended.

    >>> sureness_by_depth(np.array([[0.75, 0.25]]), Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).tolist()
    [[1.0, 0.75]]
    """
    way = levels(taxonomy.classes, taxonomy)[probabilities.argmax(axis=1)]
    sums = np.take_along_axis(taxonomy.subtree_sums(probabilities.astype(np.float32, copy=False)), np.maximum(way, 0), axis=1)
    return np.where(way >= 0, np.minimum(sums, np.float32(1)), np.float32(np.nan))


def calibration_error_by_depth(probabilities: Floats, gold: Sequence[str], taxonomy: Taxonomy) -> list[tuple[int, float]]:
    """Return for each depth how many products' likeliest category lies so deep, and the calibration error of its path's node there.

    That node is right where the gold lies in its subtree, over whichever parent.

    >>> calibration_error_by_depth(np.array([[0.6, 0.4]]), ["toys/kites"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))[0]
    (1, 0.0)
    """
    sure = sureness_by_depth(probabilities, taxonomy)
    nodes = tuple(taxonomy)
    way = levels([taxonomy.classes[column] for column in probabilities.argmax(axis=1)], taxonomy)
    above = [{truth, *taxonomy.ancestors(truth)} for truth in gold]
    result = []
    for depth in range(way.shape[1]):
        there = np.flatnonzero(way[:, depth] >= 0)
        right = np.array([nodes[way[row, depth]] in above[row] for row in there], dtype=np.bool_)
        result.append((len(there), calibration_error(sure[there, depth], right)))
    return result
