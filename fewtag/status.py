"""Where a workspace stands: what its ledger holds, category by category, as numbers that a door can print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Row

from fewtag.catalogue_file import Columns
from fewtag.core import Label
from fewtag.errors import WorkspaceError
from fewtag.labels import standing
from fewtag.promise import Promise
from fewtag.store import SWEEPS, Count, Ledger
from fewtag.tagger_folder import TAXONOMY, TRAINING, whole
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CategoryStatus:
    """How many products a category has been given for itself, and how sure models are of them on average; None where people gave all."""

    category: str
    path: str
    tags: int
    confidence: float | None


class Tally(NamedTuple):
    """How many products there are, and how many of them are tagged with an assignable category, with one above, or not at all.

    Of those that are tagged, `labelled` have it from people, and not from a model.

    >>> str(Tally(9, 5, 1, 3, labelled=2))
    '5 tagged (2 of them by their labels), 1 backed off to a parent, 3 left open'
    """

    products: int
    tagged: int
    backed_off: int
    abstained: int
    labelled: int = 0

    def __str__(self) -> str:
        by_people = f" ({self.labelled} of them by their labels)" if self.labelled else ""
        return f"{self.tagged} tagged{by_people}, {self.backed_off} backed off to a parent, {self.abstained} left open"


@dataclass(frozen=True, slots=True)
class BranchStatus:
    """How a root's labels fare: the rungs that its categories stand on and why, F1 of `held_out` labels with the ends of its 95% interval,
    and the label that would help most."""

    path: str
    labels: int
    rungs: str
    held_out: int
    f1: tuple[float, float, float]
    reason: str
    help: str


@dataclass(frozen=True, slots=True)
class Consulted:
    """How a language model is heeded: about how many of the catalogue's different texts it was asked, and with which weight its opinion
    counts beside the encoder's; `by_labels` says that labels found that weight, and not its agreement with the encoder.

    >>> print(Consulted(512, 6000, 0.0, by_labels=True))
    language model: asked about 512 of 6,000 different titles; its opinion has no weight, as labels are better met without it
    """

    texts: int
    of: int
    weight: float
    by_labels: bool

    def __str__(self) -> str:
        asked = f"language model: asked about {self.texts:,} of {self.of:,} different titles"
        if not self.weight:
            reason = "labels are better met without it" if self.by_labels else "it agrees with the encoder hardly more than chance would"
            return f"{asked}; its opinion has no weight, as {reason}"
        reason = "as labels are met best" if self.by_labels else "by how far it agrees with the encoder"
        rest = "" if self.texts == self.of else "; the others' likeliest category is too far ahead for it to change"
        return f"{asked}, with a weight of {self.weight:.2f}, {reason}{rest}"


@dataclass(frozen=True, slots=True)
class Status:
    """The latest bootstrap, and the tags and labels that hold now; of `labels`, `conflicts` products have some that contradict others.

    Of the `tagged` products, `labelled` have their tag from people, and not from a model.
    `finished` is None while a run is under way, or where it was interrupted; `voices` are stage, model and how many tags they gave,
    and `training` is what the last training came to, as `Training` (`training.py`) has it; None where there was none.
    `branches` tell of it root by root; `waiting` is how many labels were given or taken back since. `models` says in
    sentences what was listened to; `consulted` is None where there is no language model. `promise` is what is proven of the precision that
    the tags were asked for; None where an older run did not look.
    """

    taxonomy: str
    started: str
    finished: str | None
    products: int
    tagged: int
    backed_off: int
    abstained: int
    labels: int
    conflicts: int
    voices: tuple[tuple[str, str, int], ...]
    training: dict[str, Any] | None
    branches: tuple[BranchStatus, ...]
    categories: tuple[CategoryStatus, ...]
    waiting: int = 0
    models: tuple[str, ...] = ()
    consulted: Consulted | None = None
    promise: Promise | None = None
    labelled: int = 0

    @property
    def tally(self) -> Tally:
        """How many products there are, and what became of them."""
        return Tally(self.products, self.tagged, self.backed_off, self.abstained, self.labelled)


def read_status(workspace: Workspace) -> Status:
    """Read where a workspace stands, the categories with most tags first; raises WorkspaceError where nothing has run yet."""
    with Ledger.open(workspace.ledger) as ledger:
        about = workspace.tagger / TRAINING
        with whole(workspace.tagger):
            learnt = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {"training": None, "learnt": []}
        taxonomy = tagged_taxonomy(workspace, ledger)
        heeded = {Label(**label) for label, _ in learnt["learnt"]}
        to_heed = {label for label in standing(ledger.label_rows(), taxonomy).labels if label.category in taxonomy}
        return replace(status_of(ledger, taxonomy, learnt["training"]), waiting=len(heeded ^ to_heed))


def noted_place(source: Any, workspace: Workspace) -> str:
    """Return where a file lies, from the workspace's folder on where it is below that: so both can be moved together; of no file, ""."""
    if not isinstance(source, str | Path):
        return ""
    file, home = Path(source).resolve(), workspace.root.resolve().parent
    return str(file.relative_to(home) if file.is_relative_to(home) else file)


