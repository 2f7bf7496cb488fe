"""An audit of spread tags: draws some, reads back what a person answers (y, n or the right category), and says what that tells of all.

The trap: an audit is a random sample, and its precision holds for what was spread only while every row of it counts once. So a product that
is there twice refuses the file, and rows without an answer are counted, for whoever leaves out the hard ones makes the rest look better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from fewtag.catalogue import check_letters, clean, text_of_value
from fewtag.catalogue_file import Columns, read_rows, reading
from fewtag.core import Label, Product
from fewtag.errors import FewtagError, LabelError
from fewtag.labels import category_of
from fewtag.tag_file import SPREAD_COLUMNS
from fewtag.taxonomy import Taxonomy

Item = TypeVar("Item")
ANSWER: Final = SPREAD_COLUMNS[-1]
AUDITED: Final = "fill in a file that `fewtag propagate --audit N` wrote"
NEEDED: Final = ("product_id", "category", ANSWER)
WORDS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("y", "yes", "1", "true", "是", "对"), True),
    **dict.fromkeys(("n", "no", "0", "false", "否", "不", "错"), False),
}
"""What counts as yes and as no; an x would be a tick to some and a cross to others."""


@dataclass(frozen=True, slots=True)
class Audit:
    """How many spread tags a person found right, of how many answered, how many rows are open, and the answers as labels with texts.

    Yes is a label of the category that was spread, no a negative one, a category a label of that; labels follow the file.
    """

    right: int
    answered: int
    unanswered: int
    labels: tuple[tuple[Label, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: the product, its text in the file, the category that was spread and the answer, both as they are written there."""

    line: int
    product_id: str
    text: str
    category: str
    answer: str


def read_answers(path: Path, taxonomy: Taxonomy, catalogue: Iterable[Product] | None, source: str) -> Audit:
    """Return the answers of a file that `fewtag propagate --audit` wrote and a person filled in, as said by `source`.

    The catalogue is read once and gives the texts; None stands for none, and then the file's texts count.
    Raises LabelError, or CatalogueError where the file cannot be read, with file, line, value and mend.
    """
    if not path.exists():
        raise LabelError("there is no such file", mend="name the file with the answers", where=path)
    with reading(path):
        rows = list(_rows(path))
    answered = [row for row in rows if row.answer]
    if not answered:
        raise LabelError("no row has an answer", mend=f"write y, n or the right category into its column '{ANSWER}'", where=path)
    _check_once(path, rows)
    wanted = {row.product_id for row in answered}
    texts = None if catalogue is None else {product.id: product.text for product in catalogue if product.id in wanted}
    labels, right = [], 0
    for row in answered:
        if not (text := row.text if texts is None else texts.get(row.product_id, "")):
            mend = "leave the ids as the audit wrote them"
            raise LabelError(f"there is no product '{row.product_id}' in the catalogue", mend=mend, where=f"{path}:{row.line}")
        label, is_right = _understood(path, row, taxonomy, source)
        labels.append((label, text))
        right += is_right
    return Audit(right, len(answered), len(rows) - len(answered), tuple(labels))


def _rows(path: Path) -> Iterator[Answer]:
    columns, rows = read_rows(Columns(file=str(path)), empty=AUDITED)
    if missing := [name for name in NEEDED if name not in columns]:
        problem = f"there is no column '{missing[0]}'"
        raise LabelError(problem, mend=f"{AUDITED}, and keep its columns", where=f"{path}:1")
    for line, cells in rows:
        cell: dict[str, Any] = {name: text_of_value(cells.get(name)).strip() for name in (*NEEDED, "text")}
        check_letters(cell, str(path), line)
        if not cell["product_id"]:
            raise LabelError("the row names no product", mend="give its id back, or delete the row", where=f"{path}:{line}")
        yield Answer(line, cell["product_id"], clean(cell["text"]), cell["category"], cell[ANSWER])


def _check_once(path: Path, rows: Iterable[Answer]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if (earlier := first.setdefault(row.product_id, row.line)) != row.line:
            problem = f"product '{row.product_id}' is there twice (first at line {earlier})"
            raise LabelError(problem, mend="delete one of the two rows", where=f"{path}:{row.line}")


def _understood(path: Path, row: Answer, taxonomy: Taxonomy, source: str) -> tuple[Label, bool]:
    """Return an answer as a label, and whether the tag was right."""
    where, word = f"{path}:{row.line}", WORDS.get(row.answer.casefold())
    try:
        spread = category_of(row.category, taxonomy)
    except FewtagError as error:
        raise LabelError(error.problem, mend="leave the categories as the audit wrote them", where=where) from error
    if word is not None:
        return Label(row.product_id, spread, source, negative=not word), word
    try:
        category = category_of(row.answer, taxonomy)
    except FewtagError as error:
        raise LabelError(
            f"'{ANSWER}' holds '{row.answer}': {error.problem}", mend=f"write y, n or a category: {error.mend}", where=where
        ) from error
    return Label(row.product_id, category, source), category == spread


def audit_sample(spreads: Sequence[Item], n: int, seed: int = 0) -> list[Item]:
    """Draw n of what was spread, or all where there are fewer, evenly and in their own order, for a person to look at.

    >>> len(audit_sample(range(100), 10, seed=1)), audit_sample("ab", 10)
    (10, ['a', 'b'])
    """
    drawn = np.random.default_rng(seed).choice(len(spreads), min(n, len(spreads)), replace=False)
    return [spreads[place] for place in sorted(drawn)]
