"""Reads products: CSV, JSON lines and Parquet files as streams, and the lists and frames of Python, all through one mapping of columns.

The trap: a CSV file whose quote is never closed swallows the rest of the catalogue without a word; the limit on a cell catches it.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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

Row = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CatalogueSettings:
    """Where the products are and which columns say what; `text` is a jinja2 template over the columns, `where` is for errors."""

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
    reader = next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)
    if reader is None:
        _fail(path, f"'{path.name}' is of no known kind", f"name a file that ends in {', '.join(READERS)}")
    if path.is_dir():
        _fail(path, "this is a folder", "name the catalogue's file within it")
    try:
        if not path.stat().st_size:
            _fail(path, "the file is empty", "export the catalogue again")
    except FileNotFoundError:
        _fail(path, "there is no such catalogue", "set `catalogue: {file: ...}`, or name one with --catalogue")
    columns, rows = reader(path, settings)
    yield from _products(columns, rows, settings, str(path))


def as_products(source: Any, settings: CatalogueSettings | None = None) -> list[Product]:
    """Make products of a list of texts or products, a pandas or polars frame, or the path of a file.

    Texts get the ids "0", "1", ... Raises CatalogueError as `read_catalogue` does, and for anything else given.
    """
    if isinstance(source, str | Path):
        return list(read_catalogue(replace(settings or CatalogueSettings(""), file=str(source))))
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        columns, rows = _frame(source)
        return list(_products(columns, rows, settings or CatalogueSettings(""), "the frame"))
    products = [item if isinstance(item, Product) else Product(str(number), item) for number, item in enumerate(source)]
    for product in products:
        if not isinstance(product.text, str):
            problem = f"product '{product.id}' has a {type(product.text).__name__} for its text"
            raise CatalogueError(problem, mend="give texts, products, a frame or a path")
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
    text = " ".join(html.unescape(text).split())
    text = re.sub(r"\s+([.,;:])", r"\1", text)
    text = re.sub(r"([.,;:|/-])(?:\s*[.,;:|/-])+(?=\s|$)", lambda match: match.group()[-1], text)
    return text.strip(" .,;:|/-")


def _products(columns: Sequence[str], rows: Iterable[Row], settings: CatalogueSettings, source: str) -> Iterator[Product]:
    """Turn rows into products, and refuse the first one that has no id, an id seen before, or no text."""
    repeated = next((name for place, name in enumerate(columns) if name in columns[:place]), None)
    if repeated is not None:
        _fail(source, f"two columns are called '{repeated}'", "rename one of them", 1)
    id_of = _id_reader(columns, settings, source)
    text_of = _text_reader(columns, settings, source)
    if settings.image:
        _known(settings.image, columns, settings, source)
    seen: dict[str, int] = {}
    for line, row in rows:
        fields = {name: _text(value) for name, value in row.items()}
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
        text = text_of(fields)
        if not text:
            _fail(source, f"product '{product_id}' has no text", "fill the columns that `text` names, or delete the row", line)
        yield Product(product_id, text, fields, fields.get(settings.image or "") or None)
    if not seen:
        _fail(source, "the catalogue has no rows", "export the catalogue again")


def _id_reader(columns: Sequence[str], settings: CatalogueSettings, source: str) -> Callable[[Mapping[str, str], int], str]:
    """Return what reads a row's id; where no column is named and none looks like one, the row's number is its id."""
    column = settings.id or next((name for name in columns if name.lower() in ID_COLUMNS), None)
    if column is None:
        return lambda _, number: str(number)
    _known(column, columns, settings, source)
    return lambda fields, _: fields[column].strip()


def _text_reader(columns: Sequence[str], settings: CatalogueSettings, source: str) -> Callable[[Mapping[str, str]], str]:
    """Return what reads a row's text: the template of the settings, or the first column that is called like a title."""
    if settings.text is None:
        by_name = {name.lower(): name for name in columns}
        column = next((by_name[name] for name in TEXT_COLUMNS if name in by_name), None)
        if column is None:
            mend = f'set `catalogue: {{text: "{{{{ column }}}}"}}` over {", ".join(columns)}'
            _fail(source, "no column is called like a title", mend, 1)
        return lambda fields: clean(fields[column])
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    jinja = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    where = settings.where or source
    try:
        names = meta.find_undeclared_variables(jinja.parse(settings.text)) - jinja.globals.keys()
        template = jinja.from_string(settings.text)
    except TemplateSyntaxError as error:
        raise CatalogueError(f"the text template does not parse: {error.message}", mend="mend the jinja2 syntax", where=where) from None
    for name in sorted(names):
        _known(name, columns, settings, source)

    def render(fields: Mapping[str, str]) -> str:
        try:
            return clean(template.render(fields))
        except (TemplateError, TypeError, ValueError) as error:
            raise CatalogueError(f"the text template fails: {error}", mend="mend the template", where=where) from None

    return render


