"""Measures both shipped examples against their gold, and names the worst tags: `python benchmarks/examples.py` (two minutes)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from fewtag import Tagger
from fewtag.metrics import accuracy, accuracy_by_depth, macro_f1, selective_precision

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
PRECISIONS: Final = (0.5, 0.7, 0.9)
WORST: Final = 6


def measure(name: str) -> None:
    with (EXAMPLES / name / "gold.csv").open(encoding="utf-8") as stream:
        gold = {row["sku"]: row["category"] or None for row in csv.DictReader(stream)}
    tagger = Tagger.from_file(EXAMPLES / name / "taxonomy.yaml")
    tagger.bootstrap()
    products = {product.id: product for product in tagger.products()}
    tags = tagger.predict(list(products.values()))
    known = [(tag.alternatives[0][0], truth) for tag in tags if (truth := gold[tag.product_id])]
    best, truths = [tag for tag, _ in known], [truth for _, truth in known]
    print(f"{tagger.taxonomy}; {len(tags)} products, {len(tags) - len(known)} of which belong nowhere")
    print(f"  likeliest category: macro-F1 {macro_f1(best, truths):.3f}; accuracy", end="")
    for depth, (count, share) in enumerate(accuracy_by_depth(best, truths, tagger.taxonomy), 1):
        print(f" at depth {depth} {share:.3f} (of {count}),", end="")
    print()
    for precision in PRECISIONS:
        tagger.precision = precision
        decided = tagger.predict(list(products.values()))
        coverage, right = selective_precision([tag.category for tag in decided], [gold[tag.product_id] for tag in decided], tagger.taxonomy)
        print(f"  asked for precision {precision}: coverage {coverage:.2f}, precision {right:.3f}")
    wrong = [tag for tag in tags if tag.alternatives[0][0] != gold[tag.product_id]]
    for tag in sorted(wrong, key=lambda tag: -tag.score)[:WORST]:
        print(f"  {tag.score:.2f} {products[tag.product_id].text!r} -> {tag.alternatives[0][0]}, gold {gold[tag.product_id] or 'nothing'}")


def measure_labels(name: str) -> None:
    """Print what the labels of an example teach of its other products."""
    with (EXAMPLES / name / "gold.csv").open(encoding="utf-8") as stream:
        gold = {row["sku"]: row["category"] for row in csv.DictReader(stream)}
    with (EXAMPLES / name / "labels.csv").open(encoding="utf-8") as stream:
        labels = {row["sku"]: row["category"] for row in csv.DictReader(stream)}
    for tune in (None, False, True):
        tagger = Tagger.from_file(EXAMPLES / name / "taxonomy.yaml")
        products = list(tagger.products())
        others = [product for product in products if product.id not in labels and gold[product.id]]
        truths = [gold[product.id] for product in others]
        if tune is None:
            tagger.bootstrap(products)
        else:
            tagger.fit(products, [labels.get(product.id) for product in products], tune=tune)
        tags = tagger.predict(others)
        best = [tag.alternatives[0][0] for tag in tags]
        coverage, right = selective_precision([tag.category for tag in tags], truths, tagger.taxonomy)
        way = {None: "without labels", False: f"{len(labels)} labels, encoder as it is", True: f"{len(labels)} labels, encoder tuned"}[tune]
        print(
            f"  {way:<34} accuracy {accuracy(best, truths):.3f}, macro-F1 {macro_f1(best, truths):.3f};"
            f" at precision 0.9: coverage {coverage:.2f}, precision {right:.3f} ({len(others)} products without a label)"
        )


if __name__ == "__main__":
    for example in ("corner-shop", "zahuodian"):
        measure(example)
    print("corner-shop, with two labels for each category")
    measure_labels("corner-shop")
