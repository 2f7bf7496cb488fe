"""Makes products of rows: of a catalogue's file, or of the lists and frames of Python, through one mapping of columns.

The trap: an id or a text that is missing, or there twice, is found here, at its line, rather than in the ledger.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from fewtag.catalogue_file import EXPORT_AGAIN, Columns, Row, fail, read_rows, reading
from fewtag.core import Product
from fewtag.errors import CatalogueError, did_you_mean

T = TypeVar("T")

ID_COLUMNS: Final = ("id", "sku", "product_id", "productid", "asin", "handle", "商品id", "编号")
TEXT_COLUMNS: Final = ("title", "name", "text", "product_name", "product_title", "product", "商品名称", "标题", "名称", "商品")
SEPARATORS: Final = ".,;:|/-"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HTML_TAG: Final = re.compile(
    r"</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|small|span|strong|sub|sup|table|tbody|td|th|tr|u|ul)(?:\s[^<>]*=[^<>]*)?\s*/?>", re.I
)
_SEPARATOR_RUN: Final = re.compile(r"[.,;:|/-](?:\s*[.,;:|/-])+")


def read_catalogue(settings: Columns, base: Path = Path()) -> Iterator[Product]:
    """Yield the products of a file, one by one; a relative `file` is looked up from `base`.

    Raises CatalogueError, with file and line, at the first row that cannot become a product.
    """
    path = base / settings.file
    with reading(path):
        columns, rows = read_rows(settings, base)
        yield from _products(columns, rows, settings, str(path))


def has_ids(source: Any, settings: Columns) -> bool:
    """Return whether what `as_products` takes has ids of its own; where not, places in it stand for them."""
    if isinstance(source, str | Path):
        return _id_column(read_rows(replace(settings, file=str(source)))[0], settings) is not None
    if hasattr(source, "columns"):
        return _id_column([str(name) for name in source.columns], settings) is not None
    return all(isinstance(each, Product) for each in source)


def as_products(source: Any, settings: Columns | None = None) -> list[Product]:
    """Make products of a list of texts or products, a pandas or polars frame, or the path of a file.

    Texts get the ids "0", "1", ... Raises CatalogueError as `read_catalogue` does, and for anything else given.
    """
    if isinstance(source, str | Path):
        return list(read_catalogue(replace(settings or Columns(), file=str(source))))
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        columns, rows = _frame(source)
        return list(_products(columns, rows, settings or Columns(), "the frame"))
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
        check_letters(given, f"product '{product.id}'")
        if product.id in seen:
            raise CatalogueError(f"the id '{product.id}' is there twice", mend="give each product an id of its own")
        seen.add(product.id)
    return products


def read_products(source: Any, settings: Columns) -> Iterator[Product] | list[Product]:
    """Give what `as_products` takes one by one where it is a file, which may be larger than memory, else as a list."""
    if isinstance(source, str | Path):
        return read_catalogue(replace(settings, file=str(source)))
    return as_products(source, settings)


def bare_products(source: Any, settings: Columns) -> list[Product]:
    """List products without their columns, which no model reads and which are most of a large catalogue's memory.

    Raises CatalogueError where there are none.
    """
    nothing: dict[str, str] = {}
    bare = [Product(product.id, product.text, nothing) for product in read_products(source, settings)]
    if not bare:
        raise CatalogueError("there are no products", mend="give at least one")
    return bare


def unique_texts(products: Sequence[Product]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct texts in the order seen, and the place of each product's text among them, (n,).

    >>> texts, place = unique_texts([Product("1", "tea"), Product("2", "jam"), Product("3", "tea")])
    >>> texts, place.tolist()
    (['tea', 'jam'], [0, 1, 0])
    """
    places: dict[str, int] = {}
    place = np.array([places.setdefault(product.text, len(places)) for product in products], dtype=np.int64)
    return list(places), place


