"""Puts labels into a workspace's ledger, takes them back and lists them.

The trap: what is new is only known while no one else writes, so the workspace's lock is held from the look to the last row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fewtag.core import Label, Product
from fewtag.errors import FewtagError, LabelError
from fewtag.labels import Conflict, category_of, not_taken_back, standing
from fewtag.status import tagged_taxonomy
from fewtag.store import Ledger, Run
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace

COLUMNS: Final = ("product_id", "category", "path", "negative", "source", "at")


@dataclass(frozen=True, slots=True)
class Added:
    """What became of labels that were given: how many were new or there already, and the conflicts that they have a part in.

    `run` is the import that they came with; None where nothing was new, or where they were given by hand. `replaced` is how many labels of
    the same people do not count any more for it.
    """

    labels: int
    new: int
    known: int
    conflicts: tuple[Conflict, ...]
    run: int | None = None
    replaced: int = 0


def paired(products: Sequence[Product], labels: Sequence[str | None], taxonomy: Taxonomy) -> list[tuple[Label, str]]:
    """Return labels as said by "python", each with its product's text: of each product a category's id, path or unique name, or None.

    Raises FewtagError where they are not as many as the products, or name no category that a product can have.

    >>> paired([Product("1", "Assam"), Product("2", "odd")], ["Tea", None], Taxonomy.from_paths(["Tea", "Jam"]))
    [(Label(product_id='1', category='tea', source='python', negative=False, weight=1.0), 'Assam')]
    """
    if len(products) != len(labels):
        raise FewtagError(f"there are {len(products)} products and {len(labels)} labels", mend="give one label per product, or None")
    return [
        (Label(product.id, category_of(label, taxonomy), "python"), product.text)
        for product, label in zip(products, labels, strict=True)
        if isinstance(label, str)  # a frame's missing value is NaN or NA, and not None
    ]


def add_labels(workspace: Workspace, taxonomy: Taxonomy, batch: Sequence[tuple[Label, str]], file: Path | None = None) -> Added:
    """Append the labels, each with its product's text, that do not hold yet; where they are an import, name its `file`."""
    with _writable(workspace) as ledger:
        held = {row.label for row in standing(ledger.label_rows(), taxonomy).held}
        new = [(label, text) for label, text in dict(batch).items() if label not in held]
        run = _start_import(ledger, taxonomy, new, file) if file and new else None
        ledger.add_labels(new, run)
        if run:
            ledger.finish_run(run)
        found = standing(ledger.label_rows(), taxonomy)
    given = {label for label, _ in batch}
    replaced = len(held - {row.label for row in found.held})
    conflicts = tuple(conflict for conflict in found.conflicts if conflict.labels & given)
    return Added(len(batch), len(new), len(batch) - len(new), conflicts, run.id if run else None, replaced)


def take_back(workspace: Workspace, product_id: str, source: str) -> int:
    """Withdraw what a source says of a product, and return how many labels those were; raises LabelError where there are none."""
    with _writable(workspace) as ledger:
        said = [row.label for row in standing(ledger.label_rows()).held if row.label.product_id == product_id]
        own = [label for label in said if label.source == source]
        if not own:
            others = sorted({label.source for label in said})
            mend = f"say whose with --by: {', '.join(others)}" if others else "`fewtag label list` shows the labels that hold"
            raise LabelError(f"'{source}' has said nothing of product '{product_id}'", mend=mend)
        ledger.withdraw_labels([Label(product_id, "", source)])
        return len(own)


def take_back_run(workspace: Workspace, run_id: int) -> int:
    """Withdraw what an import brought, as if it had not been; return how many labels those were.

    What a source had said before, and superseded with the import, counts again. Raises LabelError where nothing of the run is left.
    """
    with _writable(workspace) as ledger:
        brought = [row.label for row in not_taken_back(ledger.label_rows()) if row.run_id == run_id]
        if not brought:
            mend = "`fewtag label list --json` shows which run a label came with"
            raise LabelError(f"there are no labels of run {run_id}", mend=mend)
        said = dict.fromkeys(Label(label.product_id, "", label.source) for label in brought)
        ledger.withdraw_labels(list(said), Run(run_id))
        return len(brought)


def listed(workspace: Workspace, *, conflicts: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the labels that hold, the oldest first, as rows of `COLUMNS` and the `run` they came with; or those in conflict alone."""
    with Ledger.open(workspace.ledger) as ledger:
        taxonomy = tagged_taxonomy(workspace, ledger)
        found = standing(ledger.label_rows(), taxonomy)
    at_odds = {label for conflict in found.conflicts for label in conflict.labels}
    for row in found.held:
        label = row.label
        if not conflicts or label in at_odds:
            path = taxonomy.path(label.category) if label.category in taxonomy else label.category
            values = (label.product_id, label.category, path, label.negative, label.source, row.at)
            yield dict(zip(COLUMNS, values, strict=True)) | {"run": row.run_id}


@contextmanager
def _writable(workspace: Workspace) -> Iterator[Ledger]:
    with workspace.lock(), Ledger.open(workspace.ledger) as ledger:
        yield ledger


def _start_import(ledger: Ledger, taxonomy: Taxonomy, new: Sequence[tuple[Label, str]], file: Path) -> Run:
    fingerprint = hashlib.blake2b(repr(new).encode(), digest_size=16).hexdigest()
    return ledger.start_run("label", fingerprint, taxonomy.version, 0, {"file": file.name})
