"""Turns products and labels into training examples: which text, what its label allows, how much it counts, what is held out.

The trap: one text may stand under several product ids; it counts once, and is never learnt from and held out at the same time.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.taxonomy import Taxonomy

Rows = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

ENOUGH_TO_HOLD_OUT: Final = 10
"""With fewer held-out texts than this, a figure is chance, and the labels teach more than they tell."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a label says: the product is in this category, or, `negative`, is not."""

    category: str
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts (n), each with the number of its target, (n,), and its weight, (n,). `classes` are those with a positive label, in order."""

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    targets: tuple[Target, ...]
    target: Rows
    weight: Weights

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def gold(self) -> Rows:
        """The column among `classes` that each example names, (n,); -1 where it names none alone."""
        column = {Target(category): number for number, category in enumerate(self.classes)}
        return np.array([column.get(target, -1) for target in self.targets], dtype=np.int64)[self.target]

    @property
    def hash(self) -> str:
        """The SHA-256 of all that is learnt from, in hexadecimal."""
        targets = [(target.category, target.negative) for target in self.targets]
        content = [self.classes, self.texts, targets, self.target.tolist(), self.weight.tolist()]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


class Subtrees:
    """Which of some classes lie where in the taxonomy: a mask over the classes, (n_classes,), for whatever a label may name.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites", "Tea"])
    >>> subtrees = Subtrees(taxonomy, taxonomy.classes)
    >>> subtrees.below("toys").tolist(), subtrees.allowed(Target("toys/dolls", negative=True)).tolist()
    ([True, True, False], [False, True, True])
    """

    def __init__(self, taxonomy: Taxonomy, classes: Sequence[str]) -> None:
        self._taxonomy = taxonomy
        self._row = {node: number for number, node in enumerate(taxonomy)}
        self._classes = np.array(classes, dtype=object)
        self._masks: Mask = taxonomy.reach[:, [taxonomy.index[category] for category in classes]].toarray().astype(bool)

    def below(self, category: str) -> Mask:
        """Return the classes in a category's subtree, itself included."""
        mask: Mask = self._masks[self._row[category]]
        return mask

    def allowed(self, target: Target) -> Mask:
        """Return what a target leaves possible: its own class, those below an inner category, or, negative, all others."""
        inside = self.below(target.category)
        if target.category in self._taxonomy.index:
            inside = self._classes == target.category
        return ~inside if target.negative else inside


def examples_of(taxonomy: Taxonomy, products: Sequence[Product], labels: Sequence[Label]) -> Examples:
    """Match labels with the texts of their products; labels of products that are not given are left aside.

    A label may name an inner category: it then teaches that the product is somewhere below. Left out is what teaches nothing, as no
    class with a positive label, or each, would obey it. Raises ModelError for a category that the taxonomy does not have,
    and where no label names a class.
    """
    text_of = {product.id: product.text for product in products}
    weights: dict[tuple[str, Target], float] = {}
    for label in labels:
        if label.category not in taxonomy:
            mend = "label products with ids of the taxonomy"
            raise ModelError(f"product '{label.product_id}' is labelled '{label.category}', which is no category", mend=mend)
        if label.product_id in text_of:
            key = text_of[label.product_id], Target(label.category, label.negative)
            weights[key] = max(weights.get(key, 0.0), label.weight)
    named = {target.category for _, target in weights if not target.negative}
    classes = tuple(category for category in taxonomy.classes if category in named)
    if not classes:
        raise ModelError("there is no label to fine-tune on", mend="label a few products of each category, or use the zero-shot rung")
    subtrees = Subtrees(taxonomy, classes)
    share = {target: subtrees.allowed(target).mean() for target in {target for _, target in weights}}
    kept = {key: weight for key, weight in weights.items() if share[key[1]] > 0 and (share[key[1]] < 1 or not key[1].negative)}
    targets = tuple(dict.fromkeys(target for _, target in kept))
    number = {target: place for place, target in enumerate(targets)}
    return Examples(
        classes,
        tuple(text for text, _ in kept),
        targets,
        np.array([number[target] for _, target in kept], dtype=np.int64),
        np.array(list(kept.values()), dtype=np.float32),
    )


def rarity(examples: Examples, rows: Rows) -> Weights:
    """Return how much each of the rows would count if a class weighed by the inverse root of its count, (n_rows,), 1 on average.

    >>> from fewtag import Taxonomy
    >>> labels = [Label(str(number), "tea" if number < 4 else "jam") for number in range(5)]
    >>> examples = examples_of(Taxonomy.from_paths(["Tea", "Jam"]), [Product(str(n), f"text {n}") for n in range(5)], labels)
    >>> [round(float(each), 3) for each in rarity(examples, np.arange(5))]
    [0.833, 0.833, 0.833, 0.833, 1.667]
    """
    named = examples.target[rows]
    counts = np.bincount(named, minlength=len(examples.targets))[named]
    scores = 1 / np.sqrt(counts)
    return np.asarray(scores / scores.mean(), dtype=np.float32)


def split(examples: Examples, share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the rows to learn from and the rows held out, drawn by text: from each class its share, but never its last text.

    Held out are only texts with a single label, which names a class and counts in full: a tag that is learnt from is no truth to measure
    by. None are, where that would be fewer than `ENOUGH_TO_HOLD_OUT`.
    """
    repeated = Counter(examples.texts)
    rng = np.random.default_rng(seed)
    held: list[int] = []
    gold = examples.gold
    for column in range(len(examples.classes)):
        rows = np.flatnonzero(gold == column)
        lone = [row for row in rows if repeated[examples.texts[row]] == 1 and examples.weight[row] >= 1]
        count = min(round(share * len(rows)), len(rows) - 1, len(lone))
        held += rng.permutation(lone)[:count].tolist()
    every = np.arange(len(examples))
    if len(held) < ENOUGH_TO_HOLD_OUT:
        return every, np.empty(0, dtype=np.int64)
    return np.setdiff1d(every, held), np.sort(np.array(held, dtype=np.int64))
