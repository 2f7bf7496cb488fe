"""Measures of the order in which categories are proposed. The trap: of equally likely ones the first comes first, as in a tag."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt


def gold_ranks(probabilities: npt.NDArray[np.floating], gold: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each product's gold column among its probabilities, (n,), 1 for the likeliest, from (n, n_classes) and (n,).

    >>> gold_ranks(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]), np.array([2, 1])).tolist()
    [2, 2]
    """
    own = np.take_along_axis(probabilities, gold[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < gold[:, None]
    return np.asarray(1 + (probabilities > own).sum(axis=1) + ((probabilities == own) & earlier).sum(axis=1), dtype=np.int64)


def mean_reciprocal_rank(ranks: npt.NDArray[np.int64]) -> float:
    """Return the mean of 1 / rank, from the gold's ranks, (n,); 0 without any (Voorhees 1999).

    >>> mean_reciprocal_rank(np.array([1, 2, 4]))
    0.5833333333333334
    """
    return float((1 / ranks).sum() / max(len(ranks), 1))


def precision_at_k(ranked: Sequence[Sequence[str]], gold: Sequence[Collection[str]], k: int) -> float:
    """Return the mean over products of how many of the first `k` proposals are gold, divided by min(k, how many gold there are).

    So 1 can always be reached, and where each product has one gold category this is the share that has it among the first k. Extreme
    classification divides by k alone, and reaches no more than 1 / k there. A product without gold has nothing to find, and is left out.

    >>> precision_at_k([["tea", "jam", "soap"], ["jam", "tea", "soap"]], [["tea"], ["tea", "soap"]], 2)
    0.75
    """
    pairs = [(list(proposed)[:k], set(true)) for proposed, true in zip(ranked, gold, strict=True) if true]
    return sum(len(true.intersection(first)) / min(k, len(true)) for first, true in pairs) / max(len(pairs), 1)
