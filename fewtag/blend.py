"""Blends what a rung says of a product with what is said below it: a weighted sum of log-probabilities, fitted on held-out labels.

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
    """How much a rung weighs, and what stands below it, and how much likelier than a guess a category is taken for that the rung does not
    speak of, as a logarithm."""

    below: float
    rung: float
    stand_in: float = 0.0

    @classmethod
    def prior(cls, warm: float) -> Blend:
        """Return the blend that is believed before any label was held out, by the share of categories that have labels."""
        return cls(1 - warm / 2, warm)

    @classmethod
    def fit(cls, below: Array, above: Array, known: Mask, gold: npt.NDArray[np.int64], warm: float) -> Blend:
        """Fit the weights on held-out log-probabilities, (n, n_classes) each, by their log-loss; few labels leave them near the prior.

        `warm` is the share of categories that have labels; heads that were held out knew fewer, and what is learnt is how far to go from
        the prior of so many.
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

        return of(minimize(loss, np.zeros(3), method="Nelder-Mead", options={"maxfev": 120, "xatol": 0.02}).x, warm)

    def __call__(self, below: Array, above: Array, known: Mask) -> Array:
        """Return scores, (n, n_classes), from log-probabilities; `known`, (n_classes,) or a row each, is what the rung speaks of."""
        guess = -np.log(np.maximum(known.sum(axis=-1, keepdims=True), 1)).astype(np.float32)
        spoken = np.where(known, above - guess, np.float32(self.stand_in))
        return np.asarray(np.float32(self.below) * below + np.float32(self.rung) * spoken, dtype=np.float32)
