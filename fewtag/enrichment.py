"""Words beyond a category's name: a language model's, which join what the zero-shot rung compares with, and mined ones, which are shown.

The trap: a person's word goes before a model's, so an entry that was edited is left alone, and what was refused is not taken again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from fewtag.catalogue import read_catalogue
from fewtag.enriched_file import Entry, read_enriched, write_enriched
from fewtag.mining import mine
from fewtag.models.lm.enrich import Writer
from fewtag.parts import Parts
from fewtag.status import columns_of
from fewtag.store import SWEEPS, Ledger
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace

CONFIDENT: Final = 0.5
"""Words are mined from products whose likeliest category is at least so sure."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is of one category beyond its name, and which model wrote it; `mined` is from the catalogue, and read by no rung."""

    category: str
    path: str
    entry: Entry
    mined: tuple[str, ...]


def enrich(taxonomy: Taxonomy, parts: Parts, workspace: Workspace) -> Taxonomy:
    """Have the language model write what enriched.yaml lacks, and return the taxonomy with what stands there among its words.

    Where no model is to write, that is the taxonomy as it is. Raises ModelError for a model that cannot write, TaxonomyError, with file
    and line, for a file that is wrong.
    """
    if not (parts.lm and parts.writes):
        return taxonomy
    entries = read_enriched(workspace.enriched)
    writer = Writer(parts.lm, parts.writes, taxonomy, workspace.written)
    written = writer.write([category for category in taxonomy.classes if _is_to_be_written(category, entries.get(category), writer)])
    new = {
        category: replace(
            entries.get(category, Entry()), words=said.words, titles=said.titles, by=writer.by, written=True
        ).without_refused()
        for category, said in written.items()
    }
    if new:
        write_enriched(workspace.enriched, new)
    return spoken(taxonomy, entries | new)


def spoken(taxonomy: Taxonomy, entries: Mapping[str, Entry]) -> Taxonomy:
    """Return the taxonomy with the words of entries as aliases and their titles as examples, refused ones left out; ids stay.

    >>> said = spoken(Taxonomy.from_paths(["Tea"]), {"tea": Entry(("chai", "mate"), ("Chai tin",), refused=("mate",))})
    >>> said["tea"].aliases, said["tea"].examples
    (('chai',), ('Chai tin',))
    """
    nodes = []
    for category in taxonomy:
        node, entry = taxonomy[category], entries.get(category, Entry()).without_refused()
        aliases, examples = dict.fromkeys((*node.aliases, *entry.words)), dict.fromkeys((*node.examples, *entry.titles))
        nodes.append(replace(node, aliases=tuple(aliases), examples=tuple(examples)))
    return Taxonomy(nodes, name=taxonomy.name, language=taxonomy.language)


def look_up(workspace: Workspace, taxonomy: Taxonomy) -> list[Shown]:
    """Return what is written of each assignable category, and what its products in the workspace's ledger say, refused words left out.

    Raises TaxonomyError for a wrong enriched.yaml, CatalogueError where the catalogue is no longer what was tagged.
    """
    entries, primary = read_enriched(workspace.enriched), taxonomy.primary
    mined = _mined(workspace, primary)
    shown = []
    for category in primary.classes:
        entry = entries.get(category, Entry(written=False))
        words = Entry(mined.get(category, ()), refused=entry.refused).without_refused().words
        shown.append(Shown(category, primary.path(category), entry.without_refused(), words))
    return shown


def _is_to_be_written(category: str, entry: Entry | None, writer: Writer) -> bool:
    """Say whether nothing is written yet, or another model has written it and nobody has changed a thing but to refuse some of it."""
    if entry is None or not entry.written:
        return True
    if entry.by in ("", writer.by) or (said := writer.remembered(entry.by, category)) is None:
        return False
    before = Entry(said.words, said.titles, entry.refused).without_refused()
    return (before.words, before.titles) == (entry.without_refused().words, entry.without_refused().titles)


def _mined(workspace: Workspace, taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
    with Ledger.open(workspace.ledger) as ledger:
        run = ledger.last_run(*SWEEPS)
        columns = columns_of(run, workspace) if run else None
        if not columns or not columns.file:
            return {}
        best = {row.tag.product_id: row.tag.alternatives[0] for row in ledger.latest() if row.tag.alternatives}
    sure = {product: category for product, (category, confidence) in best.items() if confidence >= CONFIDENT}
    products = [product for product in read_catalogue(columns) if product.id in sure]
    return mine([product.text for product in products], [sure[product.id] for product in products], taxonomy)
