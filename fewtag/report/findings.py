"""What a report tells, as numbers and products: read from the ledger, with what the tagger says of labels and of gold.

The trap: lists of products grow with the catalogue, and a page must not; so each says how many there are in all, and shows the first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Row

from fewtag import __version__, metrics
from fewtag.core import Label, Product, Tag
from fewtag.evaluation import Evaluation
from fewtag.gold_file import Gold
from fewtag.label_errors import SecondOpinion, Suspect, suspects
from fewtag.labels import standing
from fewtag.landscape import Region, judge, landscape
from fewtag.models.presets import PRESET
from fewtag.near_duplicates import Twins, contradicting_twins
from fewtag.score_sheet import Sheet
from fewtag.status import Status, read_status
from fewtag.store import SWEEPS, Ledger, ModelIdentity, StoredTag
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace, now

SHOWN: Final = 50
"""So many label errors and groups of near-duplicates are shown."""
EXAMPLES: Final = 4
"""So many products stand on either side of a confused pair."""
POINTS: Final = 200
"""So many points draw a curve."""


class Voice(NamedTuple):
    """A rung and its models, and how many of the tags that hold are theirs."""

    stage: str
    model: ModelIdentity
    tags: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which run the tags come from and what went into it, when this was read, and by which fewtag."""

    at: str
    fewtag: str
    run: int
    kind: str
    seed: int
    taxonomy_version: str
    precision: float
    preset: str
    catalogue: str
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True)
class Mistaken:
    """A product with gold: its text, the gold's path, and its likeliest category's path and probability."""

    text: str
    gold: str
    said: str
    probability: float


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Two siblings that are taken for each other, with products of the second that are taken for the first, and the other way round."""

    pair: metrics.Confusion
    taken_for_one: tuple[Mistaken, ...]
    taken_for_other: tuple[Mistaken, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What gold says of tags, product by product and in figures."""

    gold: Gold
    sheet: Sheet
    evaluation: Evaluation

    def curve(self) -> list[tuple[float, float]]:
        """Return points of coverage and risk, some of those that there are."""
        coverage, risk = self.sheet.risk_coverage()
        last = len(coverage) - 1
        return [(float(coverage[place]), float(risk[place])) for place in (*range(0, last, -(-len(coverage) // POINTS)), last)]

    def pairs(self) -> list[ConfusedPair]:
        """Return the siblings that are confused most often, with products."""
        return confused_products(self.sheet, self.evaluation.confusions, {each.id: each.text for each in self.gold.products})


@dataclass(frozen=True, slots=True)
class Doubted:
    """A label that is likely wrong, its product's text, and the path of the category that the product is likelier of."""

    label: Label
    text: str
    suspect: Suspect
    likelier: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a report tells. `labels_by` is who gave how many labels, `warm` how many categories have some.

    `doubted` are of `judged_labels` labels, which the rung `doubted_by` has not seen and of which it finds the share `agreed` likeliest.
    `twins` is None where no file says what the products' texts are, `measured` where there is no gold. Of lists cut short, the numbers of
    all are beside them.
    """

    taxonomy: Taxonomy
    status: Status
    provenance: Provenance
    regions: dict[str, Region]
    labels_by: tuple[tuple[str, int], ...]
    warm: int
    measured: Measured | None
    judged_labels: int
    agreed: float
    doubted_by: str
    doubted_in_all: int
    doubted: Sequence[Doubted]
    twins_in_all: int
    twins: Sequence[Twins] | None


def gather(
    workspace: Workspace, taxonomy: Taxonomy, products: Iterable[Product] | None, opinion: SecondOpinion, measured: Measured | None
) -> Findings:
    """Gather what there is to tell of a workspace and its primary facet; `products` are its catalogue's, None where no file has them.

    Raises WorkspaceError where nothing was tagged yet. Nothing is written.
    """
    status = read_status(workspace)
    with Ledger.open(workspace.ledger) as ledger:
        stored, run = list(ledger.latest()), ledger.last_run(*SWEEPS)
        labels = [label for label in standing(ledger.label_rows(), taxonomy).labels if not label.negative and label.category in taxonomy]
    assert run is not None, "read_status has raised where nothing has run"
    regions = landscape((each.tag for each in stored), taxonomy)
    if measured:
        judge(regions, measured.sheet.tags, measured.sheet.is_right.tolist(), taxonomy)
    found = suspects(opinion.opinions, len(taxonomy.classes)) if opinion.opinions else []
    twins = None if products is None else _twins(products, {each.tag.product_id: each.tag for each in stored}, taxonomy)
    return Findings(
        taxonomy=taxonomy,
        status=status,
        provenance=_provenance(run, stored),
        regions=regions,
        labels_by=tuple(Counter(label.source for label in labels).most_common()),
        warm=len({label.category for label in labels}),
        measured=measured,
        judged_labels=len(opinion.labels),
        agreed=opinion.opinions.agreed if opinion.opinions else 0.0,
        doubted_by=opinion.stage,
        doubted_in_all=len(found),
        doubted=[Doubted(*opinion.labels[each.row], each, taxonomy.path(taxonomy.classes[each.likelier])) for each in found[:SHOWN]],
        twins_in_all=len(twins or ()),
        twins=None if twins is None else twins[:SHOWN],
    )


def _provenance(run: Row[Any], stored: Sequence[StoredTag]) -> Provenance:
    settings = json.loads(run.settings)
    voices = Counter((each.tag.stage, each.model if each.tag.stage != "label" else ModelIdentity("")) for each in stored)
    return Provenance(
        at=now(),
        fewtag=__version__,
        run=run.id,
        kind=run.kind,
        seed=run.seed,
        taxonomy_version=run.taxonomy_version,
        precision=settings["precision"],
        preset=settings["preset"] or PRESET,
        catalogue=Path(settings["columns"]["file"]).name,
        voices=tuple(Voice(stage, model, count) for (stage, model), count in voices.most_common()),
    )


def confused_products(sheet: Sheet, confusions: Sequence[metrics.Confusion], texts: dict[str, str]) -> list[ConfusedPair]:
    """Return for each pair of siblings the products that were confused, the surest mistakes first, a few of each kind."""
    mistakes: dict[tuple[str, str], list[Mistaken]] = {
        ways: [] for pair in confusions for ways in ((pair.one, pair.other), (pair.other, pair.one))
    }
    path = sheet.taxonomy.path
    for tag, said, gold in zip(sheet.tags, sheet.likeliest, sheet.gold, strict=True):
        if said is not None and gold is not None and (parted := metrics.parting(said, gold, sheet.taxonomy)) in mistakes:
            mistakes[parted].append(Mistaken(texts[tag.product_id], path(gold), path(said), tag.score))

    def shown(said: str, gold: str) -> tuple[Mistaken, ...]:
        return tuple(sorted(mistakes[said, gold], key=lambda each: -each.probability)[:EXAMPLES])

    return [ConfusedPair(pair, shown(pair.one, pair.other), shown(pair.other, pair.one)) for pair in confusions]


def _twins(products: Iterable[Product], tags: dict[str, Tag], taxonomy: Taxonomy) -> list[Twins]:
    return contradicting_twins(((each, tags[each.id].category) for each in products if each.id in tags), taxonomy)
