"""Measures what tuning the embedded encoder to products gains: `python benchmarks/tuned_encoder.py FOLDER --without-flipkart FOLDER ...`.

Without labels: the cosine of a title with each category in words, as it is and batch-calibrated, and `fewtag bootstrap`. With 8 labels a
class: the frozen encoder under logistic regression, on products and on two sets that have nothing to do with them. The trap: what was
trained on a set says nothing about it, so Flipkart and PriceRunner are measured with weights that never saw them, and are left out where
there are none.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from cold_start import phrasings
from product_sets import CACHE, DATA, ProductSet, load

from fewtag import Tagger
from fewtag.metrics import accuracy
from fewtag.models.calibrate import batch_prior, log_softmax, remove_prior
from fewtag.models.encoder import CachedEncoder, SentenceEncoder
from fewtag.models.source import EMBEDDED, file_hash, locate
from fewtag.models.verbalise import sentences
from fewtag.models.zero_shot.rung import PRIOR_STRENGTH, TEMPERATURE
from training.encoder import mixed

COLD: Final = ("instacart", "mwpd", "flipkart", "pricerunner")
WARM: Final = ("instacart", "mwpd", "banking77", "trec")
WAYS: Final = ("name", "path", "phrases")
PARTS: Final = ("cold", "fewtag", "warm")
LABELS: Final = 8
DRAWS: Final = 3
Encode = Callable[[Sequence[str]], Any]


def encoder(folder: Path | None = None, weight: float = 0.0) -> CachedEncoder:
    """Return what embeds texts: all-MiniLM-L6-v2 as it is, or so many parts of tuned weights in it; cached by both."""
    source = locate(EMBEDDED)
    if folder is None:
        return CachedEncoder(SentenceEncoder(source), CACHE / "vectors")
    revision = f"{source.revision}, {weight} of {file_hash(folder / 'model.safetensors')}"
    body: list[Any] = []

    class Late(SentenceEncoder):
        def _loaded(self) -> Any:
            if not body:
                body.append(mixed(source, folder, weight))
            return body[0]

    return CachedEncoder(Late(replace(source, revision=revision)), CACHE / "vectors")


def cold(data: ProductSet, encode: Encode) -> list[float]:
    """Return the accuracy of each way of saying a category, as it is, and then of each batch-calibrated."""
    taxonomy = data.taxonomy
    titles = encode([product.text for product in data.products])
    said = phrasings(taxonomy)
    words = {way: encode(said[way]) for way in ("name", "path")}
    means = np.stack([encode(sentences(taxonomy, each).whole).mean(axis=0) for each in taxonomy.classes])
    words["phrases"] = means / np.linalg.norm(means, axis=1, keepdims=True)
    gold = np.array([taxonomy.index[each] for each in data.gold])
    logs = [log_softmax(titles @ words[way].T / np.float32(TEMPERATURE)) for way in WAYS]
    scores = [*logs, *(remove_prior(each, batch_prior(each), PRIOR_STRENGTH) for each in logs)]
    return [float((each.argmax(axis=1) == gold).mean()) for each in scores]


def bootstrapped(data: ProductSet, encoder: CachedEncoder) -> float:
    """Return the accuracy of `fewtag bootstrap` upon an encoder."""
    with tempfile.TemporaryDirectory() as folder:
        tagger = Tagger(data.taxonomy, workspace=Path(folder))
        tagger._ladder._encoder = tagger._ladder._zero_shot.encoder = encoder
        tagger.bootstrap(data.products)
        return accuracy([tag.alternatives[0][0] for tag in tagger.predict(data.products)], data.gold)


def labelled(name: str, rows: int) -> tuple[list[str], list[str]]:
    """Read texts with what each is: of products the category's id."""
    if name in COLD:
        data = load(name, rows)
        return [product.text for product in data.products], data.gold
    frame = pd.concat([pd.read_parquet(DATA / f"intents/{name}/{part}.parquet") for part in ("train", "test")])
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    return frame["text"].tolist(), frame["label"].tolist()


def warm(texts: list[str], gold: list[str], encode: Encode) -> float:
    """Return the accuracy of logistic regression on `LABELS` texts a class, mean over draws; all other texts are measured."""
    from sklearn.linear_model import LogisticRegression

    vectors, classes, found = encode(texts), np.array(gold), []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(texts))
        rank = pd.Series(classes[order]).groupby(classes[order]).cumcount().to_numpy()
        train, test = order[rank < LABELS], order[rank >= LABELS]
        head = LogisticRegression(C=10, max_iter=200).fit(vectors[train], classes[train])
        found.append(float((head.predict(vectors[test]) == classes[test]).mean()))
    return float(np.mean(found))


def line(name: str, who: str, figures: Sequence[float], base: Sequence[float]) -> None:
    gains = " ".join(f"{100 * (figure - before):>+6.1f}" for figure, before in zip(figures, base, strict=True))
    print(f"{name:<19} {who:<11} " + " ".join(f"{figure:>8.3f}" for figure in figures) + "   " + gains, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tuned", type=Path, help="a folder of tuned weights, unmixed")
    parser.add_argument("--without-flipkart", type=Path, help="of weights that never saw Flipkart")
    parser.add_argument("--without-pricerunner", type=Path)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5, 0.7, 1.0], help="the tuned ones' share")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set FEWTAG_DATA to the folder that holds the product sets")
    blind = {"flipkart": arguments.without_flipkart, "pricerunner": arguments.without_pricerunner}
    plain = encoder()
    if "cold" in arguments.parts:
        print(f"{'set':<19} {'encoder':<11} {' '.join(f'{way:>8}' for way in WAYS)} {'the same, batch-calibrated':>26}   gains in points")
    gains: dict[float, list[list[float]]] = {weight: [] for weight in arguments.weights}
    for name in COLD if "cold" in arguments.parts else ():
        folder = blind.get(name, arguments.tuned)
        if folder is None:
            continue
        data = load(name, arguments.rows)
        base = cold(data, plain.encode)
        line(name, "as it is", base, base)
        for weight in arguments.weights:
            found = cold(data, encoder(folder, weight).encode)
            line(name, f"tuned, {weight}", found, base)
            gains[weight].append([100 * (figure - before) for figure, before in zip(found, base, strict=True)])
    for weight, each in gains.items():
        if each:
            print(f"mean gain in points, tuned, {weight}: " + " ".join(f"{gain:+.1f}" for gain in np.mean(each, axis=0)))
    for name in COLD if "fewtag" in arguments.parts else ():
        if (folder := blind.get(name, arguments.tuned)) is not None:
            data = load(name, arguments.rows)
            first = bootstrapped(data, plain)
            line(f"{name}, fewtag", "as it is", [first], [first])
            for weight in arguments.weights:
                line(f"{name}, fewtag", f"tuned, {weight}", [bootstrapped(data, encoder(folder, weight))], [first])
    for name in WARM if "warm" in arguments.parts else ():
        texts, gold = labelled(name, arguments.rows)
        first = warm(texts, gold, plain.encode)
        line(f"{name}, {LABELS}", "as it is", [first], [first])
        for weight in arguments.weights:
            line(f"{name}, {LABELS}", f"tuned, {weight}", [warm(texts, gold, encoder(arguments.tuned, weight).encode)], [first])


if __name__ == "__main__":
    main()
