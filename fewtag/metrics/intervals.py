"""How far a figure may be off, for the products it was measured on are only some: intervals of 95%."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

NORMAL: Final = 1.959964
"""So many standard deviations to either side hold 95%."""
RESAMPLES: Final = 1000
TAIL: Final = 0.025

Floats = npt.NDArray[np.float64]


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], Floats], count: int, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return the ends of the 95% intervals of figures, (n_figures,) each, by the percentile bootstrap (Efron 1979) over `count` products.

    `statistic` takes the numbers of the products of a resample, (count,), drawn with replacement, and returns all figures of it,
    (n_figures,): so they share their resamples. A figure that a resample does not have is NaN there, and left out.

    Mind macro-F1 and calibration errors of few products: a resample is lumpier than what it is drawn from, so that their intervals lean
    down and up.

    >>> values = np.array([0.0, 1.0, 1.0, 0.0])
    >>> low, high = bootstrap(lambda rows: values[rows].mean(keepdims=True), 4)
    >>> low.tolist(), high.tolist()
    ([0.0], [1.0])
    """
    random = np.random.default_rng(seed)
    drawn = np.array([statistic(random.integers(count, size=count)) for _ in range(resamples)])
    known = np.where(np.isnan(drawn).all(axis=0), 0.0, drawn)  # a figure that no resample has would only make numpy warn
    low, high = np.nanquantile(known, [TAIL, 1 - TAIL], axis=0)
    return low, high


def f1_interval(right: int, said: int, true: int) -> tuple[float, float, float]:
    """Return F1 over some classes together, and the ends of its 95% interval, by Wilson's score (1927): five of five are no certainty.

    Of the answers `said` are among those classes, of the gold `true`, and of both `right` where they are the same. F1 is the share of the
    right ones among those and half of the wrong ones. Without any of them, all three are 0.

    >>> f1_interval(2, 3, 3)
    (0.6667, 0.2077, 0.9385)
    """
    count = (said + true) / 2
    if not count:
        return 0.0, 0.0, 0.0
    low, high = wilson(right, count)
    return round(right / count, 4), round(low, 4), round(high, 4)


def wilson(right: float, count: float) -> tuple[float, float]:
    """Return the ends of the 95% interval of a share, by Wilson's score (1927); of a `count` of 0 nothing is known.

    >>> [round(end, 4) for end in wilson(5, 5)], wilson(0, 0)
    ([0.5655, 1.0], (0.0, 1.0))
    """
    if not count:
        return 0.0, 1.0
    share = right / count
    middle = (share + NORMAL**2 / (2 * count)) / (1 + NORMAL**2 / count)
    reach = NORMAL / (1 + NORMAL**2 / count) * np.sqrt(share * (1 - share) / count + NORMAL**2 / (4 * count**2))
    return float(middle - reach) if right else 0.0, float(middle + reach) if right < count else 1.0
