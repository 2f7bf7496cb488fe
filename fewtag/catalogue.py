"""Reads products: CSV, JSON lines and Parquet files as streams, and the lists and frames of Python, all through one mapping of columns.

The trap: a CSV file whose quote is never closed swallows the rest of the catalogue without a word; strict reading and the limit on a
cell catch it.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import html
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

import numpy as np
import numpy.typing as npt

from fewtag.core import Product
from fewtag.errors import CatalogueError

MAX_CELL: Final = 1_000_000
SAMPLE: Final = 1 << 16
ID_COLUMNS: Final = ("id", "sku", "product_id", "productid", "asin", "handle", "商品id", "编号")
TEXT_COLUMNS: Final = ("title", "name", "text", "product_name", "product_title", "product", "商品名称", "标题", "名称", "商品")
DELIMITERS: Final = ",;\t|"
SEPARATORS: Final = ".,;:|/-"
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
    (FileNotFoundError, "there is no such catalogue", "set `catalogue: {file: ...}`, or name one with --catalogue"),
    (NotADirectoryError, "there is no such catalogue", "set `catalogue: {file: ...}`, or name one with --catalogue"),
    (PermissionError, "you may not read the catalogue", "get the right to read it"),
    (Exception, "the file cannot be read: {}", "check that it is whole"),
)
NAME_ENCODING: Final = "name the right one with `catalogue: {encoding: ...}`, for instance utf-8, utf-16-le, gb18030 or cp1252"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SEPARATOR_RUN: Final = re.compile(r"[.,;:|/-](?:\s*[.,;:|/-])+")

Row = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CatalogueSettings:
    """Where the products are and which columns say what; `where` is for errors.

    `text` is a jinja2 template over the columns: {{ title }}, or {{ fields["Product Name"] }} for a name with blanks.
    """

    file: str
    id: str | None = None
    text: str | None = None
    image: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    where: str = ""


def read_catalogue(settings: CatalogueSettings, base: Path = Path()) -> Iterator[Product]:
    """Yield the products of a file, one by one; a relative `file` is looked up from `base`.

    Raises CatalogueError, with file and line, at the first row that cannot become a product.
    """
    path = base / settings.file
    with _reading(path):
        if path.is_dir():
            _fail(path, "this is a folder", "name the catalogue's file within it")
        reader = next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)
        if reader is None:
            _fail(path, f"'{path.name}' is of no known kind", f"name a file that ends in {', '.join(READERS)}")
        if not path.stat().st_size:
            _fail(path, "the file is empty", "export the catalogue again")
        columns, rows = reader(path, settings)
        yield from _products(columns, rows, settings, str(path))


def as_products(source: Any, settings: CatalogueSettings | None = None) -> list[Product]:
    """Make products of a list of texts or products, a pandas or polars frame, or the path of a file.

    Texts get the ids "0", "1", ... Raises CatalogueError as `read_catalogue` does, and for anything else given.
    """
    if isinstance(source, str | Path):
        return list(read_catalogue(replace(settings or CatalogueSettings(""), file=str(source))))
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        columns, rows = _frame(source)
        return list(_products(columns, rows, settings or CatalogueSettings(""), "the frame"))
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise CatalogueError(f"{type(source).__name__} is no list of products", mend="give texts, products, a frame or a path")
    products = [item if isinstance(item, Product) else Product(str(number), item) for number, item in enumerate(source)]
    seen: set[str] = set()
    for product in products:
        given: dict[str, Any] = {"id": product.id, "text": product.text}
        for name, value in given.items():
            if not isinstance(value, str):
                problem = f"the {name} of product '{product.id}' is of type {type(value).__name__}"
                raise CatalogueError(problem, mend="give texts, products, a frame or a path")
        if not product.text.strip():
            raise CatalogueError(f"product '{product.id}' has no text", mend="give it one, or leave it out")
        _check_letters(given, f"product '{product.id}'")
        if product.id in seen:
            raise CatalogueError(f"the id '{product.id}' is there twice", mend="give each product an id of its own")
        seen.add(product.id)
    return products


def unique_texts(products: Sequence[Product]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct texts in the order seen, and the place of each product's text among them, (n,).

    >>> texts, place = unique_texts([Product("1", "tea"), Product("2", "jam"), Product("3", "tea")])
    >>> texts, place.tolist()
    (['tea', 'jam'], [0, 1, 0])
    """
    places: dict[str, int] = {}
    place = np.array([places.setdefault(product.text, len(places)) for product in products], dtype=np.int64)
    return list(places), place


def clean(text: str) -> str:
    """Tidy a rendered text: entities are unescaped, white space is one blank, separators that an empty column left are dropped.

    >>> clean("Salt &amp; vinegar crisps . ,  6x25g. ")
    'Salt & vinegar crisps, 6x25g'
    """
    text = _SEPARATOR_RUN.sub(_last_if_a_word_ends, html.unescape(text))
    text = " ".join(text.split())
    text = re.sub(r" ([.,;:])(?= |$)", r"\1", text)
    return text.strip(f" {SEPARATORS}")


