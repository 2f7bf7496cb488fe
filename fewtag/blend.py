"""Blends what a rung says of a product with what is said below it: a weighted sum of log-probabilities, fitted on held-out labels.

The trap: a rung that knows one category alone is always sure of it. So what it says is taken relative to a guess among the categories that
it knows, which is also what stands in for those among them that it is not to speak for.
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
    """How much a rung weighs, and what stands below it, and how much likelier than a guess a category is taken for that the rung does not
    speak of, as a logarithm."""

    below: float
    rung: float
    stand_in: float = 0.0

    @classmethod
    def prior(cls, known: float = 1.0) -> Blend:
        """Return the blend that is believed before any label was held out, by the share of the categories that the rung knows."""
        return cls(1 - known / 2, known)

    @classmethod
    def fit(cls, below: Array, above: Array, known: Mask, gold: npt.NDArray[np.int64]) -> Blend:
        """Fit the weights on held-out log-probabilities, (n, n_classes) each, by their log-loss; few labels leave them near the prior.

        A head that was held out may have known fewer of the categories than the rung will: what is learnt is how far to go from the prior.
        """
        from scipy.optimize import minimize

        if len(gold) > SAMPLE:
            kept = np.linspace(0, len(gold) - 1, SAMPLE).astype(np.int64)
            below, above, known, gold = below[kept], above[kept], known[kept], gold[kept]

        def of(parameters: npt.NDArray[np.float64], share: float) -> Blend:
            prior = cls.prior(share)
            weights = np.exp(parameters[:2]).tolist()
            return cls(prior.below * weights[0], prior.rung * weights[1], 3 * float(parameters[2]))

        def loss(parameters: npt.NDArray[np.float64]) -> float:
            scores = log_softmax(of(parameters, float(known.mean()))(below, above, known))
            likelihood = scores[np.arange(len(gold)), gold].sum()
            return float(BELIEF * np.square(parameters).sum() - likelihood)

        return of(minimize(loss, np.zeros(3), method="Nelder-Mead", options={"maxfev": 120, "xatol": 0.02}).x, 1.0)

    def __call__(self, below: Array, above: Array, known: Mask) -> Array:
        """Return scores, (n, n_classes), from log-probabilities; `known`, (n_classes,) or a row each, is what the rung speaks of."""
        guess = -np.log(np.maximum(known.sum(axis=-1, keepdims=True), 1)).astype(np.float32)
        spoken = np.where(known, above - guess, np.float32(self.stand_in))
        return np.asarray(np.float32(self.below) * below + np.float32(self.rung) * spoken, dtype=np.float32)


def sureness(scores: Array, gold: npt.NDArray[np.int64], believed: float) -> tuple[float, float]:
    """Return the factor on scores, (n, n_classes), at which the log-loss of the true classes is least, and that log-loss, in nats a row.

    No order changes by it, only how sure the likeliest class is. Few rows leave it near what is believed.
    """
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return float(BELIEF * np.square(logarithm - np.log(believed)) - likelihood(logarithm).sum())

    def likelihood(logarithm: float) -> Array:
        return log_softmax(np.float32(np.exp(logarithm)) * scores)[np.arange(len(gold)), gold]

    best = minimize_scalar(loss, bounds=(np.log(believed) - 2, np.log(believed) + 2), method="bounded").x
    return float(np.exp(best)), -float(likelihood(best).sum()) / max(len(gold), 1)
