"""Blends what rungs say of a product into one distribution: a weighted sum of log-probabilities, its weights fitted on held-out labels.

The trap of generalised zero-shot: a trained rung has no word for a category without labels, and silence would make that category
unreachable. So where a rung does not know a category, a stand-in speaks, and how loud it is, is fitted too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.models.calibrate import log_softmax

Array = npt.NDArray[np.float32]

SAMPLE: Final = 2048
"""How many held-out labels the weights are fitted on."""
BELIEF: Final = 10.0
"""The prior weighs as much as so many held-out labels would that were off by a factor of e."""


@dataclass(frozen=True, slots=True)
class Blend:
    """How much the zero-shot and the few-shot rung weigh, and the log-probability that stands in where the latter has no labels."""

    zero_shot: float = 0.5
    few_shot: float = 1.0
    stand_in: float = -5.0

    @classmethod
    def fit(cls, zero_shot: Array, few_shot: Array, known: npt.NDArray[np.bool_], gold: npt.NDArray[np.int64]) -> Blend:
        """Fit the weights on held-out log-probabilities, (n, n_classes) each, by their log-loss; few labels leave them near the prior."""
        from scipy.optimize import minimize

        if len(gold) > SAMPLE:
            kept = np.linspace(0, len(gold) - 1, SAMPLE).astype(np.int64)
            zero_shot, few_shot, known, gold = zero_shot[kept], few_shot[kept], known[kept], gold[kept]
        prior = cls()

        def of(parameters: npt.NDArray[np.float64]) -> Blend:
            zero, few = (float(np.exp(each)) for each in parameters[:2])
            return cls(prior.zero_shot * zero, prior.few_shot * few, prior.stand_in + 3 * float(parameters[2]))

        def loss(parameters: npt.NDArray[np.float64]) -> float:
            scores = log_softmax(of(parameters)(zero_shot, few_shot, known))
            likelihood = scores[np.arange(len(gold)), gold].sum()
            return float(BELIEF * np.square(parameters).sum() - likelihood)

        return of(minimize(loss, np.zeros(3), method="Nelder-Mead", options={"maxfev": 120, "xatol": 0.02}).x)

    def __call__(self, zero_shot: Array, few_shot: Array, known: npt.NDArray[np.bool_]) -> Array:
        """Return scores, (n, n_classes), from log-probabilities; `known`, (n_classes,) or a row each, is what the few-shot rung knows."""
        spoken = np.where(known, few_shot, np.float32(self.stand_in))
        return np.asarray(np.float32(self.zero_shot) * zero_shot + np.float32(self.few_shot) * spoken, dtype=np.float32)