def _last_if_a_word_ends(run: re.Match[str]) -> str:
    """Keep the last separator of a run and the blank before it, unless a word goes on behind the run, as in https://.

    The same as a look-ahead in the expression would be quadratic.
    """
    behind = run.string[run.end() : run.end() + 1]
    if behind.strip():
        return run.group()
    return run.group()[-2:] if run.group()[-2].isspace() else run.group()[-1]


def _products(columns: Sequence[str], rows: Iterable[Row], settings: CatalogueSettings, source: str) -> Iterator[Product]:
    """Turn rows into products, and refuse the first one that has no id, an id seen before, or no text."""
    columns = [name for name in columns if name]  # exports leave nameless columns behind, for a row's number or for nothing
    if any("\0" in name for name in columns):
        _fail(source, "the header holds NUL bytes", NAME_ENCODING, 1)
    repeated = next((name for place, name in enumerate(columns) if name in columns[:place]), None)
    if repeated is not None:
        _fail(source, f"two columns are called '{repeated}'", "rename one of them", 1)
    id_of = _id_reader(columns, settings, source)
    text_of = _text_reader(columns, settings, source)
    if settings.image:
        _known(settings.image, columns, settings, source)
    seen: dict[str, int] = {}
    for line, row in rows:
        fields = {name: _text(value) for name, value in row.items() if name}
        _check_letters(fields, source, line)
        product_id = id_of(fields, len(seen) + 1)
        if not product_id:
            _fail(source, "a product has no id", "give it one, or delete the row", line)
        if product_id in seen:
            _fail(
                source,
                f"the id '{product_id}' is there twice (first at line {seen[product_id]})",
                "give each product an id of its own",
                line,
            )
        seen[product_id] = line
        text = text_of(fields, line)
        if not text:
            _fail(source, f"product '{product_id}' has no text", "fill the columns that `text` names, or delete the row", line)
        yield Product(product_id, text, fields, (settings.image and fields[settings.image]) or None)
    if not seen:
        _fail(source, "the catalogue has no rows", "export the catalogue again")


def _id_reader(columns: Sequence[str], settings: CatalogueSettings, source: str) -> Callable[[Mapping[str, str], int], str]:
    """Return what reads a row's id; where no column is named and none looks like one, the row's number is its id."""
    column = settings.id or next((name for name in columns if _plain(name) in ID_COLUMNS), None)
    if column is None:
        return lambda _, number: str(number)
    _known(column, columns, settings, source)
    return lambda fields, _: fields[column].strip()


def _text_reader(columns: Sequence[str], settings: CatalogueSettings, source: str) -> Callable[[Mapping[str, str], int], str]:
    """Return what reads a row's text: the template of the settings, or the first column that is called like a title."""
    if settings.text is None:
        by_name = {_plain(name): name for name in reversed(columns)}
        column = next((by_name[name] for name in TEXT_COLUMNS if name in by_name), None)
        if column is None:
            mend = f'set `catalogue: {{text: "{{{{ column }}}}"}}` over {", ".join(columns)}'
            _fail(source, "no column is called like a title", mend, 1)
        return lambda fields, _: clean(fields[column])
    from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    jinja = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    where = settings.where or source
    try:
        tree = jinja.parse(settings.text)
        template = jinja.from_string(settings.text)
    except TemplateSyntaxError as error:
        mend = 'mend the jinja2 syntax; a column whose name has blanks is written {{ fields["Product Name"] }}'
        raise CatalogueError(f"the text template does not parse: {error.message}", mend=mend, where=where) from None
    names = meta.find_undeclared_variables(tree)
    if not names:
        raise CatalogueError("the text template names no column", mend='write a column in braces: "{{ title }}"', where=where)
    keys = [
        node.arg.value
        for node in tree.find_all(nodes.Getitem)
        if isinstance(node.node, nodes.Name) and node.node.name == "fields" and isinstance(node.arg, nodes.Const)
    ]
    for name in sorted({*names - jinja.globals.keys() - {"fields"}, *map(str, keys)}):
        _known(name, columns, settings, source, lambda near: near if near.isidentifier() else f'fields["{near}"]')

    def render(fields: Mapping[str, str], line: int) -> str:
        try:
            return clean(template.render({"fields": fields, **fields}))
        except Exception as error:  # what a template does with a text may raise anything
            problem = f"the text template fails on {Path(source).name}:{line}: {str(error) or type(error).__name__}"
            raise CatalogueError(problem, mend="mend the template", where=where) from None

    return render


