"""Makes the likeliest class as sure as it is right, as held-out labels tell: beta calibration (Kull et al. 2017).

The trap: one temperature for all moves the sure and the unsure alike, and where titles are ambiguous the surest are too sure while the
others are not. Three figures bend the curve; few labels leave it straight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import BELIEF, Array
from fewtag.models.calibrate import log_softmax

LEAST: Final = 1e-6
"""A probability is never taken for nearer to 0 or 1 than that."""
AHEAD: Final = 1e-4
"""What was the likeliest stays so by this much at least."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The log-odds that the likeliest class is right, from its probability p: `sure` ln p - `unsure` ln (1 - p) + `bias`."""

    sure: float = 1.0
    unsure: float = 1.0
    bias: float = 0.0

    @classmethod
    def fit(cls, scores: Array, gold: npt.NDArray[np.int64], weights: npt.NDArray[np.floating]) -> Calibration:
        """Learn from log-probabilities of held-out labels, (n, n_classes), their classes and how much each counts, (n,)."""
        from scipy.optimize import minimize

        if not len(gold) or scores.shape[1] < 2:
            return cls()
        likely, unlikely = _logs(np.exp(scores.max(axis=1)))
        right = scores.argmax(axis=1) == gold
        signals, straight = np.column_stack([likely, -unlikely, np.ones(len(gold))]), np.array([1.0, 1.0, 0.0])

        def loss(figures: npt.NDArray[np.float64]) -> float:
            odds = signals @ figures
            wrong = weights @ np.logaddexp(0, np.where(right, -odds, odds))
            return float(wrong + BELIEF * np.square(figures - straight).sum())

        return cls(*map(float, minimize(loss, straight, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]).x))

    def __call__(self, scores: Array) -> Array:
        """Return log-probabilities, (n, n_classes), whose likeliest class is as sure as it should be; the others keep their proportions.

        >>> surer = Calibration(sure=1.0, unsure=1.0, bias=np.log(2))
        >>> np.exp(surer(np.log(np.float32([[0.6, 0.3, 0.1]])))).astype(float).round(3).tolist()
        [[0.75, 0.188, 0.062]]
        """
        if self == Calibration() or scores.shape[1] < 2 or not len(scores):
            return scores
        best = scores.argmax(axis=1)[:, None]
        second, first = np.partition(scores, -2, axis=1)[:, -2:].T
        likely, unlikely = _logs(np.exp(first))
        more = (self.sure - 1) * likely - (self.unsure - 1) * unlikely + self.bias
        more = np.maximum(more, np.minimum(0, AHEAD - (first - second)))
        moved = scores.copy()
        np.put_along_axis(moved, best, first[:, None] + more[:, None].astype(np.float32), axis=1)
        return log_softmax(moved)


def _logs(probabilities: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return ln p and ln (1 - p), (n,) each."""
    kept = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(kept), np.log1p(-kept)
