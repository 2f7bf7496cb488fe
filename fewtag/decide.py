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
    precision: float = PRECISION,
    stages: Sequence[Stage] = (),
) -> list[Tag]:
    """Return one tag per product from probabilities over `taxonomy.classes`, (n, n_classes).

    The tag's category is the deepest one on the way to the likeliest class whose subtree holds `precision` of the probability, and
    with evidence for it; None where not even the root does. `stages` is the rung that each class stands on, by default zero-shot.
    """
    if not len(product_ids):
        return []
    nodes = tuple(taxonomy)
    best = probabilities.argmax(axis=1)
    way = taxonomy.ways[best]
    sums = np.minimum(np.take_along_axis(taxonomy.subtree_sums(probabilities), way, axis=1), 1.0)
    allowed = (sums >= precision) & (_odds(sums) >= EVIDENCE * _odds(_random_guess(taxonomy))[way])
    place = np.where(allowed, taxonomy.depths[way] + sums, -1).argmax(axis=1)[:, None]
    chosen, confidence = (np.take_along_axis(each, place, axis=1)[:, 0] for each in (way, sums))
    tagged = allowed.any(axis=1)
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
