"""How much a text looks like those that have labels, whatever their categories: learnt from labelled texts against the catalogue.

Positive and unlabelled learning (Elkan and Noto 2008): the catalogue holds warm products beside cold ones, so the classifier is far too
doubtful of the former; but it ranks texts as one would that was told which is which. That asks for labels drawn as
the catalogue is, and they are drawn class by class, so each counts for as much of the catalogue as its class seems to have. The trap: a
text that it was fitted on is familiar for that reason alone, so whoever learns from its word asks one that has not seen the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

SAMPLE: Final = 4096
"""So many unlabelled texts stand for the catalogue."""
ENOUGH: Final = 200
"""Fewer say too little of what the catalogue holds."""
INVERSE_REGULARISATION: Final = 1.0


@dataclass(frozen=True, slots=True)
class Familiar:
    """Log-odds `features @ weights + bias`, up to a constant: weights (dimensions,)."""

    weights: Array
    bias: float = 0.0

    @classmethod
    def fit(cls, labelled: Array, others: Array, weights: Array) -> Familiar:
        """Fit logistic regression on features, (n, dimensions) each; `weights` are those of the labelled, and both sides weigh alike."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=200)
        each = np.concatenate([weights * (len(others) / weights.sum()), np.ones(len(others))])
        model.fit(np.vstack([labelled, others]), np.repeat([1, 0], [len(labelled), len(others)]), sample_weight=each)
        return cls(model.coef_[0].astype(np.float32), float(model.intercept_[0]))

    def __call__(self, features: Array) -> Array:
        """Return float32 (n,) for features (n, dimensions), of which it goes by the last; what a tuned encoder sees stands before them."""
        return np.asarray(features[:, -len(self.weights) :] @ self.weights + np.float32(self.bias), dtype=np.float32)


NOBODY: Final = Familiar(np.zeros(1, dtype=np.float32))
"""Finds no text more familiar than another."""
