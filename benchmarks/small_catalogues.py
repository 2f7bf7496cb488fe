"""Measures what a catalogue of few products should teach: `python benchmarks/small_catalogues.py` (five minutes on 2 cores).

The rung is fitted on draws of 5 to 320 products, once believing all that they seem to say of bias and of each other, once only as far
as their number allows (`zero_shot.ENOUGH`), and tags the same products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from product_sets import SOURCES, ProductSet, cached_encoder, load

from fewtag.models.encoder import CachedEncoder
from fewtag.models.zero_shot import rung as zero_shot

SIZES: Final = (5, 20, 80, 320)
PRODUCTS_IN_ALL: Final = 2000
WAYS: Final = {"all of it": (0, np.inf), "as far as it is large": (zero_shot.ENOUGH, zero_shot.MAX_SCALE)}


def fitted_accuracy(data: ProductSet, rows: Sequence[int], encoder: CachedEncoder) -> tuple[float, float]:
    """Return the share of right ones among the products fitted on, and the mean confidence."""
    products = [data.products[row] for row in rows]
    rung = zero_shot.ZeroShot(data.taxonomy, encoder if data.taxonomy.language == "en" else None).fit(products)
    probabilities = rung.predict_proba(products)
    gold = [data.taxonomy.index[data.gold[row]] for row in rows]
    return float((probabilities.argmax(axis=1) == gold).mean()), float(probabilities.max(axis=1).mean())


def main() -> None:
    print(f"{'set':<12} {'products':>8} {'draws':>6}" + "".join(f"  {way:>24}" for way in WAYS) + "   (accuracy, mean confidence)")
    for name in SOURCES:
        data, encoder = load(name, 6000), cached_encoder(name)
        for size in SIZES:
            draws = min(40, max(6, PRODUCTS_IN_ALL // size))
            print(f"{name:<12} {size:>8} {draws:>6}", end="", flush=True)
            for zero_shot.ENOUGH, zero_shot.MAX_SCALE in WAYS.values():
                rows = [np.random.default_rng(draw).choice(len(data.products), size, replace=False) for draw in range(draws)]
                figures = np.mean([fitted_accuracy(data, each, encoder) for each in rows], axis=0)
                print(f"  {figures[0]:>15.3f} {figures[1]:>8.3f}", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
