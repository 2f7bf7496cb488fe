"""Finds the level at which held-out labels prove a precision, and says what it found: a promise, or how many labels it lacks.

The trap: a level that was chosen because it did well on some labels is no more proven by them than the luckiest of many dice. So levels
are tested in an order that was fixed without a look at who is right, and each test is paid for ("Learn then test", Angelopoulos et al.
2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Verdict = Literal["kept", "never", "without", "wrong", "few", "many"]

DOUBT: Final = 0.1
"""How often, at most, labels drawn by chance may prove a precision that does not hold."""
STARTS: Final = 2
"""From how many levels on the tests go down, each with an equal share of the doubt; the first may meet an unlucky label."""
STRIDE: Final = 2.5
"""A later start has so many times the answers of the one before."""
SLACK: Final = 3
"""The first start has so many answers that the wrong ones which are allowed, divided by this, would still be proof."""
FAR: Final = 10
"""More lacking labels than so many times those there are is no number to tell: one label more or less would change it by as much again."""
FEWEST: Final = 20
"""Fewer answers say nothing of how many labels a proof needs."""
TOLD: Final[Mapping[Verdict, str]] = {
    "kept": "{labels:,} labels held out prove it at a level of {level:.3f}, with {certainty:.0%} confidence as far as categories are as "
    "frequent as they seem",
    "never": "no number of labels can prove that so little is wrong",
    "without": "there are no labels to hold out, and {lacking:,} or more are needed",
    "wrong": "of {labels:,} labels held out too many are wrong at every level, and more labels may help{where}",
    "few": "{labels:,} labels held out are too few, and about {lacking:,} more may do{where}",
    "many": "{labels:,} labels held out are far too few, and many times as many are needed{where}",
}
"""What a promise says of its verdict."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A `precision`, and the `level` of probability at which held-out labels prove it; None where they do not.

    `labels` is how many were held out. Where it is not proven, `lacking` is about how many more labels would do (None: that cannot be
    told), most of all in the branch of the path `branch`. `unknown` is the share of the products in categories that nothing is known of.
    """

    precision: float
    level: float | None = None
    labels: int = 0
    lacking: int | None = None
    branch: str = ""
    unknown: float = 0.0

    @property
    def decides(self) -> float:
        """The level by which tags are decided: the proven one, or the precision itself, as if the models' probabilities were true."""
        return self.precision if self.level is None else self.level

    @property
    def verdict(self) -> Verdict:
        """Whether the precision is proven (`kept`), or why not: so few answers may be wrong that no number of labels within reason proves
        it, none were held out, too many of them are wrong at every level, or they are too few: by a number that can be told, or by many.

        >>> Promise(0.9, level=0.7, labels=200).verdict, Promise(1.0).verdict, Promise(0.9, labels=30, lacking=70).verdict
        ('kept', 'never', 'few')
        """
        if self.level is not None:
            return "kept"
        if fewest(self.precision) is None:
            return "never"
        if not self.labels:
            return "without"
        if self.lacking is None:
            return "wrong"
        return "few" if self.lacking <= FAR * self.labels else "many"

    def __str__(self) -> str:
        where = f", most of all in {self.branch}" if self.branch else ""
        told = TOLD[self.verdict].format(where=where, certainty=1 - DOUBT, **asdict(self))
        if self.level is None:
            return f"Precision {self.precision:g} is not proven: {told}. Tags go by what the models hold likely, at {self.precision:g}."
        rest = f" It is not for categories that none of these is of, about {self.unknown:.0%} of the products." if self.unknown else ""
        return f"Precision {self.precision:g} is promised: {told}.{rest}"


@dataclass(frozen=True, slots=True)
class Holding:
    """Sets of a product's likeliest categories that are to have the right one for a `share` of the products: each holds `mass` of the
    probability, as so many `labels` that were held out demand; 0 of them where they are too few to say, and it is taken to be the share."""

    share: float
    mass: float
    labels: int = 0

    def __str__(self) -> str:
        said = f"Alternatives are the categories that hold {self.mass:.3g} of the probability together"
        if not self.labels:
            return f"{said}; labels are too few to say for how many products the right one is among them."
        among = f"the right one is among them for {self.share:.0%} of the products or more"
        return f"{said}, so that {among}, as {self.labels:,} labels held out tell."


def doubt(answers: float, wrong: float, precision: float) -> float:
    """Return how likely so few wrong answers are where the precision is not met: the binomial tail, as Clopper and Pearson have it.

    Numbers need not be whole: of labels that count unequally, `answers` is how many equal ones tell as much (Korn and Graubard 1998).

    >>> round(doubt(45, 0, 0.95), 4), round(0.95**45, 4)
    (0.0994, 0.0994)
    """
    from scipy.special import betainc

    return float(betainc(max(answers - wrong, 0.0), wrong + 1, precision)) if answers > wrong else 1.0


def enough(precision: float, rate: float, allowed: float = DOUBT / STARTS) -> int | None:
    """Return how many answers prove a precision where a share `rate` of them is wrong; None where no number up to a million does.

    >>> enough(0.95, 0.0), enough(0.95, 0.06)
    (59, None)
    """
    low, high = 0, 1
    while doubt(high, high * rate, precision) > allowed:
        low, high = high, 2 * high
        if high > 2**20 or rate >= 1 - precision:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if doubt(middle, middle * rate, precision) <= allowed else (middle, high)
    return high


def fewest(precision: float) -> int | None:
    """Return how many answers a level must have to be tested first: so many that a third of the wrong ones allowed would still be proof.

    >>> fewest(0.95), fewest(0.9), fewest(1.0)
    (128, 62, None)
    """
    return enough(precision, (1 - precision) / SLACK)


def proven(answers: Floats, wrong: Floats, precision: float) -> int | None:
    """Return the place of the laxest of some levels at which a precision is proven; None where it is at none.

    The levels, strictest first, are told by their numbers of answers and of wrong ones, (n_levels,). From each start on they are tested
    one by one until a test fails, so that no test more is paid for (fixed sequences with several starts).

    >>> proven(np.array([40.0, 80, 160]), np.array([0.0, 1, 16]), 0.9)
    1
    """
    first, reached = fewest(precision) or np.inf, np.maximum.accumulate(answers)  # one label that counts for much makes less of more
    found = []
    for start in range(STARTS):
        place = int(np.searchsorted(reached, first * STRIDE**start))
        while place < len(answers) and doubt(answers[place], wrong[place], precision) <= DOUBT / STARTS:
            found.append(place)
            place += 1
    return max(found, default=None)


def lacking(answers: Floats, wrong: Floats, precision: float, labels: int) -> int | None:
    """Return about how many more labels of the same kind would prove a precision at one of some levels; None where that cannot be told.

    A level's numbers of answers and wrong ones, (n_levels,) each, are taken to grow with the `labels`; half a right answer and half a wrong
    one are added to each (Jeffreys), as few that are all right do not say that none is wrong. Where no level has enough answers to tell
    how many are wrong, it is the fewest that any proof takes.

    >>> lacking(np.array([50.0]), np.array([0.0]), 0.9, 100), fewest(0.9)
    (24, 62)
    """
    told, first = answers >= FEWEST, fewest(precision) or 0
    if not told.any():
        return first or None
    rates = (wrong[told] + 0.5) / (answers[told] + 1)
    wanted = [enough(precision, rate) for rate in rates.tolist()]
    more = [labels * (max(each, first) / had - 1) for each, had in zip(wanted, answers[told].tolist(), strict=True) if each]
    return max(1, round(min(more))) if more else None
