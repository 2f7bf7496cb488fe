"""Reads gold, the truth of an evaluation, from a file as labels come in. The trap: gold that people disagree on is none, and left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from fewtag.core import Label, Product
from fewtag.errors import LabelError
from fewtag.label_file import label_rows, with_texts
from fewtag.labels import contradict
from fewtag.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Gold:
    """Products, and the category that each truly has; None for one that belongs nowhere.

    `contradicted` is how many products were left out as their sources contradict each other, and `denied` how many as nothing is said
    but what they are not. `strangers` of the products are not in the catalogue.
    """

    products: tuple[Product, ...]
    categories: tuple[str | None, ...]
    contradicted: int = 0
    denied: int = 0
    strangers: int = 0


def read_gold(path: Path, taxonomy: Taxonomy, catalogue: Iterable[Product] | None, id_column: str | None = None) -> Gold:
    """Read a file as `read_labels` does, in which a row without a category says that the product belongs nowhere.

    Raises LabelError, or CatalogueError where the file cannot be read, with file, line, value and mend.
    """
    labels, strangers = with_texts(path, label_rows(path, taxonomy, "gold", id_column, nowhere=True), catalogue, taxonomy)
    texts = {label.product_id: text for label, text in labels}
    said: dict[str, list[Label]] = {}
    for label, _ in labels:
        said.setdefault(label.product_id, []).append(label)
    known: dict[str, str | None] = {}
    contradicted = denied = 0
    for product_id, of_product in said.items():
        if any(contradict(one, other, taxonomy) for one, other in combinations(dict.fromkeys(of_product), 2)):
            contradicted += 1
        elif positive := [label for label in of_product if not label.negative]:
            known[product_id] = positive[0].category or None
        else:
            denied += 1
    if not known:
        mend = "give gold that sources agree on, and that says what products are"
        raise LabelError("no product is left to be evaluated", mend=mend, where=path)
    products = tuple(Product(each, texts[each]) for each in known)
    return Gold(products, tuple(known.values()), contradicted, denied, len(strangers & known.keys()))
