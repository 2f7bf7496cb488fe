"""Measures tags against gold. The trap: compared by name, `Pets > Other` for `Toys > Other` would be half right; so ids are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fewtag.taxonomy import Taxonomy


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
