"""What a training came to, rung by rung and branch by branch, and where the next labels would help most."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fewtag.blend import Array, Mask
from fewtag.calibration import Calibration
from fewtag.climb import Step
from fewtag.core import Stage
from fewtag.gate import Gate
from fewtag.metrics import f1_interval
from fewtag.taxonomy import Taxonomy

BELIEF: Final = 4.0
"""What a branch shows counts in each of its categories as much as so many labels of its own."""
CHANGES: Final = 5
"""So many labels that all change for the better do so by chance once in 32 times; fewer say too little."""
LEAST_GAIN: Final = 0.005
"""That or less is written as no point at all."""


class Effect(NamedTuple):
    """What labels do where they are: there are none, too few to hold some out, or they gain, lose or do neither, which may be `chance`."""

    kind: Literal["none", "few", "same", "gain", "lose"]
    chance: bool = False

    @classmethod
    def of(cls, labels: int, held_out: int, gain: float) -> Self:
        """Judge by the change in the share of right ones among labels that were held out.

        >>> Effect.of(400, 400, -0.1), Effect.of(9, 4, 0.25)
        (Effect(kind='lose', chance=False), Effect(kind='gain', chance=True))
        """
        if not labels:
            return cls("none")
        if not held_out:
            return cls("few")
        if abs(gain) <= LEAST_GAIN:
            return cls("same")
        return cls("gain" if gain >= 0 else "lose", not tells(gain, held_out))


@dataclass(frozen=True, slots=True)
class Branch:
    """How one root's labels fare: of the `held_out` ones, the share that is right without labels and with them, and F1 with its interval.

    `rungs` says how many of its assignable categories stand on each rung. The next label would help most in the category `wants`, which
    has an estimated `share` of the catalogue's products.
    """

    category: str
    labels: int
    rungs: dict[Stage, int]
    held_out: int
    zero_shot_accuracy: float
    accuracy: float
    f1: tuple[float, float, float]
    reason: str
    wants: str
    share: float


@dataclass(frozen=True, slots=True)
class Training:
    """What the last training came to: how many labels, of how many categories, the rungs above zero-shot with what each gained, the gate
    before them, what their scores are multiplied with and how sure the likeliest is to be, and how the labels fare that the topmost has not
    seen, in all and by branch; `seconds` is what it took."""

    labels: int
    warm: int
    steps: tuple[Step, ...]
    gate: Gate
    sureness: float
    calibration: Calibration
    held_out: int
    zero_shot_accuracy: float
    accuracy: float
    branches: tuple[Branch, ...]
    seconds: float

    @property
    def tuned_before(self) -> str:
        """The revision of an encoder tuned before, which this training has kept or started from; empty where there was none."""
        return next((step.record["tuned_before"] for step in self.steps if step.stage == "few-shot"), "")

    @property
    def notes(self) -> dict[str, Any]:
        """What a run whose tags come from it notes: how many labels there were, what each rung was told, and what came of that."""
        rungs = [{"stage": step.stage, "held_out": step.held_out, "accuracy": step.accuracy, **step.record} for step in self.steps]
        return {"labels": self.labels, "rungs": rungs}

    @classmethod
    def of_json(cls, about: dict[str, Any]) -> Training:
        """Read back what `dataclasses.asdict` made."""
        steps = tuple(Step.of_json(each) for each in about["steps"])
        branches = tuple(Branch(**each | {"f1": tuple(each["f1"])}) for each in about["branches"])
        nouns = {"gate": Gate(**about["gate"]), "calibration": Calibration(**about["calibration"])}
        return cls(**about | nouns | {"steps": steps, "branches": branches})


@dataclass(frozen=True, slots=True)
class Heard:
    """What is said of labels that were held out, without labels and with the others: log-scores, (n, n_classes); and their gold, (n,)."""

    zero_shot: Array
    blended: Array
    gold: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unseen:
    """What is said of labels that nothing has seen which says it: log-probabilities, and what the head knew, (n, n_classes); gold, (n,)."""

    scores: Array
    known: Mask
    gold: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """What there is to judge by: held-out labels, how many labels each class has, and its share of the catalogue, (n_classes,)."""

    heard: Heard
    labels: npt.NDArray[np.int64]
    share: Array

    def branches(self, taxonomy: Taxonomy, stages: tuple[Stage, ...]) -> tuple[Branch, ...]:
        """Judge root by root, those with most labels first; a category with several parents counts for the root that its path starts at."""
        root, gold = taxonomy.root_places, self.heard.gold
        first, last = self.heard.zero_shot.argmax(axis=1), self.heard.blended.argmax(axis=1)

        def by_root(classes: npt.NDArray[np.int64]) -> list[int]:
            found: list[int] = np.bincount(root[classes], minlength=len(taxonomy.roots)).tolist()
            return found

        said, held_out = by_root(last), by_root(gold)
        right_first, right_last = by_root(gold[first == gold]), by_root(gold[last == gold])
        labels = by_root(np.repeat(np.arange(len(root)), self.labels))
        rungs: dict[int, Counter[Stage]] = defaultdict(Counter)
        for place, stage in zip(root.tolist(), stages, strict=True):
            rungs[place][stage] += 1
        order = np.lexsort((-self._need(root, last == gold), root))  # root by root, and what helps most before the others
        found = []
        for place, start in zip(*(each.tolist() for each in np.unique(root[order], return_index=True)), strict=True):
            before, after = (round(right[place] / max(held_out[place], 1), 4) for right in (right_first, right_last))
            wants = int(order[start])
            found.append(
                Branch(
                    taxonomy.roots[place],
                    labels[place],
                    dict(rungs[place]),
                    held_out[place],
                    before,
                    after,
                    f1_interval(right_last[place], said[place], held_out[place]),
                    _reason(labels[place], held_out[place], after - before),
                    taxonomy.classes[wants],
                    round(float(self.share[wants]), 4),
                )
            )
        return tuple(sorted(found, key=lambda branch: -branch.labels))

    def _need(self, root: npt.NDArray[np.int64], is_right: npt.NDArray[np.bool_]) -> Array:
        """Return how much one more label of each class would help, (n_classes,): the share of products that are wrong in it, by its labels.

        What a label adds falls with the number of those that are there, so the wrong share is divided by one more than that. `root` tells
        classes of one root from others, (n_classes,).
        """
        count = np.bincount(self.heard.gold, minlength=len(root))
        hits = np.bincount(self.heard.gold, weights=is_right, minlength=len(root))
        common = ((np.bincount(root, weights=hits) + 1) / (np.bincount(root, weights=count) + 2))[root]
        wrong = 1 - (hits + BELIEF * common) / (count + BELIEF)
        return np.asarray(self.share * wrong / (1 + self.labels), dtype=np.float32)


def _reason(labels: int, held_out: int, gain: float) -> str:
    effect = Effect.of(labels, held_out, gain)
    change = f"labels {effect.kind} {abs(100 * gain):.0f} points on {held_out} held out"
    same = f"with labels about as many are right as without, of {held_out} held out"
    told = {"none": "no labels yet", "few": "too few labels to hold some out", "same": same}.get(effect.kind, change)
    return f"{told}, which may be chance" if effect.chance else told


def tells(gain: float, held_out: int) -> bool:
    """Return whether a change in the share of right ones, of so many, is more than chance easily makes it.

    >>> tells(-0.06, 16), tells(0.3, 138), tells(1.0, 4), tells(0.8333, 6)
    (False, True, False, True)
    """
    return bool(round(abs(gain) * held_out) >= CHANGES and abs(gain) * np.sqrt(held_out) > 1)
