"""Measures tagging without a single label: `python benchmarks/cold_start.py` (three minutes on 2 cores).

Three ways of saying a category's name are compared with each title by cosine, each as it is and with batch calibration, beside
`fewtag bootstrap`, on the same products with the same encoder. With no labels there is nothing that SetFit, TF-IDF with a linear model
or a frozen encoder with logistic regression could be trained on: these opponents enter where labels do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from product_sets import CACHE, DATA, SOURCES, ProductSet, load, tagger_for

from fewtag import Taxonomy
from fewtag.decide import PRECISION
from fewtag.metrics import accuracy, hierarchical_f1, macro_f1, selective_precision
from fewtag.models.calibrate import batch_prior, log_softmax, remove_prior
from fewtag.models.encoder import CachedEncoder, SentenceEncoder
from fewtag.models.ngrams import CharacterNgrams
from fewtag.models.source import EMBEDDED
from fewtag.models.zero_shot.rung import LETTERS_TEMPERATURE, PRIOR_STRENGTH, TEMPERATURE

SENTENCES: Final = {"en": "This product is a {}", "zh": "这件商品是{}"}


def phrasings(taxonomy: Taxonomy) -> dict[str, list[str]]:
    names = [taxonomy[category].name for category in taxonomy.classes]
    return {
        "name": names,
        "sentence": [SENTENCES[taxonomy.language].format(name) for name in names],
        "path": [taxonomy.path(category) for category in taxonomy.classes],
    }


def encoder_for(data: ProductSet) -> tuple[Callable[[Sequence[str]], Any], float]:
    """Return what turns texts into vectors, and the temperature that suits its cosines: the same for cosine and for fewtag."""
    if data.taxonomy.language == "en":
        return CachedEncoder(SentenceEncoder(EMBEDDED), CACHE / "vectors").encode, TEMPERATURE
    paths = phrasings(data.taxonomy)["path"]
    return CharacterNgrams(data.taxonomy.language).fit([product.text for product in data.products] + paths).grams, LETTERS_TEMPERATURE


def cosines(data: ProductSet) -> dict[str, Any]:
    """Return the scores of every way but fewtag's, each (n, n_classes)."""
    encode, temperature = encoder_for(data)
    titles = encode([product.text for product in data.products])
    scores = {}
    for phrasing, phrases in phrasings(data.taxonomy).items():
        cosine = titles @ encode(phrases).T
        logs = log_softmax(np.asarray(cosine if isinstance(cosine, np.ndarray) else cosine.toarray()) / np.float32(temperature))
        scores[f"cosine, {phrasing}"] = logs
        scores[f"cosine, {phrasing}, batch-calibrated"] = remove_prior(logs, batch_prior(logs), PRIOR_STRENGTH)
    return scores


def row(way: str, data: ProductSet, tags: Sequence[str]) -> float:
    figures = accuracy(tags, data.gold), macro_f1(tags, data.gold), hierarchical_f1(tags, data.gold, data.taxonomy)
    print(f"{data.name:<12} {way:<34} " + " ".join(f"{figure:>9.3f}" for figure in figures), end="", flush=True)
    return figures[0]


def measure(data: ProductSet) -> tuple[float, float]:
    """Print the rows of one set, and return the accuracy of the best plain cosine and of fewtag."""
    plain = []
    for way, scores in cosines(data).items():
        found = row(way, data, [data.taxonomy.classes[column] for column in scores.argmax(axis=1)])
        plain += [] if "calibrated" in way else [found]
        print()
    tagger = tagger_for(data, CACHE / f"workspace-{data.name}")
    start = time.perf_counter()
    tagger.bootstrap(data.products)
    tags = tagger.predict(data.products)
    found = row("fewtag bootstrap", data, [tag.alternatives[0][0] for tag in tags])
    coverage, precision = selective_precision([tag.category for tag in tags], data.gold, data.taxonomy)
    print(f" {coverage:>9.2f} {precision:>10.3f} {time.perf_counter() - start:>7.0f}\n")
    return max(plain), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=6000, help="products drawn from each set; 0 for all")
    parser.add_argument("--sets", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set FEWTAG_DATA to the folder that holds the product sets")
    print(f"{'set':<12} {'way':<34} {'accuracy':>9} {'macro-F1':>9} {'hier. F1':>9} {'coverage':>9} {'precision':>10} {'seconds':>7}")
    print(f"{'':<12} {'':<34} {'of the likeliest category':^29} {f'of the tags at {PRECISION}':^20}")
    results = [measure(load(name, arguments.rows or None)) for name in arguments.sets]
    gains = [100 * (found - plain) for plain, found in results]
    print(f"fewtag bootstrap above the best plain cosine: {np.mean(gains):+.1f} points on average, {min(gains):+.1f} at least")


if __name__ == "__main__":
    main()
