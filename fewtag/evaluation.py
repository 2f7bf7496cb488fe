"""How good tags are against gold: every figure with its interval, the siblings that are confused, the branches that fare worst.

The trap: a product that the tagger has learnt from would flatter it, so whoever evaluates leaves those out first and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag import metrics
from fewtag.errors import LabelError
from fewtag.progress import bar
from fewtag.score_sheet import Sheet

SCHEMA: Final = "fewtag.evaluate/1"
PAIRS: Final = 10
RESAMPLES: Final = 1000
MOST_BRANCHES: Final = 5
"""So many branches are told as the worst, and as many as the best."""
COLUMNS: Final = (
    "product_id", "gold", "gold_path", "gold_depth", "tag", "tag_path", "confidence", "tag_right_to_depth",
    "likeliest", "likeliest_path", "probability", "likeliest_right_to_depth",
)  # fmt: skip
"""The columns of what is said of each product; how deep an answer is right is 0 where not even its root is."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and the ends of its 95% interval, by the bootstrap over products.

    A share of products that is 0 or 1 would be so in each resample, however few they are: its interval is Wilson's.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DepthFigures:
    """How right the likeliest category's path is at a depth, 1 for the roots, over the `products` with gold so deep.

    `ece` is the gap between how sure and how right the path is there, over the products whose likeliest category lies so deep; None
    where none does.
    """

    depth: int
    products: int
    accuracy: Figure
    weighted_f1: Figure
    macro_f1: Figure
    ece: Figure | None


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """How often an answer is the very gold category, what the ways to both from the roots share, and how many edges lie between them."""

    accuracy: Figure
    weighted_f1: Figure
    macro_f1: Figure
    hierarchical_precision: Figure
    hierarchical_recall: Figure
    hierarchical_f1: Figure
    lca_distance: Figure


@dataclass(frozen=True, slots=True)
class RankFigures:
    """What the probabilities of all categories are worth: the gold's rank among them, and whether they are as sure as right.

    `precision_at_3` is the share of products with their gold category among the likeliest three: the divisor is min(k, 1 gold category).
    """

    mrr: Figure
    precision_at_1: Figure
    precision_at_3: Figure
    precision_at_5: Figure
    log_loss: Figure
    brier: Figure
    ece: Figure


@dataclass(frozen=True, slots=True)
class SelectiveFigures:
    """How many products are tagged, how many of these with the gold or a category above it, and the area under the risk-coverage curve of
    the likeliest category. Products that belong nowhere count here."""

    coverage: Figure
    precision: Figure
    risk_coverage_area: Figure