def _known(column: str, columns: Sequence[str], settings: CatalogueSettings, source: str) -> None:
    if column in columns:
        return
    near = difflib.get_close_matches(column, columns, n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"the columns are {', '.join(columns)}"
    raise CatalogueError(f"{Path(source).name} has no column '{column}'", mend=mend, where=settings.where or source)


def _text(value: Any) -> str:
    """Write a cell as text; what is missing is empty, and a whole number that a frame made a float is whole again."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return "" if text in ("<NA>", "NaT") else text


def _read_csv(path: Path, settings: CatalogueSettings) -> tuple[list[str], Iterator[Row]]:
    encoding = settings.encoding or _encoding_of(path)
    delimiter = settings.delimiter or ("\t" if ".tsv" in path.name.lower() else _delimiter_of(path, encoding))
    rows = _csv_rows(path, encoding, delimiter)
    _, header = next(rows)
    return header, ((line, dict(zip(header, cells, strict=True))) for line, cells in rows)


def _csv_rows(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row starts, and its cells: as many as the header has."""
    width = 0
    with _opened(path, encoding) as stream:
        csv.field_size_limit(MAX_CELL)
        rows = csv.reader(stream, delimiter=delimiter)
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
                _fail(path, f"this is not valid CSV: {error}", "export the catalogue again", line)
            if not cells:  # a blank line
                continue
            width = width or len(cells)
            if len(cells) != width:
                mend = "put a text that holds the delimiter in quotes, or name it with `delimiter:`"
                _fail(path, f"the row has {len(cells)} cells and the header {width}", mend, line)
            yield line, cells


def _read_jsonl(path: Path, settings: CatalogueSettings) -> tuple[list[str], Iterator[Row]]:
    encoding = settings.encoding or _encoding_of(path)
    with _opened(path, encoding) as stream:
        first = next((line for line in stream if line.strip()), "{}")
    columns = list(_json_object(path, first, 1))
    return columns, _jsonl_rows(path, encoding, columns)


def _jsonl_rows(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the objects; a key that the first object has and a later one lacks is empty there."""
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
    except ValueError as error:
        _fail(path, f"this is not valid JSON: {error}", "write one object on each line", line)
    if not isinstance(row, dict):
        _fail(path, "the line is no JSON object", "write one object on each line", line)
    return row


def _read_parquet(path: Path, settings: CatalogueSettings) -> tuple[list[str], Iterator[Row]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        _fail(path, f"this is not valid Parquet: {error}", "export the catalogue again")
    batches = (row for batch in file.iter_batches(batch_size=8192) for row in batch.to_pylist())
    return list(file.schema_arrow.names), enumerate(batches, 1)


def _frame(frame: Any) -> tuple[list[str], Iterator[Row]]:
    """Read a pandas or a polars frame by its columns."""
    columns = [str(name) for name in frame.columns]
    values = [frame[name].to_list() for name in frame.columns]
    return columns, ((number, dict(zip(columns, cells, strict=True))) for number, cells in enumerate(zip(*values, strict=True), 1))


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
        _fail(path, f"the file is not {encoding} text: {error.reason} in {error.object[error.start : error.start + 4]!r}", _NAME_ENCODING)
    except LookupError:
        _fail(path, f"there is no encoding '{encoding}'", _NAME_ENCODING)
    except (OSError, EOFError) as error:
        _fail(path, f"the file cannot be read: {error}", "check that it is whole and that you may read it")


_NAME_ENCODING: Final = "name the right one with `catalogue: {encoding: ...}`, for instance utf-8, gb18030 or cp1252"


def _binary(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _encoding_of(path: Path) -> str:
    """See the encoding: by the byte order mark, else UTF-8 where the file's start is that, else the best guess."""
    with _binary(path) as stream:
        sample: bytes = stream.read(SAMPLE)
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        return best.encoding if best else "cp1252"
    return "utf-8-sig"


def _delimiter_of(path: Path, encoding: str) -> str:
    """See the delimiter: the one that splits the header, and the rows like the header, into most cells."""
    with _opened(path, encoding) as stream:
        lines = stream.read(SAMPLE).splitlines()[:50]

    def cells(delimiter: str) -> int:
        csv.field_size_limit(MAX_CELL)
        counts = [len(row) for row in csv.reader(lines[:-1] or lines, delimiter=delimiter) if row]
        return counts[0] if counts and counts.count(counts[0]) * 2 >= len(counts) else 1

    return max(DELIMITERS, key=cells)


def _fail(path: Path | str, problem: str, mend: str, line: int | None = None) -> NoReturn:
    raise CatalogueError(problem, mend=mend, where=f"{path}:{line}" if line else str(path))
