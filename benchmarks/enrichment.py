"""Measures whether words mined from the catalogue make tags better: `python benchmarks/enrichment.py`.

Each set is bootstrapped as it is, words are mined from the tags that are sure (`fewtag.mining`), and the set is bootstrapped once more with
these among the categories' words. The last rows mine from gold, which no shop has: what words could gain that are all true. The trap: they
come from the very titles that are tagged, so even a model that knows all words would gain less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from product_sets import DATA, SOURCES, ProductSet, load

from fewtag import Taxonomy
from fewtag.metrics import accuracy
from fewtag.mining import mine
from fewtag.models import Probabilities
from fewtag.models.encoder import CachedEncoder, SentenceEncoder
from fewtag.models.source import EMBEDDED
from fewtag.models.zero_shot.rung import ZeroShot
from fewtag.taxonomy import Category

CACHE: Final = Path(__file__).parent / ".cache" / "vectors"
Form = Literal["parts", "one part", "whole", "titles"]
JOINED: Final[dict[Form, Callable[[Category, Sequence[str]], Category]]] = {
    "parts": lambda node, words: replace(node, aliases=(*node.aliases, *words)),
    "one part": lambda node, words: replace(node, examples=(*node.examples, f"{node.name}: {', '.join(words)}")),
    "whole": lambda node, words: replace(node, description=", ".join([*filter(None, [node.description]), *words])),
    "titles": lambda node, titles: replace(node, examples=(*node.examples, *titles)),
}


@dataclass(frozen=True)
class Way:
    """How many words, in which form, from products above which confidence, and how often."""

    form: Form
    words: int
    above: float
    rounds: int = 1
    gold: bool = False

    def __str__(self) -> str:
        source = "gold" if self.gold else f"sure by {self.above}"
        return f"{self.words} {'' if self.form == 'titles' else 'words as '}{self.form}, {source}" + (", twice" if self.rounds > 1 else "")


WAYS: Final = (
    Way("parts", 3, 0.5),
    Way("parts", 8, 0.5),
    Way("parts", 8, 0.9),
    Way("one part", 8, 0.5),
    Way("one part", 8, 0.9),
    Way("one part", 8, 0.9, rounds=2),
    Way("whole", 8, 0.5),
    Way("titles", 3, 0.5),
    Way("titles", 3, 0.8),
    Way("parts", 8, 0, gold=True),
    Way("one part", 8, 0, gold=True),
)


def tagged(data: ProductSet, taxonomy: Taxonomy) -> Probabilities:
    """Bootstrap with a taxonomy's words, as `Tagger.bootstrap` does without a language model."""
    encoder = CachedEncoder(SentenceEncoder(EMBEDDED), CACHE) if taxonomy.language == "en" else None
    return ZeroShot(taxonomy, encoder).fit(data.products).predict_proba(data.products)


def score(data: ProductSet, said: Probabilities) -> float:
    return 100 * accuracy([data.taxonomy.classes[column] for column in said.argmax(axis=1)], data.gold)


def found(way: Way, data: ProductSet, said: Probabilities) -> dict[str, tuple[str, ...]]:
    """Return what is mined: words, or the titles that are surest."""
    texts = [product.text for product in data.products]
    best = [data.taxonomy.classes[column] if sure > way.above else None for column, sure in zip(said.argmax(1), said.max(1), strict=True)]
    if way.form != "titles":
        return mine(texts, best, data.taxonomy, way.words)
    titles: dict[str, tuple[str, ...]] = {}
    for row in np.argsort(-said.max(axis=1), kind="stable"):
        if (category := best[row]) and len(titles.get(category, ())) < way.words:
            titles[category] = (*titles.get(category, ()), texts[row])
    return titles


def enriched(way: Way, data: ProductSet, said: Probabilities) -> Probabilities:
    for _ in range(way.rounds):
        words = found(way, data, said)
        nodes = (JOINED[way.form](data.taxonomy[node], words[node]) if node in words else data.taxonomy[node] for node in data.taxonomy)
        said = tagged(data, Taxonomy(nodes, language=data.taxonomy.language))
    return said


def measure(data: ProductSet, ways: Sequence[Way]) -> list[float]:
    """Print the rows of one set, and return what each way gains, in points."""
    said = tagged(data, data.taxonomy)
    before = score(data, said)
    print(f"{data.name:<12} {'as it is':<36} {before:>8.1f}", flush=True)
    truth = np.eye(len(data.taxonomy.classes), dtype=np.float32)[[data.taxonomy.index[category] for category in data.gold]]
    gains = []
    for way in ways:
        start = time.perf_counter()
        gains.append(score(data, enriched(way, data, truth if way.gold else said)) - before)
        print(f"{data.name:<12} {way!s:<36} {before + gains[-1]:>8.1f} {gains[-1]:>+6.1f} {time.perf_counter() - start:>8.0f}", flush=True)
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3000, help="products drawn from each set; 0 for all")
    parser.add_argument("--sets", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--ways", nargs="+", type=int, metavar="N", default=range(len(WAYS)), choices=range(len(WAYS)))
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set FEWTAG_DATA to the folder that holds the product sets")
    ways = [WAYS[number] for number in arguments.ways]
    print(f"{'set':<12} {'words':<36} {'accuracy':>8} {'gain':>6} {'seconds':>8}")
    gains = [measure(load(name, arguments.rows or None), ways) for name in arguments.sets]
    for way, row in zip(ways, np.array(gains).T, strict=True):
        print(f"{'mean':<12} {way!s:<36} {'':>8} {row.mean():>+6.1f}")


if __name__ == "__main__":
    main()
