"""Which categories a rung speaks for: those where it gains on held-out labels over what stands below it.

The trap: four labels of a category say little of it, and most of what looks like a loss is chance. So each category's gain is drawn
towards that of all, and a category changes its rung only where the gain leaves no doubt that it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import Array, Blend, Mask
from fewtag.core import Stage
from fewtag.models.calibrate import log_softmax

BELIEF: Final = 8.0
"""What all categories show counts in each as much as so many labels of its own."""
EXPECTED: Final = 0.3
"""What a label is expected to gain, in nats, before any was held out."""
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

    def of(self, columns: Mask) -> Held:
        """Return what was said of some classes alone, to which all of the gold belongs."""
        place = np.cumsum(columns) - 1
        return Held(self.below[:, columns], self.above[:, columns], self.known[:, columns], place[self.gold])


def gain(blend: Blend, held: Held) -> Array:
    """Return what a rung's word for each class is worth, (n_classes,), in nats a held-out label of the class.

    That is how much less likely the truth would be if the rung were silent on the class, with all else left as it is.
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
    common = (total.sum() + EXPECTED * BELIEF) / (labels.sum() + BELIEF)
    return np.asarray((total + BELIEF * common) / (labels + BELIEF), dtype=np.float32)


def speaks(worth: Array, warm: Mask, spoke: Mask | None) -> Mask:
    """Return the classes that a rung is to speak for, (n_classes,): of those it has labels of, what gains, and what is in doubt as before.

    `spoke` is what it spoke for before; without that, the gain alone decides.

    >>> worth = np.float32([0.5, 0.01, -0.01, -0.5])
    >>> speaks(worth, np.ones(4, dtype=bool), np.array([False, False, True, True])).tolist()
    [True, False, True, False]
    """
    bar = np.float32(0) if spoke is None else np.where(spoke, -MARGIN, MARGIN).astype(np.float32)
    return np.asarray(warm & (worth > bar), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: how it blends with what stands below, which classes it speaks for, and what its word is worth in each.

    `worth` is in nats a label, 0 for a class that it has no label of; `below` and `accuracy` are the shares of the `held_out` labels that
    are right without it and with it. `record` is what its own training has to tell.
    """

    stage: Stage
    blend: Blend
    speaks: tuple[bool, ...]
    worth: tuple[float, ...]
    held_out: int
    below: float
    accuracy: float
    record: dict[str, Any]

    @classmethod
    def of_json(cls, about: dict[str, Any]) -> Step:
        """Read back what `dataclasses.asdict` made."""
        lists = {name: tuple(about[name]) for name in ("speaks", "worth")}
        return cls(**about | lists | {"blend": Blend(**about["blend"])})

    def __call__(self, below: Array, above: Array, known: Mask | None = None) -> Array:
        """Return log-probabilities, (n, n_classes), of a rung's and those below it; `known` are the classes that it had labels of."""
        mask = np.array(self.speaks)
        return log_softmax(self.blend(below, above, mask if known is None else mask & known))


def climb(stage: Stage, held: Held, warm: Mask, spoke: Mask | None, record: dict[str, Any]) -> Step:
    """Set a rung upon those below it, by what was said of held-out labels; with none of them, it has a modest say in all that it knows.

    `warm` are the classes that it has labels of, `spoke` those that it spoke for before, None where it did not.
    """
    if not len(held.gold):
        return Step(stage, Blend.prior(float(warm.mean())), tuple(warm.tolist()), (0.0,) * len(warm), 0, 0.0, 0.0, record)
    # A class without labels is never the truth here: it stays out, so that it is not learnt to be unlikely.
    among = held.of(warm)
    blend = Blend.fit(among.below, among.above, among.known, among.gold, float(warm.mean()))
    worth = np.zeros(len(warm), dtype=np.float32)
    worth[warm] = gain(blend, among)
    chosen, below = speaks(worth, warm, spoke), right(held.below, held.gold)
    step = Step(stage, blend, tuple(chosen.tolist()), tuple(worth.round(4).tolist()), len(held.gold), below, 0.0, record)
    return replace(step, accuracy=right(step(held.below, held.above, held.known), held.gold))


def stages(steps: Sequence[Step], count: int) -> tuple[Stage, ...]:
    """Return the highest rung that speaks for each of so many classes; zero-shot speaks for all."""
    found: list[Stage] = ["zero-shot"] * count
    for step in steps:
        found = [step.stage if spoken else below for spoken, below in zip(step.speaks, found, strict=True)]
    return tuple(found)


def right(scores: Array, gold: npt.NDArray[np.int64]) -> float:
    """Return the share of rows whose highest score is the gold column's."""
    return round(float((scores.argmax(axis=1) == gold).mean()), 4) if len(gold) else 0.0
