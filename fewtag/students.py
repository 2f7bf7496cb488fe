"""Tags that fewtag is sure of, as labels that a classifier may learn from: a noisy student (Xie et al. 2020), never counted as gold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from fewtag.catalogue import sampled
from fewtag.core import Label, Product, Tag

SURE: Final = 0.9
PER_LABEL: Final = 3
"""How many tags may be learnt from, for each label."""


def students(
    tags: Iterable[Tag], catalogue: Sequence[Product], labels: Sequence[Label], classes: Collection[str], weight: float
) -> list[tuple[Product, Label]]:
    """Return products without a label whose tag is sure, each with that as a label of a weight.

    >>> tags = [Tag("1", "tea", 0.95, "zero-shot"), Tag("2", "tea", 0.5, "zero-shot"), Tag("3", "tea", 1.0, "zero-shot")]
    >>> tags.append(Tag("4", "tea", 1.0, "label"))
    >>> products = [Product(str(number), f"text {number}") for number in (1, 2, 3, 4)]
    >>> [(product.id, label.weight) for product, label in students(tags, products, [Label("3", "tea", "ann")], {"tea"}, 0.3)]
    [('1', 0.3)]
    """
    labelled, products = {label.product_id for label in labels}, {product.id: product for product in catalogue}
    sure = [
        (products[tag.product_id], Label(tag.product_id, tag.category, "fewtag", weight=weight))
        for tag in tags
        if tag.category
        and tag.stage != "label"  # one that was taken back since is nobody's word any more
        and tag.category in classes
        and tag.confidence >= SURE
        and tag.product_id in products
        and tag.product_id not in labelled
    ]
    return list(sampled(sure, PER_LABEL * len(labelled)))
