"""Measures that know the taxonomy: how much of the way to the gold is right, and how far off a tag is.

The trap: a category may have several parents. What lies above it are all of them; its depth and its levels are those of its path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fewtag.metrics.flat import macro_f1, weighted_f1
from fewtag.taxonomy import Taxonomy

Tags = Sequence[str | None]


class Hierarchical(NamedTuple):
    """Hierarchical precision, recall and F1, each from 0 to 1."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, overlaps: npt.NDArray[np.int64]) -> Self:
        """Sum over products what `overlaps` found; 0 where nothing was said or is true.

        >>> Hierarchical.of(np.array([[1, 1, 2]])).recall
        0.5
        """
        shared, said, true = overlaps.sum(axis=0).tolist()
        return cls(shared / max(said, 1), shared / max(true, 1), 2 * shared / max(said + true, 1))


@dataclass(frozen=True, slots=True)
class Confusion:
    """Two children of one parent (or two roots) of which one was said for the other, and how often either way."""

    one: str
    other: str
    one_said_for_other: int
    other_said_for_one: int

    @property
    def count(self) -> int:
        """How many products were tagged with the wrong one of the two."""
        return self.one_said_for_other + self.other_said_for_one


def overlaps(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> npt.NDArray[np.int64]:
    """Return for each product how many categories tag and gold share, how many the tag has and how many the gold has, (n, 3).

    Each has itself and all above it, by id; there is no virtual root to be right about for nothing.

    >>> overlaps(["toys"], ["toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).tolist()
    [[1, 1, 2]]
    """

    def counts(tag: str | None, truth: str) -> tuple[int, ...]:
        said, true = _upwards(tag, taxonomy), _upwards(truth, taxonomy)
        return len(said & true), len(said), len(true)

    return _by_pair(counts, tags, gold).reshape(-1, 3)


def hierarchical_scores(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> Hierarchical:
    """Return precision, recall and F1 of the categories on the way to each tag against those on the way to its gold.

    They are counted over all products together; a tag earns what it shares with the gold, an inner category too (Kiritchenko et al. 2006).

    >>> hierarchical_scores(["toys"], ["toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))[:2]
    (1.0, 0.5)
    """
    return Hierarchical.of(overlaps(tags, gold, taxonomy))


def hierarchical_f1(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> float:
    """Return hierarchical F1 alone, as `hierarchical_scores` does.

    >>> hierarchical_f1(["toys"], ["toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).__round__(3)
    0.667
    """
    return hierarchical_scores(tags, gold, taxonomy).f1


def levels(categories: Tags, taxonomy: Taxonomy) -> npt.NDArray[np.int64]:
    """Return the category at each depth of each one's path, (n, longest path of the taxonomy), as its place in the taxonomy's order.

    -1 stands where the path has ended, and all along for None.

    >>> levels(["toys", "toys/kites", None], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).tolist()
    [[0, -1], [0, 2], [-1, -1]]
    """
    place = {node: number for number, node in enumerate(taxonomy)}
    longest = max(map(taxonomy.depth, taxonomy))
    rows = {each: [place[node] for node in taxonomy.trail(each)] if each is not None else [] for each in set(categories)}
    found = np.full((len(categories), longest), -1, dtype=np.int64)
    for row, each in enumerate(categories):
        found[row, : len(rows[each])] = rows[each]
    return found


def accuracy_by_depth(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> list[tuple[int, float]]:
    """Return for each depth, from 1 for the roots, how many products have gold so deep, and the share right down to there.

    >>> accuracy_by_depth(["toys/dolls", "toys"], ["toys/kites", "toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    [(2, 1.0), (2, 0.0)]
    """
    by_depth = _by_depth(tags, gold, taxonomy)
    return [(len(true), sum(tag == truth for tag, truth in zip(said, true, strict=True)) / len(true)) for said, true in by_depth]


def f1_by_depth(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> list[tuple[int, float, float]]:
    """Return for each depth how many products have gold so deep, and macro- and weighted F1 over the categories there.

    A tag that ends above a depth says nothing there, and one that goes deeper is cut.

    >>> f1_by_depth(["toys/dolls", "toys"], ["toys/kites", "toys/dolls"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    [(2, 1.0, 1.0), (2, 0.0, 0.0)]
    """
    return [(len(true), macro_f1(said, true), weighted_f1(said, true)) for said, true in _by_depth(tags, gold, taxonomy)]


def lca_distances(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> npt.NDArray[np.int64]:
    """Return for each product the edges from its tag up to what it shares with the gold and down to that, (n,): 0 is right.

    With several parents the shortest such way counts. All roots hang on a virtual one, where an abstention stands too.

    >>> lca_distances(["toys/dolls", None], ["toys/kites", "toys"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])).tolist()
    [2, 1]
    """
    climbs: dict[str | None, dict[str | None, int]] = {}

    def climb(node: str | None) -> dict[str | None, int]:
        """Return how many edges lie between a category and each one above it, None for the virtual root."""
        if node not in climbs:
            found: dict[str | None, int] = {node: 0}
            for parent in (taxonomy.parents(node) or (None,)) if node is not None else ():
                for above, edges in climb(parent).items():
                    found[above] = min(edges + 1, found.get(above, edges + 1))
            climbs[node] = found
        return climbs[node]

    def distance(tag: str | None, truth: str) -> tuple[int, ...]:
        said, true = climb(tag), climb(truth)
        return (min(said[node] + true[node] for node in said.keys() & true.keys()),)

    return _by_pair(distance, tags, gold).reshape(-1)


def lca_distance(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> float:
    """Return the mean of `lca_distances`, 0 without any product.

    >>> lca_distance(["toys/dolls", None], ["toys/kites", "toys"], Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    1.5
    """
    return float(lca_distances(tags, gold, taxonomy).sum() / max(len(gold), 1))


def sibling_confusions(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> list[Confusion]:
    """Return where tags leave the way to the gold for a sibling's, the most frequent pairs first.

    A tag above its gold confuses nothing, and `Clothing > Other` for `Electronics > Other` confuses the roots.

    >>> shop = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> sibling_confusions(["toys/dolls", "toys/dolls", "toys"], ["toys/kites", "toys/dolls", "toys/kites"], shop)
    [Confusion(one='toys/dolls', other='toys/kites', one_said_for_other=1, other_said_for_one=0)]
    """
    place = {node: number for number, node in enumerate(taxonomy)}
    wrong: Counter[tuple[str, str]] = Counter()
    for (tag, truth), count in Counter(zip(tags, gold, strict=True)).items():
        if tag is not None and (parted := parting(tag, truth, taxonomy)):
            wrong[parted] += count
    pairs = {tuple(sorted(pair, key=place.__getitem__)) for pair in wrong}
    found = [Confusion(one, other, wrong[one, other], wrong[other, one]) for one, other in pairs]
    return sorted(found, key=lambda each: (-each.count, place[each.one], place[each.other]))


def parting(tag: str, truth: str, taxonomy: Taxonomy) -> tuple[str, str] | None:
    """Return the siblings at which the ways to a tag and to its gold part, the tag's first; the nearest to the roots of several.

    None where one of the two is above the other, or both are the same.

    >>> parting("toys/dolls", "toys/kites", Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    ('toys/dolls', 'toys/kites')
    """
    said, true = ((*taxonomy.ancestors(node), node) for node in (tag, truth))
    wrongs, rights = ([node for node in way if node not in other] for way, other in ((said, true), (true, said)))

    def above(node: str) -> set[str | None]:
        return set(taxonomy.parents(node) or (None,))

    return next(((wrong, right) for right in rights for wrong in wrongs if above(wrong) & above(right)), None)


def _upwards(category: str | None, taxonomy: Taxonomy) -> set[str]:
    return {category, *taxonomy.ancestors(category)} if category is not None else set()


def _by_depth(tags: Tags, gold: Sequence[str], taxonomy: Taxonomy) -> list[tuple[list[str | None], list[str]]]:
    """Return for each depth that a gold reaches what is said and true there; a node at a depth of a path stands for the path."""
    trails = [(taxonomy.trail(tag) if tag is not None else (), taxonomy.trail(truth)) for tag, truth in zip(tags, gold, strict=True)]
    result = []
    for depth in range(max((len(true) for _, true in trails), default=0)):
        there = [(said[depth] if len(said) > depth else None, true[depth]) for said, true in trails if len(true) > depth]
        result.append(([said for said, _ in there], [true for _, true in there]))
    return result


def _by_pair(measure: Any, tags: Tags, gold: Sequence[str]) -> npt.NDArray[np.int64]:
    """Measure each product by its tag and gold, the same two only once."""
    pairs = list(zip(tags, gold, strict=True))
    known = {pair: measure(*pair) for pair in set(pairs)}
    return np.array([known[pair] for pair in pairs], dtype=np.int64)