@dataclass(frozen=True, slots=True)
class BranchFigures:
    """How often the likeliest category is right in a branch, over the `products` whose gold lies there."""

    category: str
    path: str
    products: int
    accuracy: Figure


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a tagger is on `products` products with gold, `nowhere` of which belong to no category.

    `learnt_from` is how many were left out as the tagger was taught them, and `precision` the one that it was asked for. `likeliest` is
    about each product's likeliest category, sure or not, `tags` about what it was tagged with, `branches` the worst first.
    `rows` say of each product what `COLUMNS` name.
    """

    taxonomy: str
    products: int
    nowhere: int
    learnt_from: int
    precision: float
    depths: tuple[DepthFigures, ...]
    likeliest: AnswerFigures
    tags: AnswerFigures
    ranking: RankFigures
    selective: SelectiveFigures
    confusions: tuple[metrics.Confusion, ...]
    branches: tuple[BranchFigures, ...]
    rows: tuple[dict[str, Any], ...]

    def worst_and_best(self) -> tuple[list[BranchFigures], list[BranchFigures]]:
        """Return a few branches that fare worst, in each of which something is wrong, and a few that fare best, in each something right.

        Either have the worst first; none stands in both, and where there are few branches each stands in one.
        """
        half = (len(self.branches) + 1) // 2
        low = [each for place, each in enumerate(self.branches) if place < half or not each.accuracy.value]
        worst = [each for each in low if each.accuracy.value < 1][:MOST_BRANCHES]
        best = [each for each in self.branches[len(worst) :] if each.accuracy.value][-MOST_BRANCHES:]
        return worst, best

    def to_json(self) -> dict[str, Any]:
        """Return all but the rows as what JSON is made of, under the name and version of its schema."""
        return {"schema": SCHEMA} | {name: value for name, value in asdict(replace(self, rows=())).items() if name != "rows"}


def evaluate(sheet: Sheet, precision: float, learnt_from: int = 0, seed: int = 0) -> Evaluation:
    """Measure tags against gold; `seed` draws the resamples that the intervals come from.

    Raises LabelError where no product has a gold category.
    """
    if not sheet.known.any():
        mend = "give gold of products that belong somewhere, and that the tagger has not learnt from"
        raise LabelError("no product that could be measured has a gold category", mend=mend)
    groups = _groups(sheet, seed)
    depths = (sheet.levels[2] >= 0).sum(axis=1)
    return Evaluation(
        sheet.taxonomy.name,
        len(sheet.gold),
        int((~sheet.known).sum()),
        learnt_from,
        precision,
        tuple(DepthFigures(each, int((depths >= each).sum()), **groups[f"depth {each}"]) for each in range(1, sheet.deepest + 1)),
        AnswerFigures(**groups["likeliest"]),
        AnswerFigures(**groups["tags"]),
        RankFigures(**groups["ranking"]),
        SelectiveFigures(**groups["selective"]),
        _confusions(sheet),
        _branches(sheet, groups),
        tuple(_rows(sheet)),
    )


def _groups(sheet: Sheet, seed: int) -> dict[str, dict[str, Any]]:
    """Return all figures by group and name, each with its interval, or None where there is nothing that it is about."""
    everything = sheet.figures(np.arange(len(sheet.gold)))
    with bar("resampling", RESAMPLES) as done:

        def resampled(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
            done.update(1)
            found = sheet.figures(rows)
            return np.array([found[key] for key in everything])

        low, high = metrics.bootstrap(resampled, len(sheet.gold), RESAMPLES, seed)
    groups: dict[str, dict[str, Any]] = {}
    for key, value, least, most in zip(everything, everything.values(), low.tolist(), high.tolist(), strict=True):
        if value in (0, 1) and key in sheet.shares:
            least, most = metrics.wilson(value * sheet.shares[key], sheet.shares[key])
        group, name = key
        groups.setdefault(group, {})[name] = None if np.isnan(value) else Figure(value, least, most)
    return groups


def _confusions(sheet: Sheet) -> tuple[metrics.Confusion, ...]:
    pairs = [(said, truth) for said, truth in zip(sheet.likeliest, sheet.gold, strict=True) if truth is not None]
    found = metrics.sibling_confusions([said for said, _ in pairs], [truth for _, truth in pairs], sheet.taxonomy)
    return tuple(found[:PAIRS])


def _branches(sheet: Sheet, groups: Mapping[str, Mapping[str, Figure]]) -> tuple[BranchFigures, ...]:
    """Return the branches, the worst first, and of equally good ones the larger."""
    nodes = tuple(sheet.taxonomy)
    found = [
        BranchFigures(nodes[place], sheet.taxonomy.path(nodes[place]), count, groups[f"branch {place}"]["accuracy"])
        for place, count in sheet.branch_sizes.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.accuracy.value, -each.products)))


def _rows(sheet: Sheet) -> Iterator[dict[str, Any]]:
    """Yield what `COLUMNS` name of each product."""

    def path(category: str | None) -> str | None:
        return category and sheet.taxonomy.path(category)

    likeliest_right, tag_right = (each.tolist() for each in sheet.depths_right)
    for row, (tag, truth) in enumerate(zip(sheet.tags, sheet.gold, strict=True)):
        likeliest = sheet.likeliest[row]
        depth = sheet.taxonomy.depth(truth) if truth else None
        about_tag = (tag.category, path(tag.category), round(tag.confidence, 4), tag_right[row])
        about_likeliest = (likeliest, path(likeliest), round(tag.score, 4), likeliest_right[row])
        yield dict(zip(COLUMNS, (tag.product_id, truth, path(truth), depth, *about_tag, *about_likeliest), strict=True))