def sampled(items: Sequence[T], count: int) -> Sequence[T]:
    """Take every so many-th item, at most `count`: a catalogue is often sorted by category.

    >>> list(sampled("abcdefg", 3))
    ['a', 'd', 'g']
    """
    return items[:: max(1, -(-len(items) // max(count, 1)))]


def clean(text: str) -> str:
    """Tidy a rendered text: no entities, no HTML tags, one blank where there is white space, no separators that an empty column left.

    >>> clean("<b>Salt &amp; vinegar</b> crisps . ,  6x25g. ")
    'Salt & vinegar crisps, 6x25g'
    """
    text = _SEPARATOR_RUN.sub(_last_if_a_word_ends, _HTML_TAG.sub(" ", html.unescape(text)))
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


def _products(columns: Sequence[str], rows: Iterable[Row], settings: Columns, source: str) -> Iterator[Product]:
    """Turn rows into products, and refuse the first one that has no id, an id seen before, or no text."""
    rows = iter(rows)
    columns = [name for name in columns if name]  # exports leave nameless columns behind, for a row's number or for nothing
    repeated = next((name for place, name in enumerate(columns) if name in columns[:place]), None)
    if repeated is not None:
        fail(source, f"two columns are called '{repeated}'", "rename one of them", 1)
    id_of = _id_reader(columns, settings, source)
    text_of = _text_reader(columns, settings, source)
    if settings.image:
        _known(settings.image, columns, settings, source)
    seen: dict[str, int] = {}
    for line, row in rows:
        fields = {name: text_of_value(value) for name, value in row.items() if name}
        check_letters(fields, source, line)
        product_id = id_of(fields, len(seen) + 1)
        if not product_id:
            fail(source, "a product has no id", "give it one, or delete the row", line)
        if product_id in seen:
            fail(
                source,
                f"the id '{product_id}' is there twice (first at line {seen[product_id]})",
                "give each product an id of its own",
                line,
            )
        seen[product_id] = line
        text = text_of(fields, line)
        if not text:
            others = sum(not text_of({name: text_of_value(value) for name, value in other.items() if name}, place) for place, other in rows)
            said = f" (nor have {others} further products)" if others else ""
            fail(source, f"product '{product_id}' has no text{said}", "fill the columns that `text` names, or delete the row", line)
        yield Product(product_id, text, fields, (settings.image and fields[settings.image]) or None)
    if not seen:
        fail(source, "the catalogue has no rows", EXPORT_AGAIN)


def _id_column(columns: Sequence[str], settings: Columns) -> str | None:
    return settings.id or next((name for name in columns if plain_name(name) in ID_COLUMNS), None)


def _id_reader(columns: Sequence[str], settings: Columns, source: str) -> Callable[[Mapping[str, str], int], str]:
    """Return what reads a row's id; where no column is named and none looks like one, the row's number is its id."""
    column = _id_column(columns, settings)
    if column is None:
        return lambda _, number: str(number)
    _known(column, columns, settings, source)
    return lambda fields, _: fields[column].strip()


def _text_reader(columns: Sequence[str], settings: Columns, source: str) -> Callable[[Mapping[str, str], int], str]:
    """Return what reads a row's text: the template of the settings, or the first column that is called like a title."""
    if settings.text is None:
        by_name = {plain_name(name): name for name in reversed(columns)}
        column = next((by_name[name] for name in TEXT_COLUMNS if name in by_name), None)
        if column is None:
            mend = f'set `catalogue: {{text: "{{{{ column }}}}"}}` over {", ".join(columns)}'
            fail(source, "no column is called like a title", mend, 1)
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


def plain_name(column: str) -> str:
    """Write a column's name as the lists of known names do.

    >>> plain_name(" Product-Name")
    'product_name'
    """
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _known(column: str, columns: Sequence[str], settings: Columns, source: str, written: Callable[[str], str] = str) -> None:
    """Raise CatalogueError where there is no such column; `written` is how the nearest one would be written in its place."""
    if column in columns:
        return
    mend = did_you_mean(column, columns, f"the columns are {', '.join(columns)}", written)
    raise CatalogueError(f"{Path(source).name} has no column '{column}'", mend=mend, where=settings.where or source)


def check_letters(fields: Mapping[str, str], source: str, line: int | None = None) -> None:
    """Refuse what no store and no model takes: NUL, and the half of an emoji that JSON can hold."""
    together = "\n".join(fields.values())
    if "\0" not in together and (together.isascii() or not _SURROGATE.search(together)):
        return
    name, value = next((name, value) for name, value in fields.items() if "\0" in value or _SURROGATE.search(value))
    held = "a NUL byte" if "\0" in value else "half of a character"
    fail(source, f"'{name}' holds {held}", f"delete it, or {EXPORT_AGAIN}", line)


def text_of_value(value: Any) -> str:
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
        return ", ".join(map(text_of_value, value))
    if isinstance(value, bytes):  # Parquet columns that were not marked as text
        return value.decode(errors="replace")
    text = str(value)
    return "" if text in ("<NA>", "NaT") else text


def _frame(frame: Any) -> tuple[list[str], Iterator[Row]]:
    """Read a pandas or a polars frame by its columns."""
    columns = [str(name) for name in frame.columns]

    def rows() -> Iterator[Row]:  # only once the columns are known to differ
        values = [frame[name].to_list() for name in frame.columns]
        for number, cells in enumerate(zip(*values, strict=True), 1):
            yield number, dict(zip(columns, cells, strict=True))

    return columns, rows()
