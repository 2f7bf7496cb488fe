"""The places of what is drawn: points, bars and lines as numbers that the page's template puts into SVG.

The trap: SVG counts downwards, so whatever grows upwards is taken from the height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fewtag.metrics import Bin, wilson

SIDE: Final = 200
"""The side of a square plot, in units of its own."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A bin of a reliability diagram: where it lies, how large it is, the ends of its 95% interval, and what it stands for."""

    x: float
    y: float
    radius: float
    top: float
    bottom: float
    products: int
    confidence: float
    right: float


def dots(bins: Sequence[Bin]) -> list[Dot]:
    """Place the bins of one depth: to the right how sure, upwards how right, the area as the number of products.

    >>> [dot] = dots([Bin(8, 0.75, 4)])
    >>> dot.x, dot.y, dot.radius
    (150.0, 100.0, 9.0)
    """
    most = max((each.products for each in bins), default=1)
    found = []
    for count, confidence, hits in bins:
        right, (low, high) = hits / count, wilson(hits, count)
        radius = round(2 + 7 * (count / most) ** 0.5, 1)
        found.append(Dot(_along(confidence), _up(right), radius, _up(high), _up(low), count, confidence, right))
    return found


def _along(share: float) -> float:
    return round(SIDE * share, 1)


def _up(share: float) -> float:
    return round(SIDE * (1 - share), 1)


def line(points: Sequence[tuple[float, float]], width: float, height: float, most: float = 1.0) -> str:
    """Write points, each from 0 to 1 and from 0 to `most`, as those of an SVG polyline.

    >>> line([(0.0, 0.0), (0.5, 1.0)], 400, 200)
    '0,200 200,0'
    """
    return " ".join(f"{round(width * x, 1):g},{round(height * (1 - y / most), 1):g}" for x, y in points)


def percents(counts: Sequence[int]) -> list[int]:
    """Return the share of each count in whole percent, so that they add to 100: what is cut most is rounded up (largest remainder).

    >>> percents([365, 25, 610]), percents([1, 1, 1]), percents([0, 0])
    ([37, 2, 61], [34, 33, 33], [0, 0])
    """
    total = max(sum(counts), 1)
    whole, rest = zip(*(divmod(100 * count, total) for count in counts), strict=True)
    rounded_up = sorted(range(len(counts)), key=lambda place: -rest[place])[: sum(rest) // total]
    return [share + (place in rounded_up) for place, share in enumerate(whole)]


def ceiling(values: Sequence[float]) -> float:
    """Return the least of a few round numbers that no value is above, so that an axis ends well.

    >>> ceiling([0.31, 0.12]), ceiling([])
    (0.4, 0.1)
    """
    steps = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    return next((step for step in steps if step >= max(values, default=0)), 1.0)
