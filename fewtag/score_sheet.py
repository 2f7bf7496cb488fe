"""What is kept of each product of an evaluation, and the figures that follow from any selection of products.

The trap: 100,000 products times 10,000 categories fit in no memory, so of a batch's probabilities some numbers per product stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fewtag import metrics
from fewtag.core import Tag
from fewtag.taxonomy import Taxonomy

KS: Final = (1, 3, 5)

Rows = npt.NDArray[np.int64]
Found = Mapping[str, float | np.floating]


@dataclass(frozen=True, slots=True)
class Scores:
    """What is kept of n products: the probability and the rank of the gold category, (n,), the sum over all classes of squared
    probabilities, (n,), and what each category on the likeliest one's path has of the probability, (n, longest path).

    A product that belongs nowhere has a probability of 0, and a rank of 0.
    """

    chance: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int64]
    squares: npt.NDArray[np.float64]
    sureness: npt.NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: npt.NDArray[np.float32], gold: Sequence[str | None], taxonomy: Taxonomy) -> Scores:
        """Keep what is needed of a batch's probabilities, (n, n_classes).

        >>> shop = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
        >>> found = Scores.of(np.array([[0.75, 0.25]], dtype=np.float32), ["toys/kites"], shop)
        >>> found.chance.tolist(), found.rank.tolist(), found.squares.tolist(), found.sureness.tolist()
        ([0.25], [2], [0.625], [[1.0, 0.75]])
        """
        known = np.array([truth is not None for truth in gold])
        columns = np.array([taxonomy.index[truth] if truth is not None else 0 for truth in gold], dtype=np.int64)
        return cls(
            np.where(known, probabilities[np.arange(len(gold)), columns], np.float32(0)),
            np.where(known, metrics.gold_ranks(probabilities, columns), 0),
            np.einsum("ij,ij->i", probabilities, probabilities, dtype=np.float64),
            metrics.sureness_by_depth(probabilities, taxonomy),
        )

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Self:
        """Put batches one behind the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Sheet:
    """Tags, gold and scores of n products, as columns of numbers from which the figures of any selection of them follow."""

    tags: Sequence[Tag]
    gold: Sequence[str | None]
    scores: Scores
    taxonomy: Taxonomy

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which products have a gold category, (n,)."""
        return np.array([truth is not None for truth in self.gold], dtype=np.bool_)

    @cached_property
    def likeliest(self) -> list[str | None]:
        """Each product's likeliest category, sure enough or not."""
        return [tag.alternatives[0][0] for tag in self.tags]

    @cached_property
    def said(self) -> list[str | None]:
        """Each product's tag: an assignable category, one above, or None."""
        return [tag.category for tag in self.tags]

    @cached_property
    def levels(self) -> tuple[Rows, Rows, Rows]:
        """What lies at each depth of the paths of the likeliest category, of the tag and of the gold, (n, longest path) each."""
        likeliest, said, gold = (metrics.levels(each, self.taxonomy) for each in (self.likeliest, self.said, self.gold))
        return likeliest, said, gold

    @cached_property
    def depths_right(self) -> tuple[Rows, Rows]:
        """How many categories from the root down are right, of the likeliest category's path and of the tag's, (n,) each."""
        *answers, gold = self.levels
        first, second = (((answer == gold) & (gold >= 0)).sum(axis=1) for answer in answers)
        return first, second

    @cached_property
    def deepest(self) -> int:
        """The depth of the deepest gold category."""
        return int((self.levels[2] >= 0).sum(axis=1).max(initial=0))

    @cached_property
    def branches(self) -> Rows:
        """The branch of each product's gold, (n,), as its place in the taxonomy: its root, or where gold has only one, what lies below.

        -1 stands for a product whose gold has none, or lies above.
        """
        gold = self.levels[2]
        several = (depth for depth in range(self.deepest) if len(np.unique(gold[gold[:, depth] >= 0, depth])) > 1)
        return gold[:, next(several, 0)]

    @cached_property
    def branch_sizes(self) -> dict[int, int]:
        """How many products' gold lies in each branch that has any, by its place."""
        places, counts = np.unique(self.branches[self.branches >= 0], return_counts=True)
        return dict(zip(places.tolist(), counts.tolist(), strict=True))

    @cached_property
    def shares(self) -> dict[tuple[str, str], int]:
        """Those of all figures that are shares of products, by group and name, and of how many products each of them is."""
        known, deep = int(self.known.sum()), (self.levels[2] >= 0).sum(axis=0).tolist()
        return {
            **{(f"depth {depth}", "accuracy"): count for depth, count in enumerate(deep[: self.deepest], 1)},
            **{(answer, "accuracy"): known for answer in ("likeliest", "tags")},
            **{("ranking", f"precision_at_{k}"): known for k in KS},
            ("selective", "coverage"): len(self.gold),
            ("selective", "precision"): int(self._is_tagged.sum()),
            **{(f"branch {place}", "accuracy"): count for place, count in self.branch_sizes.items()},
        }

    def reliability(self) -> list[list[metrics.Bin]]:
        """Return for each depth that gold reaches how sure and how right the likeliest category's path is there, as `ece` sums it up."""
        found = []
        for depth in range(self.deepest):
            there = self.known & (self.levels[0][:, depth] >= 0)
            found.append(metrics.reliability(self.scores.sureness[there, depth], self._within[there, depth]))
        return found

    def risk_coverage(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Return coverage and risk, (n,) each, where the likeliest category of the surest 1, 2 ... n products is taken for their tag."""
        return metrics.risk_coverage(self._confidence, self.scores.rank == 1)

    @cached_property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Which products' tags are the gold category or one above it, (n,)."""
        return metrics.on_the_way(self.said, self.gold, self.taxonomy)

    def figures(self, rows: Rows) -> dict[tuple[str, str], float]:
        """Return every figure of a selection of products, (n_selected,), by its group and name; NaN where none has what it needs.

        Products that belong nowhere are asked for in the selective ones alone.
        """
        known = rows[self.known[rows]]
        groups = {
            **{f"depth {depth + 1}": self._at_depth(depth, known) for depth in range(self.deepest)},
            "likeliest": self._answer("likeliest", known),
            "tags": self._answer("tags", known),
            "ranking": self._ranking(known),
            "selective": self._selective(rows),
            **self._of_branches(known),
        }
        return {(group, name): float(value) for group, found in groups.items() for name, value in found.items()}

    def _at_depth(self, depth: int, rows: Rows) -> Found:
        way, _, gold = (each[rows, depth] for each in self.levels)
        there, said = gold >= 0, way >= 0
        macro, weighted = metrics.f1_means(way[there], gold[there], len(self.taxonomy))
        return {
            "accuracy": (way == gold)[there].mean() if there.any() else np.nan,
            "weighted_f1": weighted if there.any() else np.nan,
            "macro_f1": macro if there.any() else np.nan,
            "ece": metrics.calibration_error(self.scores.sureness[rows, depth][said], self._within[rows, depth][said])
            if said.any()
            else np.nan,
        }

    def _answer(self, answer: str, rows: Rows) -> Found:
        said, overlaps, distances = (each[rows] for each in self._compared[answer])
        gold = self._places[rows]
        macro, weighted = metrics.f1_means(said, gold, len(self.taxonomy)) if len(rows) else (np.nan, np.nan)
        shared = metrics.Hierarchical.of(overlaps) if len(rows) else metrics.Hierarchical(np.nan, np.nan, np.nan)
        return {
            "accuracy": (said == gold).mean() if len(rows) else np.nan,
            "weighted_f1": weighted,
            "macro_f1": macro,
            **{f"hierarchical_{name}": value for name, value in shared._asdict().items()},
            "lca_distance": distances.mean() if len(rows) else np.nan,
        }

    def _ranking(self, rows: Rows) -> Found:
        rank, chance = self.scores.rank[rows], self.scores.chance[rows]
        found = {
            "mrr": 1 / rank,
            **{f"precision_at_{k}": rank <= k for k in KS},
            "log_loss": metrics.log_losses(chance),
            "brier": 1 - 2 * chance.astype(np.float64) + self.scores.squares[rows],
        }
        means = {name: values.mean() if len(rows) else np.nan for name, values in found.items()}
        return {**means, "ece": metrics.calibration_error(self._confidence[rows], rank == 1) if len(rows) else np.nan}

    def _selective(self, rows: Rows) -> Found:
        said, right = self._is_tagged[rows], self.is_right[rows]
        return {
            "coverage": said.mean(),
            "precision": right.sum() / said.sum() if said.any() else 1.0,
            "risk_coverage_area": metrics.area_under_risk_coverage(self._confidence[rows], self.scores.rank[rows] == 1),
        }

    def _of_branches(self, rows: Rows) -> dict[str, Found]:
        branch, right = self.branches[rows], self.scores.rank[rows] == 1
        size = len(self.taxonomy)
        count, hits = np.bincount(branch[branch >= 0], minlength=size), np.bincount(branch[(branch >= 0) & right], minlength=size)
        return {f"branch {place}": {"accuracy": hits[place] / count[place] if count[place] else np.nan} for place in self.branch_sizes}

    @cached_property
    def _compared(self) -> dict[str, tuple[Rows, Rows, Rows]]:
        """Of either answer its place in the taxonomy, its overlaps and its distance; a product that belongs nowhere is never selected."""
        gold = [truth if truth is not None else self.taxonomy.roots[0] for truth in self.gold]
        answers = {"likeliest": self.likeliest, "tags": self.said}
        return {
            name: (
                self._placed(answer),
                metrics.overlaps(answer, gold, self.taxonomy),
                metrics.lca_distances(answer, gold, self.taxonomy),
            )
            for name, answer in answers.items()
        }

    @cached_property
    def _places(self) -> Rows:
        return self._placed(self.gold)

    def _placed(self, categories: Sequence[str | None]) -> Rows:
        """Return the place of each category in the taxonomy's order, (n,); -1 for None."""
        place: dict[str | None, int] = {node: number for number, node in enumerate(self.taxonomy)}
        return np.array([place.get(each, -1) for each in categories], dtype=np.int64)

    @cached_property
    def _within(self) -> npt.NDArray[np.bool_]:
        """Whether the gold lies in the subtree of each category on the likeliest one's path, (n, longest path), over whichever parent."""
        nodes, way = tuple(self.taxonomy), self.levels[0]
        at = [[nodes[place] if place >= 0 else None for place in way[:, depth]] for depth in range(way.shape[1])]
        return np.stack([metrics.on_the_way(each, self.gold, self.taxonomy) for each in at], axis=1)

    @cached_property
    def _confidence(self) -> npt.NDArray[np.float64]:
        return np.array([tag.score for tag in self.tags])

    @cached_property
    def _is_tagged(self) -> npt.NDArray[np.bool_]:
        return np.array([tag is not None for tag in self.said], dtype=np.bool_)
