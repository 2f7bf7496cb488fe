"""What held-out labels say of the decision rule: at each level of probability, how many answers there are and how many are right.

The trap: labels come category by category, and products do not. So each label counts for the products that its category has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import Array, Mask
from fewtag.decide import sure_ways, the_deepest
from fewtag.gate import hidden_classes
from fewtag.models.calibrate import TINY
from fewtag.promise import Holding, Promise, fewest, lacking, proven
from fewtag.taxonomy import Taxonomy
from fewtag.training import Unseen

FILE: Final = "proof.json"
FIRST: Final = 20
GROWTH: Final = 1.05
"""The strictest level has so many answers, and each next one so many times as many."""


@dataclass(frozen=True, eq=False)
class Proof:
    """Of each held-out label how sure each category on the way to its likeliest class is, how deep it lies and whether it is right,
    (n, longest) each, how much the label counts, and how much probability the classes likelier than its own hold together, (n,) each.

    `branch` is the path of the root whose labels have to stand for most, `unknown` the share of the products that none stands for.
    """

    sums: Array
    depths: npt.NDArray[np.int64]
    right: Mask
    weights: Array
    ahead: Array
    branch: str = ""
    unknown: float = 0.0

    @classmethod
    def nothing(cls) -> Proof:
        """Return what no labels prove."""
        none = np.empty((0, 1), dtype=np.float32)
        return cls(none, none.astype(np.int64), none.astype(np.bool_), none[:, 0], none[:, 0])

    @classmethod
    def of(cls, unseen: Unseen, share: Array, warm: Mask, taxonomy: Taxonomy) -> Proof:
        """Take what is said of labels that no rung has seen, as sure as tags are; `share` is what each class has of the products.

        `warm` are the classes that have labels; (n_classes,) both.
        """
        if not len(unseen.gold):
            return cls.nothing()
        weights = frequencies(unseen, share, warm)
        probabilities = np.exp(unseen.scores)
        way, sums = sure_ways(probabilities, taxonomy)
        right = np.asarray(taxonomy.reach[way.ravel(), np.repeat(unseen.gold, way.shape[1])]).reshape(way.shape) > 0
        burden = np.bincount(taxonomy.root_places[unseen.gold], weights=np.square(weights))
        stood_for = np.isin(np.arange(len(share)), unseen.gold) | (~warm & hidden_rows(unseen, warm).any())
        unknown = round(float(share[~stood_for].sum()), 4)
        branch = taxonomy.path(taxonomy.roots[burden.argmax()])
        return cls(sums, taxonomy.depths[way], right, weights, mass_ahead(probabilities, unseen.gold), branch, unknown)

    def promise(self, precision: float) -> Promise:
        """Return whether a precision is proven and at which level, or what that lacks."""
        count = len(self.weights)
        if not count:
            return Promise(precision, lacking=fewest(precision))
        levels = list(self._levels())
        answers, wrong = np.array([self._told(level) for level in levels]).reshape(-1, 2).T
        place = proven(answers, wrong, precision)
        if place is not None:
            return Promise(precision, levels[place], count, unknown=self.unknown)
        return Promise(precision, None, count, lacking(answers, wrong, precision, count), self.branch, self.unknown)

    def holding(self, share: float) -> Holding:
        """Return how much probability a product's likeliest classes are to hold so that the right one is among a share of such sets.

        No less than the share itself, as if probabilities were true, and no less than split conformal prediction demands (Romano et al.
        2020): of the labels and one more, which is taken for missed, so many have to be in their sets.
        """
        order = np.argsort(self.ahead, kind="stable")
        among = np.cumsum(self.weights[order], dtype=np.float64) / (self.weights.sum(dtype=np.float64) + 1)
        place = int(np.searchsorted(among, share))
        if place == len(among):
            return Holding(share, share)
        return Holding(share, max(share, float(self.ahead[order][place])), len(among))

    def _levels(self) -> Iterator[float]:
        """Yield levels at which ever more labels are answered, without a look at who is right."""
        sure = np.sort(self.sums.max(axis=1))[::-1]
        sure = sure[sure > 0]
        wanted = float(FIRST)
        while wanted < len(sure):
            yield float(sure[int(wanted) - 1])
            wanted *= GROWTH
        if len(sure):
            yield float(sure[-1])

    def _told(self, level: float) -> tuple[float, float]:
        """Return how many equal answers tell as much as those at a level (Kish 1965), and how many of them are wrong."""
        place, answered = the_deepest(self.sums, self.depths, level)
        right = np.take_along_axis(self.right, place, axis=1)[:, 0] & answered
        total = float(self.weights[answered].sum(dtype=np.float64))
        answers = total**2 / float(np.square(self.weights[answered], dtype=np.float64).sum())
        return answers, answers * (1 - float(self.weights[right].sum(dtype=np.float64)) / total)

    def save(self, folder: Path) -> None:
        """Write it as JSON."""
        about: dict[str, Any] = {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in asdict(self).items()}
        (folder / FILE).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Proof:
        """Read back what `save` wrote."""
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
        kinds = {"sums": np.float32, "depths": np.int64, "right": np.bool_, "weights": np.float32, "ahead": np.float32}
        return cls(**about | {name: np.array(about[name], dtype=kind) for name, kind in kinds.items()})


def mass_ahead(probabilities: Array, gold: npt.NDArray[np.int64]) -> Array:
    """Return how much the classes likelier than the gold one hold together, (n,), of probabilities (n, n_classes).

    >>> mass_ahead(np.float32([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), np.array([0, 2])).tolist()
    [0.0, 0.5]
    """
    own = probabilities[np.arange(len(gold)), gold][:, None]
    return np.asarray(np.where(probabilities > own, probabilities, 0).sum(axis=1), dtype=np.float32)


def hidden_rows(unseen: Unseen, warm: Mask) -> Mask:
    """Return which labels are of a class that was hidden from whoever spoke, (n,): they stand for the classes without labels."""
    hidden = hidden_classes(unseen.known, unseen.gold) & warm
    return np.asarray(hidden[np.arange(len(unseen.gold)), unseen.gold], dtype=np.bool_)


def frequencies(unseen: Unseen, share: Array, warm: Mask) -> Array:
    """Return for how many products each held-out label stands, (n,), 1 on average.

    A class has a share of the products, (n_classes,), which its labels divide among them. Labels whose class was hidden stand for the
    classes without labels instead, each hidden class for as many products.
    """
    hidden, gold = hidden_rows(unseen, warm), unseen.gold
    shown, away = (np.bincount(gold[rows], minlength=len(share)) for rows in (~hidden, hidden))
    each_away = share[~warm].sum() / max(int((away > 0).sum()), 1)
    weights = np.where(hidden, each_away / np.maximum(away, 1)[gold], (share / np.maximum(shown, 1))[gold])
    return np.asarray(weights * len(weights) / max(float(weights.sum()), TINY), dtype=np.float32)
