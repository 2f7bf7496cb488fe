"""Writes tags as a file that a shop's systems can read: CSV, JSON lines or Parquet, by the end of its name; whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TextIO

from fewtag.core import Tag
from fewtag.errors import CatalogueError
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import replacing

COLUMNS: Final = ("product_id", "category", "path", "confidence", "stage", "alternatives")
ROWS_PER_GROUP: Final = 65_536

Row = dict[str, Any]


def rows_of(tags: Iterable[Tag], taxonomy: Taxonomy) -> Iterator[Row]:
    """Yield tags as rows of `COLUMNS`; category and path are empty where the tagger abstained.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> [row["path"] for row in rows_of([Tag("1", "toys/dolls", 0.9, "zero-shot"), Tag("2", None, 0.3, "zero-shot")], taxonomy)]
    ['Toys > Dolls', '']
    """
    for tag in tags:
        yield {
            "product_id": tag.product_id,
            "category": tag.category or "",
            "path": taxonomy.path(tag.category) if tag.category else "",
            "confidence": round(tag.confidence, 4),
            "stage": tag.stage,
            "alternatives": json.dumps([[category, round(share, 4)] for category, share in tag.alternatives], ensure_ascii=False),
        }


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
    counted = _Counted(rows)
    with replacing(path) as beside:
        WRITERS[path.suffix.lower()](counted, beside)
    return counted.count


def stream_csv(rows: Iterable[Row], stream: TextIO) -> None:
    """Write rows as CSV with a header, to a file or to standard output; where the first row cannot be had, nothing is written."""
    ahead = iter(rows)
    first = list(islice(ahead, 1))
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(chain(first, ahead))


class _Counted:
    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.count += 1
            yield row


def _write_csv(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream_csv(rows, stream)


def _write_jsonl(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(rows: Iterable[Row], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.float64() if name == "confidence" else pa.string()) for name in COLUMNS])
    ahead = iter(rows)
    with closing(parquet.ParquetWriter(path, schema)) as writer:
        while group := list(islice(ahead, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


WRITERS: Final[Mapping[str, Callable[[Iterable[Row], Path], None]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
