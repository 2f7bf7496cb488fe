"""Blends what rungs say of a product into one distribution: a weighted sum of log-probabilities, its weights fitted on held-out labels.

The trap of generalised zero-shot: a trained rung has no word for a category without labels. Silence would make that category unreachable,
and a rung that knows one category alone is always sure of it. So what such a rung says is taken relative to a guess among the categories
that it knows, which is also what stands in for the others; and it weighs the less, the fewer it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.models.calibrate import log_softmax

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SAMPLE: Final = 2048
"""How many held-out labels the weights are fitted on."""
BELIEF: Final = 10.0
"""The prior weighs as much as so many held-out labels would that were off by a factor of e."""


@dataclass(frozen=True, slots=True)
class Blend:
    """How much the zero-shot and the few-shot rung weigh, and how much likelier than a guess a category is taken for that the latter
    has no labels of, as a logarithm."""

    zero_shot: float
    few_shot: float
    stand_in: float = 0.0

    @classmethod
    def prior(cls, warm: float) -> Blend:
        """Return the blend that is believed before any label was held out, by the share of categories that have labels."""
        return cls(1 - warm / 2, warm)

    @classmethod
    def fit(cls, zero_shot: Array, few_shot: Array, known: Mask, gold: npt.NDArray[np.int64], warm: float) -> Blend:
        """Fit the weights on held-out log-probabilities, (n, n_classes) each, by their log-loss; few labels leave them near the prior.

        `warm` is the share of categories that have labels; heads that were held out knew fewer, and what is learnt is how far to go from
        the prior of so many.
        """
        from scipy.optimize import minimize

        if len(gold) > SAMPLE:
            kept = np.linspace(0, len(gold) - 1, SAMPLE).astype(np.int64)
            zero_shot, few_shot, known, gold = zero_shot[kept], few_shot[kept], known[kept], gold[kept]

        def of(parameters: npt.NDArray[np.float64], share: float) -> Blend:
            prior = cls.prior(share)
            zero, few = (float(np.exp(each)) for each in parameters[:2])
            return cls(prior.zero_shot * zero, prior.few_shot * few, 3 * float(parameters[2]))

        def loss(parameters: npt.NDArray[np.float64]) -> float:
            scores = log_softmax(of(parameters, float(known.mean()))(zero_shot, few_shot, known))
            likelihood = scores[np.arange(len(gold)), gold].sum()
            return float(BELIEF * np.square(parameters).sum() - likelihood)

        return of(minimize(loss, np.zeros(3), method="Nelder-Mead", options={"maxfev": 120, "xatol": 0.02}).x, warm)

    def __call__(self, zero_shot: Array, few_shot: Array, known: Mask) -> Array:
        """Return scores, (n, n_classes), from log-probabilities; `known`, (n_classes,) or a row each, is what the few-shot rung knows."""
        guess = -np.log(np.maximum(known.sum(axis=-1, keepdims=True), 1)).astype(np.float32)
        spoken = np.where(known, few_shot - guess, np.float32(self.stand_in))
        return np.asarray(np.float32(self.zero_shot) * zero_shot + np.float32(self.few_shot) * spoken, dtype=np.float32)


def sureness(scores: Array, gold: npt.NDArray[np.int64], believed: float) -> float:
    """Return the factor on scores, (n, n_classes), at which the log-loss of the true classes is least; few leave it near what is believed.

    No order changes by it, only how sure the likeliest class is.
    """
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        likelihood = log_softmax(np.float32(np.exp(logarithm)) * scores)[np.arange(len(gold)), gold].sum()
        return float(BELIEF * np.square(logarithm - np.log(believed)) - likelihood)

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(believed) - 2, np.log(believed) + 2), method="bounded").x))
