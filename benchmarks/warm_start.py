"""Measures labels that come in two lots: `python benchmarks/warm_start.py` (ten minutes for each set on one core).

The encoder is tuned on 4 labels a category; then 4 more come, are learnt quickly with that encoder kept, and then by going on with its
tuning. What both lots at once come to stands in `label_efficiency.py`, on the same draw.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

from label_efficiency import Draw
from product_sets import load, tagger_for

from fewtag.metrics import accuracy

LOTS: Final = (("4 labels, tuned", 4, True), ("8 labels, quickly", 8, False), ("8 labels, going on with the tuning", 8, True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["instacart", "mwpd"])
    for name in parser.parse_args().sets:
        draw = Draw.of(load(name), seed=0)
        products = [draw.data.products[row] for row in draw.train + draw.test]
        tagger = tagger_for(draw.data)
        for what, budget, tune in LOTS:
            given = [draw.data.gold[row] if rank < budget else None for row, rank in zip(draw.train, draw.rank, strict=True)]
            start = time.monotonic()
            tagger.fit(products, [*given, *[None] * len(draw.test)], tune=tune)
            seconds = time.monotonic() - start
            tags = [tag.alternatives[0][0] for tag in tagger.predict([draw.data.products[row] for row in draw.test])]
            tuned = tagger._ladder._upper.tuned
            steps = tuned.record.steps if tuned else 0
            print(f"{name:<12} {what:<36} {accuracy(tags, draw.gold):.3f} {seconds:>5.0f} s, tuned for {steps} steps last", flush=True)


if __name__ == "__main__":
    main()
