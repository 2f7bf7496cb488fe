"""Reads labels from a file: CSV, JSON lines or Parquet, the product by its id or its text, the category by id, path or name.

The trap: half of a file of labels is worse than none, so the first row that cannot be understood refuses the whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from fewtag.catalogue import ID_COLUMNS, TEXT_COLUMNS, check_letters, clean, plain_name, text_of_value
from fewtag.catalogue_file import Columns, read_rows, reading
from fewtag.core import Label, Product
from fewtag.errors import FewtagError, LabelError
from fewtag.labels import category_of, contradict
from fewtag.taxonomy import Taxonomy

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("product_id", *ID_COLUMNS),
    "text": TEXT_COLUMNS,
    "category": ("category", "label", "path", "类目", "分类"),
    "negative": ("negative", "not"),
    "source": ("source", "by"),
}
"""What a column of labels may be called; of several that a file has, the first one here counts."""

EMPTY: Final = "give it columns product_id and category, and a row for each label"
SHOWN_IDS: Final = 3
TRUTHS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("", "0", "false", "no", "n"), False),
    **dict.fromkeys(("1", "true", "yes", "y", "x"), True),
}


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row as the file has it, but for the category, which is an id by now; `id` or `text` may be empty, and so may gold's category."""

    line: int
    id: str
    text: str
    category: str
    negative: bool
    source: str


class LabelsRead(NamedTuple):
    """Labels of a file, each with its product's text, in the order of the file, and the ids of products that no catalogue has."""

    labels: list[tuple[Label, str]]
    strangers: set[str]


def read_labels(
    path: Path, taxonomy: Taxonomy, catalogue: Iterable[Product] | None, source: str, id_column: str | None = None
) -> LabelsRead:
    """Return the labels of a file.

    The catalogue, where there is one, is read once. It gives the text of a product that it has, and the id where a row has a text alone,
    or a title: what a column of the catalogue holds that is called like a text. A text that it has not gets an id of its own. `source` has
    said what the file does not say who said; `id_column` is what the catalogue calls its ids.
    Raises LabelError, or CatalogueError where the file cannot be read, with file, line, value and mend.
    """
    rows = label_rows(path, taxonomy, source, id_column)
    return with_texts(path, rows, catalogue, taxonomy)


def label_rows(path: Path, taxonomy: Taxonomy, source: str, id_column: str | None, *, nowhere: bool = False) -> list[LabelRow]:
    """Return the rows of a file of labels, their categories found; with `nowhere`, an empty category says that there is none.

    Raises as `read_labels` does.
    """
    if not path.exists():
        raise LabelError("there is no such file", mend="name a file of labels that is there", where=path)
    with reading(path):
        rows = list(_rows(path, taxonomy, source, id_column, nowhere))
    if not rows:
        raise LabelError("the file has no labels", mend="write one in each row", where=path)
    return rows


def with_texts(path: Path, rows: Sequence[LabelRow], catalogue: Iterable[Product] | None, taxonomy: Taxonomy) -> LabelsRead:
    """Return the rows of a file as labels, each with its product's text, found in the catalogue; raises as `read_labels` does."""
    wanted, unnamed = {row.id for row in rows}, {row.text for row in rows if not row.id}
    texts: dict[str, str] = {}
    called: dict[str, list[Product]] = {}
    for product in catalogue or ():
        if product.id in wanted:
            texts[product.id] = product.text
        for title in unnamed.intersection(titles_of(product)) if unnamed else ():
            called.setdefault(title, []).append(product)
            texts[product.id] = product.text
    labels = []
    for row in rows:
        if row.id:
            product_id, text = row.id, texts.get(row.id, row.text)
        else:
            product_id, text = _product_called(path, row, called.get(row.text, ()))
        if not text:
            mend = "write an id as the catalogue has it, or give the product's text in a column 'text'"
            _fail(path, row.line, f"there is no product '{product_id}' in the catalogue", mend)
        labels.append((Label(product_id, row.category, row.source, row.negative), text))
    _check_agreement(path, [row.line for row in rows], [label for label, _ in labels], taxonomy)
    return LabelsRead(labels, set() if catalogue is None else {label.product_id for label, _ in labels} - texts.keys())


