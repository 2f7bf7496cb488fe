"""Measures what labels buy: `python benchmarks/label_efficiency.py` (cheap ways first; every finished cell is kept, so it can be stopped).

From 0 to 16 labels a category are drawn, 3,000 further products are measured. fewtag sees those too, without labels, as it sees any
catalogue; the others cannot use them. The trap: labels of k and 2k are nested, so that more labels are never other labels.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from product_sets import CACHE, ProductSet, cached_encoder, load, tagger_for, trained_setfit

from fewtag.metrics import accuracy, hierarchical_f1, macro_f1
from fewtag.models.few_shot.contrast import supervised_contrast
from fewtag.models.ngrams import CharacterNgrams
from fewtag.models.source import EMBEDDED, locate

SETS: Final = ("instacart", "mwpd", "zh_products")
BUDGETS: Final = (0, 1, 2, 4, 8, 16)
TESTED: Final = 3000
CELLS: Final = CACHE / "label_efficiency.jsonl"


@dataclass(frozen=True)
class Draw:
    """Products that may be labelled, how many of its category come before each, and the products that are measured."""

    data: ProductSet
    train: list[int]
    rank: list[int]
    test: list[int]

    @classmethod
    def of(cls, data: ProductSet, seed: int) -> Draw:
        train, rank, rest = [], [], []
        count: dict[str, int] = {}
        for row in np.random.default_rng(seed).permutation(len(data.gold)).tolist():
            seen = count.get(data.gold[row], 0)
            if seen < max(BUDGETS):
                count[data.gold[row]] = seen + 1
                train.append(row)
                rank.append(seen)
            else:
                rest.append(row)
        return cls(data, train, rank, rest[:TESTED])

    def labelled(self, budget: int) -> tuple[list[str], list[str]]:
        rows = [row for row, rank in zip(self.train, self.rank, strict=True) if rank < budget]
        return [self.data.products[row].text for row in rows], [self.data.gold[row] for row in rows]

    @property
    def texts(self) -> list[str]:
        return [self.data.products[row].text for row in self.test]

    @property
    def gold(self) -> list[str]:
        return [self.data.gold[row] for row in self.test]


def frozen_and_logistic(draw: Draw, budget: int) -> list[str]:
    """The encoder of the preset as it is (character n-grams where there is none), and logistic regression."""
    from sklearn.linear_model import LogisticRegression

    texts, gold = draw.labelled(budget)
    if draw.data.taxonomy.language == "en":
        encode: Callable[[list[str]], Any] = cached_encoder(draw.data.name).encode
    else:
        ngrams = CharacterNgrams(draw.data.taxonomy.language).fit(texts + draw.texts)
        encode = lambda each: ngrams.reduce(ngrams.grams(each))  # noqa: E731
    return list(LogisticRegression(C=10, max_iter=300).fit(encode(texts), gold).predict(encode(draw.texts)))


def tfidf_and_linear(draw: Draw, budget: int) -> list[str]:
    """TF-IDF of words and character n-grams, and a linear support vector machine."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    spaced = draw.data.taxonomy.language == "en"
    views = [TfidfVectorizer(analyzer="char_wb" if spaced else "char", ngram_range=(2, 5) if spaced else (1, 3), sublinear_tf=True)]
    if spaced:
        views.append(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True))
    texts, gold = draw.labelled(budget)
    return list(make_pipeline(make_union(*views), LinearSVC()).fit(texts, gold).predict(draw.texts))


def plain_setfit(draw: Draw, budget: int) -> list[str]:
    """SetFit as its authors train it."""
    (texts, gold), index, classes = draw.labelled(budget), draw.data.taxonomy.index, draw.data.taxonomy.classes
    return [classes[int(each)] for each in trained_setfit(texts, [index[each] for each in gold]).predict(draw.texts)]


