"""What people have said of single products, which outweighs whatever a model says of just these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fewtag.core import Label, Product
from fewtag.label_file import id_of_text
from fewtag.models import Probabilities
from fewtag.models.calibrate import TINY, log_softmax
from fewtag.taxonomy import Taxonomy

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


def _key(product: Product) -> str:
    return f"{product.id}\0{product.text}"
