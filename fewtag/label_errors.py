"""Which labels are likely wrong, by what is said of their products by a model that has not seen them (confident learning).

The trap: a model repeats what it has learnt, so it finds no error among its own labels. Whoever fills `Opinions` must have held them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Stage

TOP: Final = 20
"""So many of a product's likeliest classes are kept: 100,000 labels of 10,000 classes are then 16 MB rather than 4 GB."""
TINY: Final = np.float32(1e-9)

Rows = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Opinions:
    """What is said of n labelled products: the class that each is labelled with and that class's probability, `given` and `own`, (n,);
    and of the k likeliest, `classes` and their probabilities, `shares`, (n, k), the likeliest first."""

    given: Rows
    own: Shares
    classes: Rows
    shares: Shares

    @classmethod
    def of(cls, probabilities: Shares, given: Rows, top: int = TOP) -> Opinions:
        """Keep the likeliest few of a batch's probabilities, (n, n_classes); of equally likely ones, the first.

        >>> found = Opinions.of(np.float32([[0.25, 0.0, 0.75]]), np.array([0]), top=2)
        >>> found.own.tolist(), found.classes.tolist(), found.shares.tolist()
        ([0.25], [[2, 0]], [[0.75, 0.25]])
        >>> Opinions.of(np.full((1, 200), 0.005, dtype=np.float32), np.array([0]), top=3).classes.tolist()
        [[0, 1, 2]]
        """
        classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        own = probabilities[np.arange(len(given)), given]
        return cls(given, own, classes, np.take_along_axis(probabilities, classes, axis=1))

    @classmethod
    def joined(cls, parts: Sequence[Opinions]) -> Self:
        """Put batches one behind the other, at least one of them."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @property
    def agreed(self) -> float:
        """The share of products whose likeliest class is the one that they are labelled with."""
        return float((self.classes[:, 0] == self.given).mean())


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What a rung, `stage`, that has not seen them says of `labels`, each with its product's text; None where there are none."""

    stage: Stage
    labels: Sequence[tuple[Label, str]]
    opinions: Opinions | None


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is likely wrong: its row, the other class that its product is likeliest of, and the probabilities of the label's own
    class and of that one."""

    row: int
    likelier: int
    own: float
    share: float


def self_confidence(opinions: Opinions, n_classes: int) -> Shares:
    """Return how likely each class is on average for the products that are labelled with it, (n_classes,).

    A class with fewer than two labels, which would be compared with itself, gets the average of all labels.

    >>> opinions = Opinions.of(np.float32([[0.5, 0.5], [0.25, 0.75], [0.25, 0.75]]), np.array([0, 0, 1]))
    >>> self_confidence(opinions, 2).tolist()
    [0.375, 0.5]
    """
    count = np.bincount(opinions.given, minlength=n_classes)
    total = np.bincount(opinions.given, weights=opinions.own, minlength=n_classes)
    return np.asarray(np.where(count > 1, total / np.maximum(count, 1), opinions.own.mean()), dtype=np.float32)


def suspects(opinions: Opinions, n_classes: int) -> list[Suspect]:
    """Return the labels that are likely wrong, the likeliest first.

    How many they are, the confident joint says (Northcutt et al. 2021): a product counts for the likeliest class among those that are as
    likely as they are on average for their own labels, and is off the diagonal where that is likelier than its label's class. Which they
    are, says the label's own class: how likely it is, beside what it is on average for its labels. That finds more wrong labels than the
    margin to the likeliest class does, or the class's probability alone (`benchmarks/label_errors.py`). What is not among the likeliest
    few counts for nothing, so with all classes kept the result is exact.

    >>> shares = np.float32([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.875, 0.125]])
    >>> suspects(Opinions.of(shares, np.array([0, 0, 1, 1])), 2)
    [Suspect(row=3, likelier=0, own=0.125, share=0.875)]
    """
    given, own = opinions.given, opinions.own
    usual = self_confidence(opinions, n_classes)
    off = (opinions.shares >= usual[opinions.classes]) & (opinions.classes != given[:, None]) & (opinions.shares > own[:, None])
    others = np.where(opinions.classes == given[:, None], np.float32(-1), opinions.shares)
    place = others.argmax(axis=1)[:, None]
    likelier, share = (np.take_along_axis(each, place, axis=1)[:, 0] for each in (opinions.classes, others))
    order = np.argsort(own / np.maximum(usual[given], TINY), kind="stable")
    rows = order[share[order] > own[order]][: off.any(axis=1).sum()]
    return [Suspect(row, int(likelier[row]), float(own[row]), float(share[row])) for row in rows.tolist()]