def titles_of(product: Product) -> set[str]:
    """Return what a row without an id may call a product: its text, and what its columns hold that are called like one.

    >>> sorted(titles_of(Product("1", "Earl Grey. Ashby", {"sku": "1", "Title": "Earl  Grey", "maker": "Ashby"})))
    ['Earl Grey', 'Earl Grey. Ashby']
    """
    return {product.text, *(clean(value) for name, value in product.fields.items() if plain_name(name) in TEXT_COLUMNS)}


def _product_called(path: Path, row: LabelRow, found: Sequence[Product]) -> tuple[str, str]:
    """Return the id and the text of the product that a row without an id means; a text counts before a title."""
    meant = [product for product in found if product.text == row.text] or found
    if len({product.text for product in meant}) > 1:
        ids = ", ".join(product.id for product in meant[:SHOWN_IDS])
        _fail(path, row.line, f"several products are called '{row.text}': {ids}", "name the product by its id, in a column 'product_id'")
    return (meant[0].id, meant[0].text) if meant else (id_of_text(row.text), row.text)


def id_of_text(text: str) -> str:
    """Make an id for a product of which nothing but its text is known.

    >>> id_of_text("Earl Grey tea bags 100 ct")
    'text-e1aafc57c4c3'
    """
    return f"text-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _rows(path: Path, taxonomy: Taxonomy, source: str, id_column: str | None, nowhere: bool) -> Iterator[LabelRow]:
    columns, rows = read_rows(Columns(file=str(path)), empty=EMPTY)
    column = {what: _column(path, columns, names) for what, names in NAMES.items()}
    if id_column in columns:
        column["id"] = id_column
    if not column["category"]:
        _fail(path, 1, "no column is called like a category", f"call one of {', '.join(columns)} 'category'")
    if not column["id"] and not column["text"]:
        _fail(path, 1, "no column is called like a product's id or text", f"call one of {', '.join(columns)} 'product_id' or 'text'")
    for line, cells in rows:
        row = {what: text_of_value(cells.get(name)).strip() if name else "" for what, name in column.items()}
        check_letters(row, str(path), line)
        text = clean(row["text"])
        if not row["id"] and not text:
            _fail(path, line, "the row names no product", "give its id or its text, or delete the row")
        negative = TRUTHS.get(row["negative"].casefold())
        if not row["category"] and (negative or not nowhere):
            _fail(path, line, f"product '{row['id'] or text}' has no category", f"fill '{column['category']}', or delete the row")
        if negative is None:
            _fail(path, line, f"'{column['negative']}' holds '{row['negative']}'", "write true or false, or leave it empty")
        try:
            category = category_of(row["category"], taxonomy, negative=negative) if row["category"] else ""
        except FewtagError as error:
            _fail(path, line, error.problem, error.mend)
        yield LabelRow(line, row["id"], text, category, negative, row["source"] or source)


def _column(path: Path, columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column that is called by the first of some names, case and blanks apart."""
    for name in names:
        found = [column for column in columns if plain_name(column) == name]
        if len(found) > 1:
            _fail(path, 1, f"two columns are called '{name}'", "rename one of them")
        if found:
            return found[0]
    return None


def _check_agreement(path: Path, lines: Sequence[int], labels: Sequence[Label], taxonomy: Taxonomy) -> None:
    """Refuse a file in which a source contradicts itself: which of the two it means cannot be known."""
    said: dict[tuple[str, str], list[tuple[int, Label]]] = {}
    for line, label in zip(lines, labels, strict=True):
        earlier = said.setdefault((label.product_id, label.source), [])
        for first, other in earlier:
            if contradict(label, other, taxonomy):
                problem = f"product '{label.product_id}' is {_word(label)} here, and {_word(other)} at line {first}"
                _fail(path, line, problem, "delete one of the two rows, or say in a column 'source' who says which")
        if label not in (other for _, other in earlier):
            earlier.append((line, label))


def _word(label: Label) -> str:
    said = f"'{label.category}'" if label.category else "nowhere"
    return f"not {said}" if label.negative else said


def _fail(path: Path, line: int, problem: str, mend: str) -> NoReturn:
    raise LabelError(problem, mend=mend, where=f"{path}:{line}")