def fastfit_style(draw: Draw, budget: int) -> list[str]:
    """In the manner of FastFit (Yehudai and Bendel 2024): titles against their category's name in the batch, and the nearest name wins."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.manual_seed(0)
    texts, gold = draw.labelled(budget)
    classes = draw.data.taxonomy.classes
    names = [draw.data.taxonomy[each].name for each in classes]
    index = np.array([draw.data.taxonomy.index[each] for each in gold])
    model = SentenceTransformer(locate(EMBEDDED).place).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5)
    for _ in range(8):
        for rows in torch.randperm(len(texts)).split(64):
            owners = torch.tensor(index[rows.numpy()])
            batch = [texts[row] for row in rows] + [names[each] for each in owners]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                vectors = model(model.preprocess(batch))["sentence_embedding"]
            optimizer.zero_grad()
            supervised_contrast(vectors, torch.cat([owners, owners]), 0.07).backward()
            optimizer.step()
    model.eval()
    vectors = [model.encode(each, normalize_embeddings=True, show_progress_bar=False) for each in (draw.texts, names)]
    return [classes[column] for column in (vectors[0] @ vectors[1].T).argmax(axis=1)]


def fewtag_way(tune: bool) -> Callable[[Draw, int], list[str]]:
    def way(draw: Draw, budget: int) -> list[str]:
        tagger = tagger_for(draw.data)
        rows = draw.train + draw.test
        products = [draw.data.products[row] for row in rows]
        if budget == 0:
            tagger.bootstrap(products)
        else:
            given = [draw.data.gold[row] if rank < budget else None for row, rank in zip(draw.train, draw.rank, strict=True)]
            tagger.fit(products, [*given, *[None] * len(draw.test)], tune=tune)
        return [tag.alternatives[0][0] for tag in tagger.predict([draw.data.products[row] for row in draw.test])]

    return way


@dataclass(frozen=True)
class Way:
    """How to guess, at which budgets, over how many draws, and whether it needs an encoder that speaks the language."""

    run: Callable[[Draw, int], list[str]]
    budgets: tuple[int, ...] = BUDGETS[1:]
    draws: int = 3
    english_only: bool = False


WAYS: Final = {
    "frozen encoder + logistic": Way(frozen_and_logistic),
    "TF-IDF + linear": Way(tfidf_and_linear),
    "fewtag, encoder as it is": Way(fewtag_way(tune=False), BUDGETS),
    "FastFit-style": Way(fastfit_style, (4, 8), 1, english_only=True),
    "plain SetFit": Way(plain_setfit, (8, 4), 1, english_only=True),
    "fewtag, tuned": Way(fewtag_way(tune=True), (8, 4, 1), 1, english_only=True),
}


def measured(name: str, way: str, budget: int, seed: int) -> dict[str, Any]:
    draw = Draw.of(load(name), seed)
    start = time.perf_counter()
    tags = WAYS[way].run(draw, budget)
    seconds = time.perf_counter() - start
    figures = accuracy(tags, draw.gold), macro_f1(tags, draw.gold), hierarchical_f1(tags, draw.gold, draw.data.taxonomy)
    return {"set": name, "way": way, "budget": budget, "draw": seed, "figures": figures, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    arguments = parser.parse_args()
    CELLS.parent.mkdir(exist_ok=True)
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    cells = {(each["set"], each["way"], each["budget"], each["draw"]): each for each in map(json.loads, lines)}
    for way in arguments.ways:
        for name in arguments.sets:
            spoken = not WAYS[way].english_only or not name.startswith("zh")
            for cell in ((name, way, budget, seed) for budget in WAYS[way].budgets for seed in range(WAYS[way].draws) if spoken):
                if cell not in cells:
                    cells[cell] = measured(*cell)
                    with CELLS.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(cells[cell]) + "\n")
    print(f"{'set':<12} {'labels':>6} {'way':<28} {'draws':>5} {'accuracy':>9} {'macro-F1':>9} {'hier. F1':>9} {'seconds':>8}")
    for name in arguments.sets:
        for budget in BUDGETS:
            for way in arguments.ways:
                found = [each for key, each in cells.items() if key[:3] == (name, way, budget)]
                if found:
                    means = np.mean([each["figures"] for each in found], axis=0)
                    seconds = float(np.median([each["seconds"] for each in found]))
                    print(
                        f"{name:<12} {budget:>6} {way:<28} {len(found):>5} "
                        + " ".join(f"{each:>9.3f}" for each in means)
                        + f" {seconds:>8.0f}"
                    )


if __name__ == "__main__":
    main()
