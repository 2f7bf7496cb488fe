"""Turns probabilities into tags: the deepest category that is sure enough, else one above it, else nothing.

The trap of ignorance: the branch with most leaves sums to the highest probability even where the model knows nothing. So a category
must also be much likelier than a guess at random would make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Stage, Tag
from fewtag.taxonomy import Taxonomy

PRECISION: Final = 0.9
ALTERNATIVES: Final = 5
EVIDENCE: Final = 3.0
"""How many times the odds of a random guess a category's odds must be: "substantial" on Jeffreys' scale of evidence."""


def decide(
    product_ids: Sequence[str],
    probabilities: npt.NDArray[np.float32],
    taxonomy: Taxonomy,
    level: float = PRECISION,
    stages: Sequence[Stage] = (),
) -> list[Tag]:
    """Return one tag per product from probabilities over `taxonomy.classes`, (n, n_classes).

    The tag's category is the deepest one on the way to the likeliest class whose subtree holds `level` of the probability, and
    with evidence for it; None where not even the root does. `stages` is the rung that each class stands on, by default zero-shot.
    """
    if not len(product_ids):
        return []
    nodes = tuple(taxonomy)
    best = probabilities.argmax(axis=1)
    way, sums = sure_ways(probabilities, taxonomy)
    place, tagged = the_deepest(sums, taxonomy.depths[way], level)
    chosen, confidence = (np.take_along_axis(each, place, axis=1)[:, 0] for each in (way, sums))
    top = _top(probabilities, ALTERNATIVES)
    return [
        Tag(
            product_id,
            nodes[chosen[row]] if tagged[row] else None,
            float(confidence[row] if tagged[row] else probabilities[row, best[row]]),
            stages[best[row]] if stages else "zero-shot",
            tuple((taxonomy.classes[column], float(probabilities[row, column])) for column in top[row]),
            float(probabilities[row, best[row]]),
        )
        for row, product_id in enumerate(product_ids)
    ]


def sure_ways(probabilities: npt.NDArray[np.float32], taxonomy: Taxonomy) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return each row's way to its likeliest class and how likely each category on it is, 0 without evidence, (n, longest) each.

    Categories are rows of the taxonomy's `reach`, and probabilities those of its classes, (n, n_classes).
    """
    way = taxonomy.ways[probabilities.argmax(axis=1)]
    sums = np.minimum(np.take_along_axis(taxonomy.subtree_sums(probabilities), way, axis=1), 1.0)
    evident = _odds(sums) >= EVIDENCE * _odds(_random_guess(taxonomy))[way]
    return way, np.where(evident, sums, np.float32(0))


def the_deepest(
    sums: npt.NDArray[np.float32], depths: npt.NDArray[np.int64], level: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the place on each way, (n, 1), of the deepest category that is as likely as a level above 0, and whether any is, (n,).

    >>> place, any_is = the_deepest(np.float32([[0.9, 0.6], [0.4, 0.3]]), np.array([[1, 2], [1, 2]]), 0.7)
    >>> place.tolist(), any_is.tolist()
    ([[0], [0]], [True, False])
    """
    allowed = sums >= level
    return np.where(allowed, depths + sums, -1).argmax(axis=1)[:, None], np.asarray(allowed.any(axis=1), dtype=np.bool_)


def prediction_sets(probabilities: npt.NDArray[np.float32], taxonomy: Taxonomy, mass: float) -> list[tuple[tuple[str, float], ...]]:
    """Return for each row of probabilities, (n, n_classes), its likeliest classes, as few as together hold `mass`, best first.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites", "Toys > Cars"])
    >>> prediction_sets(np.float32([[0.25, 0.625, 0.125]]), taxonomy, 0.8)
    [(('toys/kites', 0.625), ('toys/dolls', 0.25))]
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    shares = np.take_along_axis(probabilities, order, axis=1)
    ahead = np.cumsum(shares, axis=1, dtype=np.float64) - shares
    counts = np.maximum((ahead < mass).sum(axis=1), 1).tolist()
    return [
        tuple((taxonomy.classes[column], share) for column, share in zip(columns[:count].tolist(), row[:count].tolist(), strict=True))
        for columns, row, count in zip(order, shares, counts, strict=True)
    ]


def _random_guess(taxonomy: Taxonomy) -> npt.NDArray[np.float32]:
    """Return each category's share of the classes, (n_categories,): how likely it is for a model that knows nothing."""
    return np.asarray(taxonomy.reach.sum(axis=1), dtype=np.float32).ravel() / np.float32(len(taxonomy.classes))


def _odds(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return p / (1 - p), for p = 1 the largest number that a float32 holds beside 1."""
    return np.asarray(probabilities / np.maximum(1 - probabilities, np.float32(1e-6)), dtype=np.float32)


def _top(probabilities: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Return the columns of the `count` highest values of each row, the highest first and of equal ones the first, (n, count).

    A partition would be no faster for so few, and breaks ties as the processor likes.
    """
    left = probabilities.copy()
    columns = np.empty((len(left), min(count, left.shape[1])), dtype=np.int64)
    for place in range(columns.shape[1]):
        columns[:, place] = left.argmax(axis=1)
        np.put_along_axis(left, columns[:, place : place + 1], -np.inf, axis=1)
    return columns
