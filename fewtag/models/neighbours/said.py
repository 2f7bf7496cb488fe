"""What people said of a catalogue, text by text: labels of products become votes of the texts that those products have.

The trap: a label names a product, but products share texts. A text with two labels votes for both by halves; a product that is labelled
not to be something stays barred from it, whatever its text's other products are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.taxonomy import Taxonomy

Rows = npt.NDArray[np.int64]
WORDS: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Said:
    """A catalogue's distinct texts and who speaks for which class.

    `ids` (n_products), `place` (n_products,) is each product's row among `texts`, `first` each row's first product. `rows` are the
    labelled rows, ascending, `votes` their signed votes, CSR float32 (n_labelled, n_classes), `owner` the one class of each, or -1,
    `speaker` the product that has the label. `labelled` (n_products,) is which have a positive label; row r's products are
    `by_row[starts[r]:starts[r + 1]]`. `forbidden` is what a folded text, or "#" and a product's id, may not
    be, and `row_bars` the same by row.
    """

    ids: list[str]
    texts: list[str]
    place: Rows
    first: Rows
    rows: Rows
    votes: Any
    owner: Rows
    speaker: list[str]
    labelled: npt.NDArray[np.bool_]
    by_row: Rows
    starts: Rows
    forbidden: dict[str, list[int]]
    row_bars: dict[int, list[int]]

    def open_rows(self) -> Rows:
        """Return the rows that have a product without a positive label."""
        return np.unique(self.place[~self.labelled])

    def owner_of(self, rows: Rows) -> Rows:
        """Return the one class that each row is labelled with itself, or -1."""
        if not len(self.rows):
            return np.full(len(rows), -1)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[at] == rows, self.owner[at], -1)

    def open_products(self, row: int) -> Rows:
        """Return the products of a row that have no positive label."""
        mine = self.by_row[self.starts[row] : self.starts[row + 1]]
        return mine[~self.labelled[mine]]

    def barred(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return where among `rows`, and for which class, a text is labelled not to be something: two arrays of one length."""
        pairs = [(at, column) for at, row in enumerate(rows) for column in self.row_bars.get(int(row), ())] if self.row_bars else []
        found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]


def fold(text: str) -> str:
    """Return what is left of a text when letter case, width and punctuation are taken away; the text itself where that is nothing.

    >>> fold("Earl-Grey  TEA, 100 ct."), fold("！")
    ('earl grey tea 100 ct', '！')
    """
    plain = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(WORDS.findall(plain)) or text


@dataclass(frozen=True, slots=True)
class Count:
    """The labels counted: `votes` and `speakers` (the first product with a label) by row, `no` by row, and by "#" and a product's id."""

    votes: dict[tuple[int, int], float]
    speakers: dict[int, str]
    no: dict[int, set[int]]
    no_of_product: dict[str, set[int]]


def gather(taxonomy: Taxonomy, products: Sequence[Product], labels: Sequence[Label]) -> Said:
    """Bring products and labels together; raises ModelError for a positive label of a category that is not assignable."""
    texts, place = _distinct(products)
    count = _count(taxonomy, labels, {product.id: int(row) for product, row in zip(products, place, strict=True)})
    rows = np.unique([row for row, _ in count.votes]).astype(np.int64)
    votes = _matrix(count.votes, rows, len(taxonomy.classes))
    positive = {label.product_id for label in labels if not label.negative}
    by_row = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(texts)))])
    return Said(
        ids=[product.id for product in products],
        texts=texts,
        place=place,
        first=by_row[starts[:-1]],
        rows=rows,
        votes=votes,
        owner=_owner(votes),
        speaker=[count.speakers.get(int(row), "") for row in rows],
        labelled=np.array([product.id in positive for product in products], dtype=np.bool_),
        by_row=by_row,
        starts=starts,
        forbidden={key: sorted(columns) for key, columns in count.no_of_product.items()}
        | {fold(texts[row]): sorted(columns) for row, columns in count.no.items() if columns},
        row_bars={row: sorted(columns) for row, columns in count.no.items() if columns},
    )


def _distinct(products: Sequence[Product]) -> tuple[list[str], Rows]:
    """Return the first of each group of texts that fold to the same, and each product's row among them, (n_products,)."""
    rows: dict[str, int] = {}
    texts: list[str] = []
    place = np.empty(len(products), dtype=np.int64)
    for number, product in enumerate(products):
        place[number] = rows.setdefault(fold(product.text), len(texts))
        if place[number] == len(texts):
            texts.append(product.text)
    return texts, place


def _count(taxonomy: Taxonomy, labels: Sequence[Label], row_of: Mapping[str, int]) -> Count:
    """Sum up what labels say of each row; a row is barred from what more of them deny than affirm."""
    count = Count({}, {}, {}, {})
    for label in labels:
        columns = _columns(taxonomy, label)
        if label.negative:
            count.no_of_product.setdefault(f"#{label.product_id}", set()).update(columns)
        if (row := row_of.get(label.product_id)) is None:
            continue
        for column in columns:
            count.votes[row, column] = count.votes.get((row, column), 0.0) + (-label.weight if label.negative else label.weight)
        if label.negative:
            count.no.setdefault(row, set()).update(columns)
        else:
            count.speakers.setdefault(row, label.product_id)
    for (row, column), vote in count.votes.items():
        if vote > 0:
            count.no.get(row, set()).discard(column)
    return count


def _matrix(votes: dict[tuple[int, int], float], rows: Rows, n_classes: int) -> Any:
    """Return the votes as CSR (n_labelled, n_classes), a row's positive ones together 1 at most, each negative one -1 at least."""
    from scipy import sparse

    places = np.array(list(votes), dtype=np.int64).reshape(-1, 2)
    values = np.array(list(votes.values()), dtype=np.float32)
    matrix = sparse.csr_matrix((values, (np.searchsorted(rows, places[:, 0]), places[:, 1])), shape=(len(rows), n_classes))
    shares = (1 / np.maximum(_positive(matrix), 1)).astype(np.float32)
    matrix = sparse.csr_matrix(sparse.diags_array(shares) @ matrix)
    matrix.data = np.maximum(matrix.data, -1)
    return matrix


def _owner(votes: Any) -> Rows:
    """Return the class that has more than half of a row's positive votes, or -1."""
    if not votes.shape[0]:
        return np.empty(0, dtype=np.int64)
    best, most = np.asarray(votes.argmax(axis=1)).ravel(), votes.max(axis=1).toarray().ravel()
    return np.where((most > 0) & (2 * most > _positive(votes)), best, -1).astype(np.int64)


def _positive(votes: Any) -> npt.NDArray[np.float32]:
    return np.asarray(votes.maximum(0).sum(axis=1)).ravel()


def _columns(taxonomy: Taxonomy, label: Label) -> list[int]:
    """Return the columns that a label speaks of: its category's, and for a negative one those of all below it."""
    index = taxonomy.index
    below = taxonomy.descendants(label.category) if label.negative and label.category in taxonomy else ()
    columns = [index[category] for category in (label.category, *below) if category in index]
    if not columns:
        mend = "label with an id of `classes_`"
        raise ModelError(f"product '{label.product_id}' is labelled '{label.category}', which is no assignable category", mend=mend)
    return columns
