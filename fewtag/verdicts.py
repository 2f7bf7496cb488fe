"""What people have said of single products, which outweighs whatever a model says of just these, and what became of each label.

The trap: a label is of a product's id and text together, or of a text alone, and either may have changed since the last training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from fewtag.core import Label, Product
from fewtag.label_file import id_of_text
from fewtag.labels import Standing, contradict
from fewtag.models import Probabilities
from fewtag.models.calibrate import TINY, log_softmax
from fewtag.taxonomy import Taxonomy

Fate = Literal["heeded", "waiting", "outvoted", "earlier text", "category gone", "taken back"]

A_PERSONS_WORD: Final = 50.0
"""What a label is worth in log-odds: more than any model says."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What people have said of single products: the class that each has, and the classes that it has not.

    A product is known by its id and text together; what was said of its text alone counts where that does not contradict it.
    """

    has: dict[str, int] = field(default_factory=dict)
    has_not: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, products: Sequence[Product], labels: Sequence[Label], taxonomy: Taxonomy) -> Verdicts:
        """Gather labels; a negative one of an inner category denies all classes below it."""
        keys = {product.id: _key(product) for product in products}
        said = cls()
        for label in labels:
            if not label.negative:
                said.has[keys[label.product_id]] = taxonomy.index[label.category]
            elif label.category in taxonomy:
                below = (label.category, *taxonomy.descendants(label.category))
                said.has_not.setdefault(keys[label.product_id], []).extend(taxonomy.index[each] for each in below if each in taxonomy.index)
        return said

    def __call__(self, products: Sequence[Product], probabilities: Probabilities) -> Probabilities:
        """Return probabilities, (n, n_classes), that what people said of the very products outweighs; the others' stay as they are."""
        if not self.has and not self.has_not:
            return probabilities
        heard = probabilities.copy()
        for row, product in enumerate(products):
            is_, is_not = self._said_of(product)
            if is_ is not None or is_not:
                said = np.log(heard[row : row + 1] + np.float32(TINY))
                said[:, list(is_not)] -= np.float32(A_PERSONS_WORD)
                if is_ is not None:
                    said[:, is_] += np.float32(A_PERSONS_WORD)
                heard[row] = np.exp(log_softmax(said))
        return heard

    def settle(self, product: Product) -> bool:
        """Return whether people have said what a product is, so that no model decides.

        >>> Verdicts({_key(Product("1", "Earl Grey")): 0}).settle(Product("1", "Earl Grey"))
        True
        """
        return bool(self.has) and self._said_of(product)[0] is not None

    def _said_of(self, product: Product) -> tuple[int | None, set[int]]:
        """Return the class that people say a product has, and those that it has not."""
        own, text = _key(product), _key(Product(id_of_text(product.text), product.text))
        is_, is_not = self.has.get(own), set(self.has_not.get(own, ()))
        if is_ is None and self.has.get(text) not in is_not:
            is_ = self.has.get(text)
        return is_, is_not | (set(self.has_not.get(text, ())) - {is_})


@dataclass(frozen=True, slots=True)
class LabelFate:
    """A label, when it was given, and what became of it; `at` is empty where the ledger has it no more.

    It is `heeded`, `waiting` for a training, `outvoted` by a newer label, or by one of the product where it is of its text alone, of an
    `earlier text` of the product, of a `category gone` from the taxonomy, or `taken back` since the last training, which still heeds it.
    """

    label: Label
    at: str
    fate: Fate


def fates_of(product: Product, learnt: Sequence[tuple[Label, str]], standing: Standing, taxonomy: Taxonomy) -> Iterator[LabelFate]:
    """Yield the labels of a product, and of its text alone; `learnt` are those of the last training, each with its text."""
    names = (product.id, id_of_text(product.text))
    known = [label for label, text in learnt if label.product_id in names and text == product.text]
    own = [label for label in known if label.product_id == product.id]
    heeded = [label for label in known if label in own or not any(contradict(label, other, taxonomy) for other in own)]
    rows = [row for row in standing.held if row.label.product_id in names]
    ranked = sorted(rows, key=lambda row: (row.label.product_id == product.id, row.seq))  # what counts before the others comes last
    for row in rows:
        fate: Fate = "waiting"
        if row.label.category not in (taxonomy if row.label.negative else taxonomy.index):
            fate = "category gone"
        elif any(_same(row.label, label) for label in heeded):
            fate = "heeded"
        elif any(contradict(row.label, other.label, taxonomy) for other in ranked[ranked.index(row) + 1 :]):
            fate = "outvoted"
        elif row.text != product.text:
            fate = "earlier text"
        yield LabelFate(row.label, row.at, fate)
    for label in heeded:
        if not any(_same(row.label, label) for row in rows):
            yield LabelFate(label, "", "taken back")


def _same(one: Label, other: Label) -> bool:
    return (one.category, one.negative) == (other.category, other.negative)


def _key(product: Product) -> str:
    return f"{product.id}\0{product.text}"
