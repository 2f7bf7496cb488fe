"""Writes tags, or what else has rows, as a file that a shop's systems can read: CSV, JSON lines or Parquet; whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TextIO

from fewtag.core import Tag
from fewtag.errors import CatalogueError
from fewtag.status import columns_of, tagged_taxonomy
from fewtag.store import SWEEPS, Ledger
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace, replacing

COLUMNS: Final = ("product_id", "category", "path", "confidence", "stage", "alternatives")
SPREAD_COLUMNS: Final = ("product_id", "text", "category", "path", "confidence", "sources", "right")
NUMBERS: Final = {
    **dict.fromkeys(("confidence", "probability"), "float64"),
    **dict.fromkeys(("gold_depth", "tag_right_to_depth", "likeliest_right_to_depth"), "int64"),
}
"""What kind of number Parquet has in a column; all others hold texts."""
ROWS_PER_GROUP: Final = 65_536

Row = dict[str, Any]


def rows_of(tags: Iterable[Tag], taxonomy: Taxonomy) -> Iterator[Row]:
    """Yield tags as rows of `COLUMNS`; category and path are None where the tagger abstained.

    A category that the taxonomy has no more stands for its path itself.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> [row["path"] for row in rows_of([Tag("1", "toys/dolls", 0.9, "zero-shot"), Tag("2", None, 0.3, "zero-shot")], taxonomy)]
    ['Toys > Dolls', None]
    """
    for tag in tags:
        category = tag.category or ""
        yield {
            "product_id": tag.product_id,
            "category": tag.category,
            "path": taxonomy.path(category) if category in taxonomy else tag.category,
            "confidence": round(tag.confidence, 4),
            "stage": tag.stage,
            "alternatives": [[category, round(share, 4)] for category, share in tag.alternatives],
        }


def catalogue_of(workspace: Workspace) -> str:
    """Return the path of the file that a workspace's last bootstrap tagged; empty where there is none."""
    with Ledger.open(workspace.ledger) as ledger:
        run = ledger.last_run(*SWEEPS)
        return columns_of(run, workspace).file if run else ""


def stored_rows(workspace: Workspace) -> Iterator[Row]:
    """Yield the tags that hold in a workspace's ledger, in the order in which they were written, as rows of `COLUMNS`."""
    with Ledger.open(workspace.ledger) as ledger:
        yield from rows_of((stored.tag for stored in ledger.latest()), tagged_taxonomy(workspace, ledger))


def spread_rows(tags: Iterable[Tag], products: Mapping[str, str], taxonomy: Taxonomy) -> Iterator[Row]:
    """Yield propagated tags as rows of `SPREAD_COLUMNS`; `products` are texts by id, `right` is for a person to fill in."""
    for row, tag in zip(rows_of(tags := list(tags), taxonomy), tags, strict=True):
        sources = [[product_id, round(similarity, 3)] for product_id, similarity in tag.sources]
        told = row | {"text": products.get(tag.product_id, ""), "sources": sources, "right": ""}
        yield {name: told[name] for name in SPREAD_COLUMNS}


def check_target(path: Path, source: str | Path = "") -> None:
    """Raise CatalogueError where tags cannot go to a file, or it is the very one that the products come from: before any work."""
    if source and path.resolve() == Path(source).resolve():
        raise CatalogueError("the products themselves are in this file", mend="write the tags to another one", where=path)
    check_place(path, tuple(WRITERS))


def check_place(path: Path, endings: Sequence[str]) -> None:
    """Raise CatalogueError where nothing can go to a file, or its name has none of the endings."""
    if path.is_dir():
        raise CatalogueError("this is a folder", mend="name a file within it", where=path)
    if path.suffix.lower() not in endings:
        problem = f"'{path.name}' is of no known kind"
        raise CatalogueError(problem, mend=f"name a file that ends in {', '.join(endings)}", where=path)
    if not path.parent.is_dir():
        raise CatalogueError("its folder does not exist", mend="make the folder first", where=path)


def write_tags(rows: Iterable[Row], path: Path, columns: Sequence[str] = COLUMNS) -> int:
    """Write rows to a file, and return how many they were; an interrupted file never takes the place of a whole one."""
    check_target(path)
    with replacing(path) as beside:
        return WRITERS[path.suffix.lower()](rows, beside, columns)


def stream_csv(rows: Iterable[Row], stream: TextIO, columns: Sequence[str] = COLUMNS) -> int:
    """Write rows as CSV with a header, and return how many they were; where the first row cannot be had, nothing is written."""
    ahead = iter(rows)
    first = list(islice(ahead, 1))
    plain, quoting = (
        csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n", quoting=way)
        for way in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    plain.writeheader()
    count = 0
    for count, row in enumerate(map(_flat, chain(first, ahead)), 1):  # noqa: B007, the last one is the number of rows
        # Of line breaks, Python quotes those that it writes itself alone: a bare carriage return would else end the row.
        (quoting if any("\r" in str(value) for value in row.values()) else plain).writerow(row)
    return count


def _flat(row: Row) -> Row:
    """Write lists as texts, for kinds of files whose cells hold none."""
    return {name: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value for name, value in row.items()}


def _write_csv(rows: Iterable[Row], path: Path, columns: Sequence[str]) -> int:
    with path.open("w", encoding="utf-8", newline="") as stream:
        return stream_csv(rows, stream, columns)


def _write_jsonl(rows: Iterable[Row], path: Path, _: Sequence[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for count, row in enumerate(rows, 1):  # noqa: B007
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def _write_parquet(rows: Iterable[Row], path: Path, columns: Sequence[str]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, getattr(pa, NUMBERS.get(name, "string"))()) for name in columns])
    ahead, count = iter(rows), 0
    with closing(parquet.ParquetWriter(path, schema)) as writer:
        while group := list(islice(ahead, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist([_flat(row) for row in group], schema=schema))
            count += len(group)
    return count


WRITERS: Final[Mapping[str, Callable[[Iterable[Row], Path, Sequence[str]], int]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
