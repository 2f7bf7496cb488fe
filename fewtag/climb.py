"""Which categories a rung speaks for: those where it gains on held-out labels over what stands below it.

The trap: four labels of a category say little of it, and most of what looks like a loss is chance. So each category's gain is drawn
towards that of all, and a category changes its rung only where the gain leaves no doubt that it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import Array, Blend, Mask
from fewtag.core import Stage
from fewtag.models.calibrate import log_softmax

BELIEF: Final = 8.0
"""What all categories show counts in each as much as so many labels of its own."""
EXPECTED: Final[dict[Stage, float]] = {"few-shot": 0.3, "fine-tune": 0.0}
"""What a label is expected to gain, in nats, before any was held out: a classifier has no more to go by than what stands below it."""
MARGIN: Final = 0.05
"""A category climbs above this gain and steps down below its negative, in nats a label; between the two it stays where it is."""
LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Held:
    """What was said of labels that were held out: log-probabilities below and by the rung, and what it knew, (n, n_classes); gold, (n,)."""

    below: Array
    above: Array
    known: Mask
    gold: npt.NDArray[np.int64]


def gain(blend: Blend, held: Held, expected: float) -> Array:
    """Return what a rung's word for each class is worth, (n_classes,), in nats a held-out label of the class.

    That is how much less likely the truth would be if the rung were silent on the class, with all else left as it is. `expected` is what
    it is taken for before any label was held out.
    """
    spoken = blend(held.below, held.above, held.known)
    silent = blend(held.below, held.above, np.zeros_like(held.known))
    likely = log_softmax(spoken)
    normaliser = spoken[:, :1] - likely[:, :1]
    # Silence on one class moves what all others share by the difference of that class alone.
    rest = np.log(np.maximum(1 - np.exp(likely), LEAST) + np.exp(np.minimum(silent - normaliser, 50)))
    rows = np.arange(len(held.gold))
    rest[rows, held.gold] += (spoken - silent)[rows, held.gold]
    total = np.where(held.known, rest, 0).sum(axis=0, dtype=np.float64)
    labels = np.bincount(held.gold[held.known[rows, held.gold]], minlength=len(total))
    common = (total.sum() + expected * BELIEF) / (labels.sum() + BELIEF)
    return np.asarray((total + BELIEF * common) / (labels + BELIEF), dtype=np.float32)


def speaks(worth: Array, warm: Mask, spoke: Mask | None, first: float = 0.0) -> Mask:
    """Return the classes that a rung is to speak for, (n_classes,): of those it has labels of, what gains, and what is in doubt as before.

    `spoke` is what it spoke for before; without that, a gain above `first` decides.

    >>> worth = np.float32([0.5, 0.01, -0.01, -0.5])
    >>> speaks(worth, np.ones(4, dtype=bool), np.array([False, False, True, True])).tolist()
    [True, False, True, False]
    """
    bar = np.float32(first) if spoke is None else np.where(spoke, -MARGIN, MARGIN).astype(np.float32)
    return np.asarray(warm & (worth > bar), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: how it blends with what stands below, which classes it speaks for, and what its word is worth in each.

    `worth` is in nats a label, 0 for a class that it has no label of; `below` and `accuracy` are the shares of the `held_out` labels that
    are right without it and with it. `record` is what its own training has to tell. `likelier` is how many times as likely the rung makes
    the truth of a held-out label, in the geometric mean: it may be above 1 where no more of the likeliest categories are right. It is None
    where none was held out, or an older training did not look.
    """

    stage: Stage
    blend: Blend
    speaks: tuple[bool, ...]
    worth: tuple[float, ...]
    held_out: int
    below: float
    accuracy: float
    record: dict[str, Any]
    likelier: float | None = None

    @classmethod
    def of_json(cls, about: dict[str, Any]) -> Step:
        """Read back what `dataclasses.asdict` made."""
        lists = {name: tuple(about[name]) for name in ("speaks", "worth")}
        return cls(**about | lists | {"blend": Blend(**about["blend"])})

    def __call__(self, below: Array, above: Array, known: Mask) -> Array:
        """Return log-probabilities, (n, n_classes), from a rung's and those below it; `known` is what the rung had labels of.

        A rung that speaks for nothing changes nothing.
        """
        return log_softmax(self.blend(below, above, np.array(self.speaks) & known) if any(self.speaks) else below)


def climb(stage: Stage, held: Held, warm: Mask, spoke: Mask | None, record: dict[str, Any]) -> Step:
    """Set a rung upon those below it, by what was said of held-out labels; with none of them, it has a modest say in all that it knows.

    `warm` are the classes that it has labels of, (n_classes,), the columns of `held` those among them; `spoke` are the classes that it
    spoke for before, None where it did not.
    """
    if not len(held.gold):
        return Step(stage, Blend.prior(), tuple(warm.tolist()), (0.0,) * len(warm), 0, 0.0, 0.0, record)
    blend = Blend.fit(held.below, held.above, held.known, held.gold)
    worth = np.zeros(len(warm), dtype=np.float32)
    worth[warm] = gain(blend, held, EXPECTED[stage])
    chosen = speaks(worth, warm, spoke, MARGIN if stage == "fine-tune" else 0.0)
    said = blend(held.below, held.above, held.known & chosen[warm]) if chosen.any() else held.below
    below, after = (right(each, held.gold) for each in (held.below, said))
    likelier = round(float(np.exp(np.mean(truth(said, held.gold) - truth(held.below, held.gold)))), 4)
    return Step(stage, blend, tuple(chosen.tolist()), tuple(worth.round(4).tolist()), len(held.gold), below, after, record, likelier)


def truth(scores: Array, gold: npt.NDArray[np.int64]) -> Array:
    """Return the log-probability of each row's gold column, (n,), from log-scores, (n, n_classes)."""
    return np.asarray(log_softmax(scores)[np.arange(len(gold)), gold])


def stages(steps: Sequence[Step], count: int) -> tuple[Stage, ...]:
    """Return the highest rung that speaks for each of so many classes; zero-shot speaks for all."""
    found: list[Stage] = ["zero-shot"] * count
    for step in steps:
        found = [step.stage if spoken else below for spoken, below in zip(step.speaks, found, strict=True)]
    return tuple(found)


def right(scores: Array, gold: npt.NDArray[np.int64]) -> float:
    """Return the share of rows whose highest score is the gold column's."""
    return round(float((scores.argmax(axis=1) == gold).mean()), 4) if len(gold) else 0.0
