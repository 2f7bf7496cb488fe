"""Reads a catalogue's file as a stream of rows: CSV, JSON lines and Parquet, encodings and delimiters seen where they are not named.

The trap: a CSV file whose quote is never closed swallows the rest of the catalogue without a word; strict reading and the limit on a
cell catch it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from fewtag.errors import CatalogueError

MAX_CELL: Final = 1_000_000
SAMPLE: Final = 1 << 16
DELIMITERS: Final = ",;\t|"
MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
EXPORTED: Final = (
    "gb18030",
    "cp1252",
    "cp949",
    "cp932",
    "big5",
    "cp1251",
    "cp1250",
    "cp1253",
)  # what spreadsheets write; the likelier first
NO_TEXT: Final = (
    (b"PK\x03\x04", "a zip or an Excel file", "save it as CSV in UTF-8"),
    (b"\x1f\x8b", "compressed", "let its name end in .gz"),
    (b"PAR1", "Parquet", "let its name end in .parquet"),
)
UNREADABLE: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (FileNotFoundError, "there is no such catalogue", "name a file that is there, with `catalogue: {file: ...}` or on the command line"),
    (NotADirectoryError, "there is no such catalogue", "name a file that is there, with `catalogue: {file: ...}` or on the command line"),
    (PermissionError, "you may not read this file", "get the right to read it"),
    (Exception, "the file cannot be read: {}", "check that it is whole"),
)
NAME_ENCODING: Final = (
    "save it as UTF-8, or name a catalogue's encoding with `catalogue: {encoding: ...}`, such as utf-16-le, gb18030 or cp1252"
)
EXPORT_AGAIN: Final = "export it again"

Row = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the products are and which columns say what; `where` is for errors.

    `text` is a jinja2 template over the columns: {{ title }}, or {{ fields["Product Name"] }} for a name with blanks.
    """

    file: str = ""
    id: str | None = None
    text: str | None = None
    image: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    where: str = ""


def read_rows(settings: Columns, base: Path = Path(), empty: str = EXPORT_AGAIN) -> tuple[list[str], Iterator[Row]]:
    """Return the columns of a file and its rows, each with its line; a relative `file` is looked up from `base`.

    `empty` is what to do about an empty file.
    Raises CatalogueError, with file and line, for whatever cannot be read.
    """
    path = base / settings.file
    with reading(path):
        if path.is_dir():
            fail(path, "this is a folder", "name a file within it")
        reader = next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)
        if reader is None:
            fail(path, f"'{path.name}' is of no known kind", f"name a file that ends in {', '.join(READERS)}, or save it as one")
        if not path.stat().st_size:
            fail(path, "the file is empty", empty)
        columns, rows = reader(path, settings, empty)
        if any("\0" in name for name in columns):
            fail(path, "the header holds NUL bytes", NAME_ENCODING, 1)
        return columns, rows


def _read_csv(path: Path, settings: Columns, empty: str) -> tuple[list[str], Iterator[Row]]:
    encoding = _encoding(path, settings)
    delimiter = settings.delimiter or ("\t" if ".tsv" in path.name.lower() else _delimiter_of(path, encoding))
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        mend = 'write one character, and a tab as "\\t" in double quotes'
        raise CatalogueError(f"the delimiter {delimiter!r} cannot be one", mend=mend, where=settings.where or path)
    rows = _csv_rows(path, encoding, delimiter)
    _, cells = next(rows, (0, None))
    if cells is None:
        fail(path, "the file is empty", empty)
    header = [cell.lstrip("\ufeff").strip() for cell in cells]
    return header, ((line, dict(zip(header, cells, strict=True))) for line, cells in rows)


