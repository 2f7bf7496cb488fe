"""Measures tags against gold. The trap: compared by name, `Pets > Other` for `Toys > Other` would be half right; so ids are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.taxonomy import Taxonomy

NORMAL: Final = 1.96
"""So many standard deviations to either side hold 95%."""


def accuracy(tags: Sequence[str | None], gold: Sequence[str]) -> float:
    """Return the share of products whose category is the gold one.

    >>> accuracy(["tea", None], ["tea", "jam"])
    0.5
    """
    return sum(tag == truth for tag, truth in zip(tags, gold, strict=True)) / max(len(gold), 1)


def macro_f1(tags: Sequence[str | None], gold: Sequence[str]) -> float:
    """Return the mean over the gold's categories of the harmonic mean of precision and recall; rare ones count as much as frequent ones.

    >>> macro_f1(["tea", "tea", "tea"], ["tea", "tea", "jam"])
    0.4
    """
    right = Counter(truth for tag, truth in zip(tags, gold, strict=True) if tag == truth)
    said, true = Counter(tags), Counter(gold)
    return sum(2 * right[category] / (said[category] + true[category]) for category in true) / max(len(true), 1)


def hierarchical_f1(tags: Sequence[str | None], gold: Sequence[str], taxonomy: Taxonomy) -> float:
    """Return F1 over the categories on the way to each tag against those on the way to its gold, counted over all products.

    A tag earns what it shares with the gold, an inner category too (Kiritchenko et al. 2006).

    >>> hierarchical_f1(["toys"], ["toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).__round__(3)
    0.667
    """
    shared = size = 0
    for tag, truth in zip(tags, gold, strict=True):
        said = {tag, *taxonomy.ancestors(tag)} if tag is not None else set()
        true = {truth, *taxonomy.ancestors(truth)}
        shared += len(said & true)
        size += len(said) + len(true)
    return 2 * shared / max(size, 1)


def accuracy_by_depth(tags: Sequence[str | None], gold: Sequence[str], taxonomy: Taxonomy) -> list[tuple[int, float]]:
    """Return for each depth, from 1 for the roots, how many products have gold so deep, and the share right down to there.

    >>> accuracy_by_depth(["toys/dolls", "toys"], ["toys/kites", "toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    [(2, 1.0), (2, 0.0)]
    """
    trails = [(taxonomy.trail(tag) if tag is not None else (), taxonomy.trail(truth)) for tag, truth in zip(tags, gold, strict=True)]
    result = []
    for depth in range(1, max((len(true) for _, true in trails), default=0) + 1):
        reached = [said[:depth] == true[:depth] for said, true in trails if len(true) >= depth]
        result.append((len(reached), sum(reached) / len(reached)))
    return result


def selective_precision(tags: Sequence[str | None], gold: Sequence[str | None], taxonomy: Taxonomy) -> tuple[float, float]:
    """Return the coverage (the share of products with a tag) and the share of those tags that are the gold category or above it.

    Gold is None for a product that belongs nowhere. Without any tag the precision is 1, as nothing wrong was said.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> selective_precision(["toys", None, "toys/dolls"], ["toys/kites", "toys/kites", None], taxonomy)
    (0.6666666666666666, 0.5)
    """
    said = [(tag, truth) for tag, truth in zip(tags, gold, strict=True) if tag is not None]
    right = sum(truth is not None and tag in (truth, *taxonomy.ancestors(truth)) for tag, truth in said)
    return len(said) / max(len(tags), 1), right / len(said) if said else 1.0


def f1_interval(said: npt.NDArray[np.int64], gold: npt.NDArray[np.int64], among: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return F1 over some classes together, and the ends of its 95% interval, by Wilson's score (1927): five of five are no certainty.

    `said` and `gold` are columns, (n,), `among` says which columns are asked for, (n_classes,). F1 is the share of the
    right ones among those and half of the wrong ones. Without any of them, all three are 0.

    >>> f1_interval(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), np.array([True, True, False]))
    (0.6667, 0.2077, 0.9385)
    """
    if not len(gold):
        return 0.0, 0.0, 0.0
    right = float(((said == gold) & among[gold]).sum())
    count = float(among[said].sum() + among[gold].sum()) / 2
    if not count:
        return 0.0, 0.0, 0.0
    share = right / count
    middle = (share + NORMAL**2 / (2 * count)) / (1 + NORMAL**2 / count)
    reach = NORMAL / (1 + NORMAL**2 / count) * np.sqrt(share * (1 - share) / count + NORMAL**2 / (4 * count**2))
    return round(share, 4), round(float(max(middle - reach, 0)), 4), round(float(min(middle + reach, 1)), 4)
