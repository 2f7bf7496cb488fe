"""Whatever can guess a category is a model; this folder holds them all, and only it loads torch and its kin, when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Product

Probabilities = npt.NDArray[np.float32]


class Model(Protocol):
    """The one shape of every rung of the ladder."""

    classes_: tuple[str, ...]

    def fit(self, products: Sequence[Product], labels: Sequence[Label]) -> Model:
        """Learn from products, of which labels may speak for none, some or all."""
        ...

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow `classes_`."""
        ...
