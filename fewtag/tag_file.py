"""Writes tags as a file that a shop's systems can read: CSV, JSON lines or Parquet, by the end of its name; whole or not at all."""

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
from fewtag.status import tagged_taxonomy
from fewtag.store import Ledger
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace, replacing

COLUMNS: Final = ("product_id", "category", "path", "confidence", "stage", "alternatives")
ROWS_PER_GROUP: Final = 65_536

Row = dict[str, Any]


def rows_of(tags: Iterable[Tag], taxonomy: Taxonomy) -> Iterator[Row]:
    """Yield tags as rows of `COLUMNS`; category and path are empty where the tagger abstained.

    A category that the taxonomy has no more stands for its path itself.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> [row["path"] for row in rows_of([Tag("1", "toys/dolls", 0.9, "zero-shot"), Tag("2", None, 0.3, "zero-shot")], taxonomy)]
    ['Toys > Dolls', '']
    """
    for tag in tags:
        category = tag.category or ""
        yield {
            "product_id": tag.product_id,
            "category": category,
            "path": taxonomy.path(category) if category in taxonomy else category,
            "confidence": round(tag.confidence, 4),
            "stage": tag.stage,
            "alternatives": json.dumps([[category, round(share, 4)] for category, share in tag.alternatives], ensure_ascii=False),
        }


def stored_rows(workspace: Workspace) -> Iterator[Row]:
    """Yield the tags that hold in a workspace's ledger, in the order of its catalogue, as rows of `COLUMNS`."""
    with Ledger.open(workspace.ledger) as ledger:
        yield from rows_of((stored.tag for stored in ledger.latest()), tagged_taxonomy(workspace, ledger))


def check_target(path: Path) -> None:
    """Raise CatalogueError where the file's name says no known kind: before any work, not after it."""
    if path.suffix.lower() not in WRITERS:
        problem = f"'{path.name}' is of no known kind"
        raise CatalogueError(problem, mend=f"name a file that ends in {', '.join(WRITERS)}", where=path)
    if not path.parent.is_dir():
        raise CatalogueError("its folder does not exist", mend="make the folder first", where=path)
    if path.is_dir():
        raise CatalogueError("this is a folder", mend="name a file within it", where=path)


def write_tags(rows: Iterable[Row], path: Path) -> int:
    """Write rows to a file, and return how many they were; an interrupted file never takes the place of a whole one."""
    check_target(path)
    with replacing(path) as beside:
        return WRITERS[path.suffix.lower()](rows, beside)


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
    for count, row in enumerate(chain(first, ahead), 1):  # noqa: B007, the last one is the number of rows
        # Of line breaks, Python quotes those that it writes itself alone: a bare carriage return would else end the row.
        (quoting if any("\r" in str(value) for value in row.values()) else plain).writerow(row)
    return count


def _write_csv(rows: Iterable[Row], path: Path) -> int:
    with path.open("w", encoding="utf-8", newline="") as stream:
        return stream_csv(rows, stream)


def _write_jsonl(rows: Iterable[Row], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for count, row in enumerate(rows, 1):  # noqa: B007
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def _write_parquet(rows: Iterable[Row], path: Path) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.float64() if name == "confidence" else pa.string()) for name in COLUMNS])
    ahead, count = iter(rows), 0
    with closing(parquet.ParquetWriter(path, schema)) as writer:
        while group := list(islice(ahead, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


WRITERS: Final[Mapping[str, Callable[[Iterable[Row], Path], int]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
