"""Measures how long `fewtag report` takes and how large its page is: `python benchmarks/report.py` (two minutes on 2 cores).

10,000 made-up products, 10% of which differ from another one in a digit alone, 1,000 categories, and gold of every second product. Labels
are none, as many as heads are held out for (the dearest case), and twice that. The trap: what is made up says nothing of what a page tells.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Final

import numpy as np
from wide_taxonomy import Shop

from fewtag import Product, Tagger, Taxonomy
from fewtag.gold_file import Gold
from fewtag.ladder import HEAD_CELLS
from fewtag.report.page import page

LIMITS: Final = 30, 6.0
"""Seconds and megabytes that a page may take."""
TWINS: Final = 0.1


def made_up(categories: int, products: int) -> tuple[Taxonomy, list[Product], list[str]]:
    """Return a taxonomy of about so many categories, products, and the category of each."""
    rng = np.random.default_rng(0)
    shop = Shop.of(categories * 50 // 51, rng)
    taxonomy = Taxonomy.from_paths(shop.paths)
    rows = np.resize(np.arange(len(shop.paths)), products)
    titles = [shop.title(row, rng) for row in rows.tolist()]
    for place in range(round(TWINS * products)):
        titles[place] = f"{titles[place + products // 2]}{place}"
    gold = [taxonomy.find(shop.paths[row]) for row in rows]
    return taxonomy, [Product(str(number), title) for number, title in enumerate(titles)], gold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--categories", type=int, default=1_000)
    arguments = parser.parse_args()
    taxonomy, products, categories = made_up(arguments.categories, arguments.products)
    classes = len(taxonomy.classes)
    print(f"{len(products):,} products, {len(taxonomy):,} categories, {classes:,} of them assignable")
    print(f"limits: {LIMITS[0]} s, {LIMITS[1]} MB\n\n| labels | judged by | seconds | MB |\n|---|---|---|---|")
    for labels in (0, HEAD_CELLS // classes, 2 * HEAD_CELLS // classes):
        with tempfile.TemporaryDirectory() as folder:
            tagger = Tagger(taxonomy, workspace=folder)
            tagger.bootstrap(products)
            if labels:
                tagger.fit(products[:labels], categories[:labels], tune=False)
            gold = Gold(tuple(products[1::2]), tuple(categories[1::2]))
            began = time.perf_counter()
            found = tagger.report(gold)
            size = len(page(found).encode()) / 1e6
            judge = found.doubted_by if found.judged_labels else "nobody"
            print(f"| {found.judged_labels:,} | {judge} | {time.perf_counter() - began:.1f} | {size:.2f} |", flush=True)


if __name__ == "__main__":
    main()
