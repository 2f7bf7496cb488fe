"""What holds spreading back: how sure a spread tag is, and from which sureness on it may go.

The trap: few labels prove little. Forty right of forty still leave room for one wrong in ten, so every threshold here rests on the
lower end of an interval over all labels together. A category's own four can take trust away from it, and never add any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Float = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

BOUND: Final = 0.6
"""The level of the Wilson interval whose lower end is believed: in four of five cases the truth is better."""
LENIENCE: Final = 2
"""A tag may be wrong with this many times the probability that is allowed of all of them together, and no more."""
RIDGE: Final = 0.05
SMOOTHING: Final = 0.02
"""How far from 0 and 1 a held-out label's verdict is taken to be: so no number of right ones makes a tag certain."""
SHRINKAGE: Final = 4
"""A category's own labels weigh as much as all others' together once there are so many."""
PROOF: Final = 1
"""So many of a category's own labels must have been found again at a sureness before anything is spread at it."""
USUAL: Final = 0.1
"""This share of a category's labelled products lies further from the next one than is normal."""


@dataclass(frozen=True, slots=True)
class Sureness:
    """A logistic model from signs, float (n, n_signs), each of which can only make it surer, to the probability of being right."""

    centre: Float
    width: Float
    weights: Float
    bias: float

    @classmethod
    def learn(cls, signs: Float, right: Booleans) -> Sureness:
        """Learn from labels that were held out: what was seen of each, and whether it was found again; of none, nothing is learnt."""
        from scipy.optimize import minimize

        if not len(right):
            return cls(np.zeros(signs.shape[1]), np.ones(signs.shape[1]), np.zeros(signs.shape[1]), float(np.log(1 / SMOOTHING - 1)))

        centre, width = signs.mean(axis=0), signs.std(axis=0) + 1e-6
        scaled = (signs - centre) / width
        verdict = np.where(right, 1 - SMOOTHING, SMOOTHING)

        def loss(values: Float) -> tuple[float, Float]:
            z = scaled @ values[1:] + values[0]
            error = 1 / (1 + np.exp(-z)) - verdict
            total = np.logaddexp(0, z) - verdict * z
            gradient = np.concatenate([[error.mean()], scaled.T @ error / len(z) + RIDGE * values[1:]])
            return float(total.mean() + RIDGE / 2 * values[1:] @ values[1:]), gradient

        start = np.zeros(1 + signs.shape[1])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0, None)] * signs.shape[1]).x
        return cls(centre, width, found[1:], float(found[0]))

    def __call__(self, signs: Float) -> Float:
        """Return the probability of being right, (n,); signs beyond any that were learnt from count as the furthest of those.

        It is rounded, as a threshold is one of these numbers: what differs in no digit that means anything must not stop at it.
        """
        scaled = np.clip((signs - self.centre) / self.width, -4, 4)
        result: Float = np.round(1 / (1 + np.exp(-(scaled @ self.weights + self.bias))), 6)
        return result


def thresholds(sureness: Float, right: Booleans, said: npt.NDArray[np.int64], n_classes: int, precision: float) -> Float:
    """Return from which sureness on a tag of each class may be spread, (n_classes,); infinity where the labels allow none.

    From held-out labels: how sure (n,), whether right (n,), and the class that was said (n,). At a threshold, the lower bound of what all
    classes got right there must reach the precision; so must what a class got right itself, pooled with that bound, which counts as
    `SHRINKAGE` labels. And no tag is spread that is less sure than `LENIENCE` allows.
    """
    order = np.argsort(-sureness, kind="stable")
    sure, good, owner = sureness[order], right[order], said[order]
    counts = np.arange(1, len(order) + 1)
    pooled = wilson_lower(np.cumsum(good), counts)
    result = np.full(n_classes, np.inf)
    for column in range(n_classes):
        own = owner == column
        found = np.cumsum(good & own)
        estimate = np.minimum(pooled, (found + SHRINKAGE * pooled) / (np.cumsum(own) + SHRINKAGE))
        passing = np.flatnonzero((estimate >= precision) & (found >= PROOF))
        if len(passing):
            result[column] = sure[passing[-1]]
    result[:] = np.maximum(result, 1 - LENIENCE * (1 - precision))
    return result


def usual_similarity(similarities: Float, owner: npt.NDArray[np.int64], n_classes: int) -> Float:
    """Return the similarity to a class's nearest label below which a product lies beyond a gap, (n_classes,).

    From each labelled product's similarity to the next one of its class (n,) and that class (n,): a low quantile, the class's own
    weighed against all classes' by its number of labels.
    """
    everyone = float(np.quantile(similarities, USUAL)) if len(similarities) else 1.0
    result = np.full(n_classes, everyone)
    for column in np.unique(owner):
        own = similarities[owner == column]
        result[column] = (len(own) * np.quantile(own, USUAL) + SHRINKAGE * everyone) / (len(own) + SHRINKAGE)
    return result


def wilson_lower(right: npt.NDArray[np.integer], of: npt.NDArray[np.integer]) -> Float:
    """Return the lower end of Wilson's interval at the level `BOUND`, element by element.

    >>> wilson_lower(np.array([20]), np.array([20])).round(3).tolist()
    [0.966]
    """
    from scipy.stats import norm

    z2 = float(norm.ppf((1 + BOUND) / 2)) ** 2
    share = right / of
    spread = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * of)) / of)
    result: Float = (share + z2 / (2 * of) - spread) / (1 + z2 / of)
    return result
