"""A linear head over the features of a few labelled texts, and what heads say of labels that were held out from them.

The trap: logistic regression over thousands of classes takes hours; beyond `CELLS` class means stand in for it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.models.calibrate import NEVER, log_softmax

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

INVERSE_REGULARISATION: Final = 10.0
CELLS: Final = 2**24
"""Beyond so many labels times categories, logistic regression gives way to class means."""
TEMPERATURE: Final = 0.07


@dataclass(frozen=True, slots=True)
class Head:
    """Linear scores `features @ weights + bias` of the warm classes: weights (dimensions, n_warm), bias (n_warm,), warm (n_classes,)."""

    weights: Array
    bias: Array
    warm: Mask

    @classmethod
    def fit(cls, features: Array, classes: npt.NDArray[np.int64], weights: Array, n_classes: int) -> Head:
        """Fit multinomial logistic regression in which every class counts alike, however many labels it has."""
        warm = np.zeros(n_classes, dtype=np.bool_)
        warm[classes] = True
        count = int(warm.sum())
        if count < 2:
            return cls(np.zeros((features.shape[1], count), dtype=np.float32), np.zeros(count, dtype=np.float32), warm)
        if len(features) * count > CELLS:
            return cls._of_means(features, classes, weights, warm)
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=300, class_weight="balanced")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")  # one label a category is what this rung is for
            model.fit(features, classes, sample_weight=weights)
        coefficients, bias = model.coef_, model.intercept_
        if count == 2:  # one row says both
            coefficients, bias = np.vstack([-coefficients / 2, coefficients / 2]), np.array([-bias[0] / 2, bias[0] / 2])
        return cls(coefficients.T.astype(np.float32), bias.astype(np.float32), warm)

    @classmethod
    def _of_means(cls, features: Array, classes: npt.NDArray[np.int64], weights: Array, warm: Mask) -> Head:
        """Score by the cosine with each class's mean, in one pass whatever the number of classes."""
        means = unit(sums(features, classes, weights, len(warm)))[warm]
        return cls(means.T / np.float32(TEMPERATURE), np.zeros(len(means), dtype=np.float32), warm)

    def log_probabilities(self, features: Array) -> Array:
        """Return float32 (n, n_classes), `NEVER` for a class that is not warm."""
        scores = np.full((len(features), len(self.warm)), NEVER, dtype=np.float32)
        if self.warm.any():
            scores[:, self.warm] = np.maximum(log_softmax(features @ self.weights + self.bias), NEVER)
        return scores


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What heads said that had not seen a label: log-probabilities (n, n_classes), the classes each head knew, and the true class.

    `row` says which of the products given each row speaks of.
    """

    row: npt.NDArray[np.int64]
    log_probabilities: Array
    known: npt.NDArray[np.bool_]
    gold: npt.NDArray[np.int64]


def sums(vectors: Array, owners: npt.NDArray[np.int64], weights: Array | None, count: int) -> Array:
    """Sum vectors by owner, each times its weight, float32 (count, dimensions)."""
    result = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    np.add.at(result, owners, vectors if weights is None else vectors * weights[:, None])
    return result


def unit(rows: Array) -> Array:
    """Return rows of length 1; one of zeros stays."""
    result: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-9))
    return result
