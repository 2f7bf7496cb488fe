"""Measures of categories as such, wherever they lie: accuracy and F1. The trap: an abstention (None) is wrong, and no category's fault."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt


def accuracy(tags: Sequence[str | None], gold: Sequence[str]) -> float:
    """Return the share of products whose category is the gold one.

    >>> accuracy(["tea", None], ["tea", "jam"])
    0.5
    """
    return sum(tag == truth for tag, truth in zip(tags, gold, strict=True)) / max(len(gold), 1)


def macro_f1(tags: Sequence[str | None], gold: Sequence[str]) -> float:
    """Return the mean over the gold's categories of the harmonic mean of precision and recall; rare ones count as much as frequent ones.

    >>> macro_f1(["tea", "tea", "tea"], ["tea", "tea", "jam"])
    0.4
    """
    return _f1(tags, gold, "macro")


def weighted_f1(tags: Sequence[str | None], gold: Sequence[str]) -> float:
    """Return the mean of the categories' F1, each weighted by how many products have it as gold.

    >>> weighted_f1(["tea", "tea", "tea"], ["tea", "tea", "jam"]).__round__(4)
    0.5333
    """
    return _f1(tags, gold, "weighted")


def f1_means(said: npt.NDArray[np.int64], gold: npt.NDArray[np.int64], size: int) -> tuple[float, float]:
    """Return macro- and weighted F1 from columns below `size`, (n,) each; -1 in `said` is an abstention.

    They are scikit-learn's figures from counts alone, a hundred times as fast: an interval asks for them a thousand times.

    >>> f1_means(np.array([0, 0, 0]), np.array([0, 0, 1]), 2)
    (0.4, 0.5333333333333333)
    """
    right, said_count, true = (np.bincount(each, minlength=size) for each in (gold[said == gold], said[said >= 0], gold))
    f1 = 2 * right / np.maximum(said_count + true, 1)
    return float(f1[true > 0].mean()) if len(gold) else 0.0, float(f1 @ true / max(len(gold), 1))


def example_f1(tags: Sequence[Collection[str]], gold: Sequence[Collection[str]]) -> float:
    """Return the mean over products of F1 between the categories said and true, for products that may have several.

    Nothing said of a product that has nothing is right, F1 1 (Tsoumakas and Katakis 2007, "example-based" measures).

    >>> example_f1([{"tea", "gifts"}, {"jam"}], [{"tea"}, {"jam"}]).__round__(4)
    0.8333
    """
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    pairs = list(zip(map(set, tags), map(set, gold), strict=True))
    if not pairs:
        return 0.0
    known = MultiLabelBinarizer(sparse_output=True).fit([said | true for said, true in pairs])
    if not len(known.classes_):
        return 1.0
    said, true = (known.transform(each) for each in zip(*pairs, strict=True))
    return float(f1_score(true, said, average="samples", zero_division=1.0))


def _f1(tags: Sequence[str | None], gold: Sequence[str], average: Literal["macro", "weighted"]) -> float:
    from sklearn.metrics import f1_score

    pairs = [(tag or "", truth) for tag, truth in zip(tags, gold, strict=True)]  # no id is empty, so none is mistaken for an abstention
    if not pairs:
        return 0.0
    true = [truth for _, truth in pairs]
    return float(f1_score(true, [tag for tag, _ in pairs], labels=sorted(set(true)), average=average, zero_division=0.0))