def _csv_rows(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row starts, and its cells: as many as the header has."""
    width = 0
    with _opened(path, encoding) as stream:
        csv.field_size_limit(MAX_CELL)
        rows = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
        while True:
            line = rows.line_num + 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                if "field larger" in str(error):
                    mend = "close the quote that opens there, or shorten the cell"
                    fail(path, f"a cell has more than {MAX_CELL:,} characters", mend, line)
                mend = 'close each quote that opens a cell, and write a quote within such a cell twice ("")'
                fail(path, f"this is not valid CSV: {error}", mend, line)
            if not cells:  # a blank line
                continue
            width = width or len(cells)
            if len(cells) != width:
                mend = "put a text that holds the delimiter in quotes, or name a catalogue's delimiter with `delimiter:`"
                fail(path, f"the row has {len(cells)} cells and the header {width}", mend, line)
            yield line, cells


def _read_jsonl(path: Path, settings: Columns, empty: str) -> tuple[list[str], Iterator[Row]]:
    """Know the columns from the first objects, for exports leave out the keys that are empty."""
    encoding = _encoding(path, settings)
    columns: dict[str, None] = {}
    try:
        for _, row in islice(_jsonl_rows(path, encoding, ()), 1000):
            columns |= dict.fromkeys(row)
    except CatalogueError:
        if not columns:
            raise  # else it is raised again when its row is reached
    if not columns:
        fail(path, "the file is empty", empty)
    return list(columns), _jsonl_rows(path, encoding, list(columns))


def _jsonl_rows(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the objects; a column that one lacks is empty there."""
    empty = dict.fromkeys(columns, "")
    with _opened(path, encoding) as stream:
        for line, text in enumerate(stream, 1):
            if text.strip():
                row = _json_object(path, text, line)
                if long := next((key for key, value in row.items() if isinstance(value, str) and len(value) > MAX_CELL), None):
                    fail(path, f"'{long}' has more than {MAX_CELL:,} characters", "shorten it", line)
                yield line, empty | row


def _json_object(path: Path, text: str, line: int) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        told = getattr(error, "msg", error)  # without a line of its own, which would be that of the object
        fail(path, f"this is not valid JSON: {told}", "write one object on each line", line)
    if not isinstance(row, dict):
        fail(path, "the line is no JSON object", "write one object on each line", line)
    return row


def _read_parquet(path: Path, settings: Columns, empty: str) -> tuple[list[str], Iterator[Row]]:
    with _parquet(path) as file:
        columns = list(file.schema_arrow.names)
    return columns, _parquet_rows(path)


def _parquet_rows(path: Path) -> Iterator[Row]:
    with _parquet(path) as file:
        yield from enumerate((row for batch in file.iter_batches(batch_size=8192) for row in batch.to_pylist()), 1)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    with path.open("rb") as stream:
        try:
            yield parquet.ParquetFile(stream)
        except (pyarrow.ArrowException, OSError) as error:
            fail(path, f"this is not valid Parquet: {error}", EXPORT_AGAIN)


READERS: Final[Mapping[str, Callable[[Path, Columns, str], tuple[list[str], Iterator[Row]]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".csv.gz": _read_csv,
    ".tsv.gz": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".parquet": _read_parquet,
}


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a text file, compressed or not; bytes that the encoding does not know become a CatalogueError."""
    try:
        with _binary(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as stream:
            yield stream
    except UnicodeDecodeError as error:
        told = f"{error.reason} in {error.object[error.start : error.start + 4]!r}"
        fail(path, f"the file is not {encoding.removesuffix('-sig')} text: {told}", NAME_ENCODING, _line_of_bad_bytes(path, encoding))
    except UnicodeError as error:  # UTF-16 without its mark
        fail(path, f"the file is not {encoding} text: {error}", NAME_ENCODING)


def _line_of_bad_bytes(path: Path, encoding: str) -> int:
    """Count the lines before the first bytes that the encoding does not know; the reader has read ahead and cannot say."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with _binary(path) as raw:
        while chunk := raw.read(SAMPLE):
            try:
                line += decoder.decode(chunk).count("\n")
            except UnicodeDecodeError as error:
                return line + error.object[: error.start].decode(encoding, "ignore").count("\n")
    return line


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the operating system and the decompressors raise into CatalogueErrors."""
    try:
        yield
    except (OSError, EOFError, zlib.error, RecursionError) as error:
        problem, mend = next((problem, mend) for kind, problem, mend in UNREADABLE if isinstance(error, kind))
        fail(path, problem.format(getattr(error, "strerror", None) or error), mend)


def _binary(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _encoding(path: Path, settings: Columns) -> str:
    """Return the encoding that the settings name, or see it; UTF-8 may always start with its mark."""
    if settings.encoding is None:
        return _encoding_of(path)
    try:
        "".encode(settings.encoding)
    except (LookupError, ValueError):
        problem = f"there is no encoding '{settings.encoding}'"
        raise CatalogueError(problem, mend=NAME_ENCODING, where=settings.where or path) from None
    return "utf-8-sig" if codecs.lookup(settings.encoding).name == "utf-8" else settings.encoding


def _encoding_of(path: Path) -> str:
    """See the encoding: by the byte order mark, else UTF-8 where the file's start is that, else the best guess."""
    with _binary(path) as stream:
        sample: bytes = stream.read(SAMPLE)
    for start, kind, mend in NO_TEXT:
        if sample.startswith(start):
            fail(path, f"the file is no text but {kind}", mend)
    if marked := next((encoding for mark, encoding in MARKS if sample.startswith(mark)), None):
        return marked
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return _guessed(sample)
    return "utf-8-sig"


def _guessed(sample: bytes) -> str:
    """Guess the encoding of a sample that is not UTF-8 throughout."""
    letters = sample.decode(errors="replace")
    if sum(letter > "\x7f" for letter in letters) > 10 * letters.count("\ufffd"):
        return "utf-8-sig"  # but for a stray byte, whose line the reading names; another encoding would spoil every row
    from charset_normalizer import from_bytes

    whole = sample[: sample.rfind(b"\n") + 1] or sample  # a character cut in two would rule its encoding out
    guesses = from_bytes(whole, cp_isolation=list(EXPORTED))
    return min(guesses, key=lambda guess: (guess.chaos, EXPORTED.index(guess.encoding))).encoding if guesses else "cp1252"


def _delimiter_of(path: Path, encoding: str) -> str:
    """See the delimiter: the one that splits the header, and the rows like the header, into most cells."""
    with _opened(path, encoding) as stream:
        lines = stream.read(SAMPLE).splitlines()[:50]

    def cells(delimiter: str) -> int:
        csv.field_size_limit(MAX_CELL)
        counts = [len(row) for row in csv.reader(lines[:-1] or lines, delimiter=delimiter, skipinitialspace=True) if row]
        return counts[0] if counts and counts.count(counts[0]) * 2 >= len(counts) else 1

    return max(DELIMITERS, key=cells)


def fail(path: Path | str, problem: str, mend: str, line: int | None = None) -> NoReturn:
    """Raise the CatalogueError of a file, or of a line of it."""
    raise CatalogueError(problem, mend=mend, where=f"{path}:{line}" if line else str(path))
