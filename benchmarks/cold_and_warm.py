"""Measures cold categories beside warm ones: `python benchmarks/cold_and_warm.py` (five minutes on 2 cores).

Half of the categories, drawn by lot, get 16 labels, the others none. The few-shot rung alone has no word for the cold half, the
zero-shot rung alone learns nothing for the warm one; fewtag blends both. The harmonic mean of both halves is what counts.
"""

from __future__ import annotations

import numpy as np
from label_efficiency import SETS, Draw
from product_sets import load, tagger_for

LABELS = 16
DRAWS = 3


def measure(name: str, seed: int) -> dict[str, tuple[float, float]]:
    """Return, for each way, the accuracy on products of cold and of warm categories."""
    draw = Draw.of(load(name), seed)
    data = draw.data
    classes = data.taxonomy.classes
    cold = set(np.random.default_rng(seed).permutation(classes)[: len(classes) // 2].tolist())
    given = [None if data.gold[row] in cold else data.gold[row] for row in draw.train]
    tested = [data.products[row] for row in draw.test]
    gold = np.array([data.taxonomy.index[each] for each in draw.gold])
    is_cold = np.array([each in cold for each in draw.gold])
    tagger = tagger_for(data)
    tagger.bootstrap([data.products[row] for row in draw.train + draw.test])
    said = {"zero-shot alone": tagger.predict_proba(tested)}
    tagger.fit([data.products[row] for row in draw.train] + tested, [*given, *[None] * len(tested)], tune=False)
    few_shot = tagger._ladder._upper._few_shot
    assert few_shot
    said |= {"few-shot alone": few_shot.predict_proba(tested), "fewtag": tagger.predict_proba(tested)}
    right = {way: each.argmax(axis=1) == gold for way, each in said.items()}
    return {way: (float(each[is_cold].mean()), float(each[~is_cold].mean())) for way, each in right.items()}


def main() -> None:
    print(f"{DRAWS} draws, {LABELS} labels a warm category; accuracy")
    print(f"{'set':<12} {'way':<16} {'cold half':>10} {'warm half':>10} {'harmonic mean':>14}")
    for name in SETS:
        draws = [measure(name, seed) for seed in range(DRAWS)]
        for way in draws[0]:
            cold, warm = np.mean([each[way] for each in draws], axis=0)
            print(f"{name:<12} {way:<16} {cold:>10.3f} {warm:>10.3f} {2 * cold * warm / max(cold + warm, 1e-9):>14.3f}", flush=True)


if __name__ == "__main__":
    main()