def _plain(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _known(column: str, columns: Sequence[str], settings: CatalogueSettings, source: str, written: Callable[[str], str] = str) -> None:
    """Raise CatalogueError where there is no such column; `written` is how the nearest one would be written in its place."""
    if column in columns:
        return
    near = difflib.get_close_matches(column, columns, n=1)
    mend = f"did you mean '{written(near[0])}'?" if near else f"the columns are {', '.join(columns)}"
    raise CatalogueError(f"{Path(source).name} has no column '{column}'", mend=mend, where=settings.where or source)


def _check_letters(fields: Mapping[str, str], source: str, line: int | None = None) -> None:
    """Refuse what no store and no model takes: NUL, and the half of an emoji that JSON can hold."""
    together = "\n".join(fields.values())
    if "\0" not in together and (together.isascii() or not _SURROGATE.search(together)):
        return
    name, value = next((name, value) for name, value in fields.items() if "\0" in value or _SURROGATE.search(value))
    held = "a NUL byte" if "\0" in value else "half of a character"
    _fail(source, f"'{name}' holds {held}", "delete it, or export the catalogue again", line)


def _text(value: Any) -> str:
    """Write a cell as text; what is missing is empty, and a whole number that a frame made a float is whole again."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(_text, value))
    if isinstance(value, bytes):  # Parquet columns that were not marked as text
        return value.decode(errors="replace")
    text = str(value)
    return "" if text in ("<NA>", "NaT") else text


def _read_csv(path: Path, settings: CatalogueSettings) -> tuple[list[str], Iterator[Row]]:
    encoding = _encoding(path, settings)
    delimiter = settings.delimiter or ("\t" if ".tsv" in path.name.lower() else _delimiter_of(path, encoding))
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        mend = 'write one character, and a tab as "\\t" in double quotes'
        raise CatalogueError(f"the delimiter {delimiter!r} cannot be one", mend=mend, where=settings.where or path)
    rows = _csv_rows(path, encoding, delimiter)
    _, cells = next(rows, (0, None))
    if cells is None:
        _fail(path, "the file is empty", "export the catalogue again")
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
                    _fail(path, f"a cell has more than {MAX_CELL:,} characters", mend, line)
                mend = 'close each quote that opens a cell, and write a quote within such a cell twice ("")'
                _fail(path, f"this is not valid CSV: {error}", mend, line)
            if not cells:  # a blank line
                continue
            width = width or len(cells)
            if len(cells) != width:
                mend = "put a text that holds the delimiter in quotes, or name it with `delimiter:`"
                _fail(path, f"the row has {len(cells)} cells and the header {width}", mend, line)
            yield line, cells


def _read_jsonl(path: Path, settings: CatalogueSettings) -> tuple[list[str], Iterator[Row]]:
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
        _fail(path, "the file is empty", "export the catalogue again")
    return list(columns), _jsonl_rows(path, encoding, list(columns))


def _jsonl_rows(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the objects; a column that one lacks is empty there."""
    empty = dict.fromkeys(columns, "")
    with _opened(path, encoding) as stream:
        for line, text in enumerate(stream, 1):
            if text.strip():
                row = _json_object(path, text, line)
                if long := next((key for key, value in row.items() if isinstance(value, str) and len(value) > MAX_CELL), None):
                    _fail(path, f"'{long}' has more than {MAX_CELL:,} characters", "shorten it", line)
                yield line, empty | row


def _json_object(path: Path, text: str, line: int) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        _fail(path, f"this is not valid JSON: {error}", "write one object on each line", line)
    if not isinstance(row, dict):
        _fail(path, "the line is no JSON object", "write one object on each line", line)
    return row


def _read_parquet(path: Path, settings: CatalogueSettings) -> tuple[list[str], Iterator[Row]]:
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
            _fail(path, f"this is not valid Parquet: {error}", "export the catalogue again")


def _frame(frame: Any) -> tuple[list[str], Iterator[Row]]:
    """Read a pandas or a polars frame by its columns."""
    columns = [str(name) for name in frame.columns]

    def rows() -> Iterator[Row]:  # only once the columns are known to differ
        values = [frame[name].to_list() for name in frame.columns]
        for number, cells in enumerate(zip(*values, strict=True), 1):
            yield number, dict(zip(columns, cells, strict=True))

    return columns, rows()


READERS: Final[Mapping[str, Callable[[Path, CatalogueSettings], tuple[list[str], Iterator[Row]]]]] = {
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
        _fail(path, f"the file is not {encoding.removesuffix('-sig')} text: {told}", NAME_ENCODING, _line_of_bad_bytes(path, encoding))
    except UnicodeError as error:  # UTF-16 without its mark
        _fail(path, f"the file is not {encoding} text: {error}", NAME_ENCODING)


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
def _reading(path: Path) -> Iterator[None]:
    """Turn what the operating system and the decompressors raise into CatalogueErrors."""
    try:
        yield
    except (OSError, EOFError, zlib.error, RecursionError) as error:
        problem, mend = next((problem, mend) for kind, problem, mend in UNREADABLE if isinstance(error, kind))
        _fail(path, problem.format(getattr(error, "strerror", None) or error), mend)


def _binary(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _encoding(path: Path, settings: CatalogueSettings) -> str:
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
            _fail(path, f"the file is no text but {kind}", mend)
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


def _fail(path: Path | str, problem: str, mend: str, line: int | None = None) -> NoReturn:
    raise CatalogueError(problem, mend=mend, where=f"{path}:{line}" if line else str(path))