def columns_of(run: Row[Any], workspace: Workspace) -> Columns:
    """Return where a bootstrap's catalogue lies and what its columns are; it was noted from the workspace's own folder on."""
    columns = Columns(**json.loads(run.settings)["columns"])
    return replace(columns, file=columns.file and str(workspace.root.resolve().parent / columns.file))


def last_precision(workspace: Workspace) -> float | None:
    """Return the precision that a workspace's last bootstrap or training asked for; None where there was none."""
    if not workspace.ledger.is_file():
        return None
    with Ledger.open(workspace.ledger) as ledger:
        run = ledger.last_run(*SWEEPS)
    return float(json.loads(run.settings)["precision"]) if run else None


def taxonomy_file_of(run: Row[Any], workspace: Workspace) -> Path | None:
    """Return the file of a run's taxonomy, where it had one that is still there."""
    noted = json.loads(run.settings).get("taxonomy", "")
    place = workspace.root.resolve().parent / noted
    return place if noted and place.is_file() else None


def tagged_taxonomy(workspace: Workspace, ledger: Ledger) -> Taxonomy:
    """Return the taxonomy of a workspace's last bootstrap; raises WorkspaceError where nothing has run yet.

    The trap: while a bootstrap with a changed taxonomy is under way, the tags that hold may name categories of the one before.
    """
    if ledger.last_run(*SWEEPS) is None:
        raise WorkspaceError("nothing has been tagged yet", mend="run `fewtag bootstrap taxonomy.yaml` first", where=workspace.root)
    with whole(workspace.tagger):
        return Taxonomy.from_json((workspace.tagger / TAXONOMY).read_text(encoding="utf-8"))


def tag_counts(workspace: Workspace | None, taxonomy: Taxonomy) -> dict[str, int]:
    """Return for every category how many of a workspace's tags lie in its subtree; empty where there is no workspace."""
    if workspace is None:
        return {}
    with Ledger.open(workspace.ledger) as ledger:
        return subtree_counts({category: count.tags for category, count in ledger.counts().items() if category}, taxonomy)


def status_of(ledger: Ledger, taxonomy: Taxonomy, training: dict[str, Any] | None = None) -> Status:
    """Gather the status from a ledger in which a bootstrap has run."""
    run = ledger.last_run(*SWEEPS)
    assert run is not None
    settings, counts = json.loads(run.settings), ledger.counts()
    found = _tally(counts, taxonomy)
    said = standing(ledger.label_rows(), taxonomy)
    rows = [
        CategoryStatus(category, taxonomy.path(category) if category in taxonomy else category, count.tags, count.confidence)
        for category, count in counts.items()
        if category is not None
    ]
    rows.sort(key=lambda row: (-row.tags, row.path))
    return Status(
        taxonomy.name,
        run.started,
        run.finished,
        found.products,
        found.tagged,
        found.backed_off,
        found.abstained,
        len(said.held),
        len(said.conflicts),
        tuple(ledger.voices()),
        training,
        tuple(_branch(each, taxonomy) for each in training["branches"]) if training else (),
        tuple(rows),
        models=tuple(settings.get("models", ())),
        consulted=Consulted(**settings["consulted"]) if settings.get("consulted") else None,
        promise=Promise(**settings["promise"]) if settings.get("promise") else None,
        labelled=found.labelled,
    )


def tally(ledger: Ledger, taxonomy: Taxonomy) -> Tally:
    """Count the tags that hold by what became of their products."""
    return _tally(ledger.counts(), taxonomy)


def subtree_counts(counts: Mapping[str, int], taxonomy: Taxonomy) -> dict[str, int]:
    """Return for every category how many tags lie in its subtree; a category with several parents counts for each of them.

    >>> subtree_counts({"toys": 1, "toys/dolls": 2}, Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    {'toys': 3, 'toys/dolls': 2, 'toys/kites': 0}
    """
    totals = dict.fromkeys(taxonomy, 0)
    for category, count in counts.items():
        for node in (category, *taxonomy.ancestors(category)) if category in taxonomy else ():
            totals[node] += count
    return totals


def _branch(about: Mapping[str, Any], taxonomy: Taxonomy) -> BranchStatus:
    path, wants = (taxonomy.path(each) if each in taxonomy else each for each in (about["category"], about["wants"]))
    rungs = ", ".join(f"{count} {stage}" for stage, count in about["rungs"].items())
    label = f"label {wants}, {about['share']:.1%} of the products"
    return BranchStatus(path, about["labels"], rungs, about["held_out"], tuple(about["f1"]), about["reason"], label)


def _tally(counts: Mapping[str | None, Count], taxonomy: Taxonomy) -> Tally:
    products = sum(count.tags for count in counts.values())
    abstained = counts[None].tags if None in counts else 0
    assignable = [count for category, count in counts.items() if category in taxonomy.index]
    tagged, labelled = sum(count.tags for count in assignable), sum(count.labelled for count in assignable)
    return Tally(products, tagged, products - abstained - tagged, abstained, labelled)
