"""Decides how likely a product is to belong to any category with labels at all, before anything decides to which.

Generalised zero-shot learning by a gate (Atzmon and Chechik 2019): p(c) is p(warm) p(c | warm) for a category with labels, and
p(cold) p(c | cold) for one without. So the rungs never compete across that line: among the warm categories the blend speaks as if there
were no others, and among the cold ones the zero-shot rung does. The trap: a label is never of a cold category, so what a cold product
looks like can only be learnt from warm categories that are hidden from a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.models.calibrate import log_softmax
from fewtag.models.few_shot.head import HeldOut

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

BELIEF: Final = 1.0
"""How firmly the weights hold to the zero-shot rung's word alone: by so much times the square of each one's distance from it."""
LEAN: Final = 0.4
"""Log-odds given to the warm half on top (Chao et al. 2016): a label has told more of its category than a name of another."""
ENOUGH: Final = 50
"""So many held-out labels earn half of `LEAN`."""
SILENT: Final = np.float32(-1e4)
"""The score of a category that is not asked for; finite, so that rows without any other stay free of NaN."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The log-odds that a product is of a warm category, as a weighted sum: those by the zero-shot rung, the log of the few-shot rung's
    highest probability (Hendrycks and Gimpel 2017), how `familiar` the text looks, and 1. As made, the zero-shot rung's word alone."""

    zero_shot: float = 1.0
    few_shot: float = 0.0
    familiar: float = 0.0
    bias: float = 0.0

    @classmethod
    def fit(cls, zero_shot: Array, held: HeldOut, hidden: Mask) -> Gate:
        """Learn from held-out labels whether the head knew their category, by logistic regression.

        `zero_shot` holds log-probabilities, and `hidden` what was hidden from each row's head, (n, n_classes) each. Rows whose category
        was neither known nor hidden, and those of a head that knew one category alone, which is always sure, say nothing; nor do rows
        of one kind only.
        """
        from scipy.optimize import minimize

        row = np.arange(len(held.gold))
        told = (held.known | hidden)[row, held.gold] & (held.known.sum(axis=1) > 1) & hidden.any(axis=1)
        warm = held.known[row, held.gold][told]
        if not warm.any() or warm.all():
            return cls()
        signals = _signals(zero_shot[told], held.log_probabilities[told], held.familiar[told], held.known[told], hidden[told])
        prior = np.array([1.0, 0.0, 0.0, 0.0])

        def loss(weights: npt.NDArray[np.float64]) -> float:
            odds = signals @ weights
            return float(np.logaddexp(0, np.where(warm, -odds, odds)).sum() + BELIEF * np.square(weights - prior).sum())

        bounds = [(0, None), (0, None), (0, None), (None, None)]
        zero, few, familiar, bias = map(float, minimize(loss, prior, method="L-BFGS-B", bounds=bounds).x)
        return cls(zero, few, familiar, bias + LEAN * len(warm) / (len(warm) + ENOUGH))

    def __call__(self, zero_shot: Array, few_shot: Array, familiar: Array, known: Mask) -> Array:
        """Return log-odds, (n,), from log-probabilities, (n, n_classes) each, and `familiar`, (n,); `known`, (n_classes,) or a row each,
        marks the warm categories."""
        known = np.broadcast_to(known, zero_shot.shape)
        weights = np.array([self.zero_shot, self.few_shot, self.familiar, self.bias])
        return np.asarray(_signals(zero_shot, few_shot, familiar, known, ~known) @ weights, dtype=np.float32)


def join(log_odds: Array, warm: Array, cold: Array, known: Mask) -> Array:
    """Return log-probabilities, (n, n_classes): scores `warm` where `known`, `cold` elsewhere, each normalised, weighed by the log-odds.

    `known` is (n_classes,), or a row each. Where it holds of every category, or of none, the log-odds are not asked.

    >>> scores = np.log(np.float32([[0.9, 0.1, 0.3, 0.1]]))
    >>> joined = join(np.float32([np.log(4)]), scores, scores, np.array([True, True, False, False]))
    >>> np.exp(joined).astype(float).round(2).tolist()
    [[0.72, 0.08, 0.15, 0.05]]
    """
    known = np.broadcast_to(known, warm.shape)
    odds = np.where(known.all(axis=1), -SILENT, np.where(known.any(axis=1), log_odds, SILENT))[:, None]
    of_warm = log_softmax(np.where(known, warm, SILENT)) - np.logaddexp(0, -odds)
    of_cold = log_softmax(np.where(known, SILENT, cold)) - np.logaddexp(0, odds)
    return np.asarray(np.where(known, of_warm, of_cold), dtype=np.float32)


def moved(joined: Array, shift: Array, known: Mask) -> Array:
    """Add `shift`, (n_classes,), to log-probabilities that were joined, (n, n_classes), among the `known`; what all of these have, stays.

    >>> joined = np.log(np.float32([[0.6, 0.2, 0.2]]))
    >>> np.exp(moved(joined, np.log(np.float32([1, 3, 9])), np.array([True, True, False]))).astype(float).round(2).tolist()
    [[0.4, 0.4, 0.2]]
    """
    known = np.broadcast_to(known, joined.shape)
    odds = _total(np.where(known, joined, SILENT)) - _total(np.where(known, SILENT, joined))
    return join(odds.astype(np.float32), joined + shift, joined, known)


def hidden_classes(known: Mask, gold: npt.NDArray[np.int64]) -> Mask:
    """Return which classes were hidden on purpose from each held-out label's head, (n, n_classes), by what it knew.

    One with a single label is unknown to the head that is asked about it even so, and tells nothing of cold classes.

    >>> hidden_classes(np.array([[True, False, False]] * 3), np.array([0, 1, 1])).tolist()[0]
    [False, True, False]
    """
    several = np.bincount(gold, minlength=known.shape[1]) > 1
    return np.asarray(several & ~known, dtype=np.bool_)


def _signals(zero_shot: Array, few_shot: Array, familiar: Array, known: Mask, others: Mask) -> npt.NDArray[np.float64]:
    """Return what the gate goes by, (n, 4)."""
    odds = _total(np.where(known, zero_shot, SILENT)) - _total(np.where(others, zero_shot, SILENT))
    return np.column_stack([odds, np.where(known, few_shot, SILENT).max(axis=1), familiar, np.ones(len(odds))])


def _total(scores: Array) -> npt.NDArray[np.float64]:
    highest = scores.max(axis=1)
    return np.asarray(highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1)), dtype=np.float64)
