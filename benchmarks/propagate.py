"""Measures spreading 4 labels a category to all other products: `python benchmarks/propagate.py` (some minutes on 2 cores).

fewtag's neighbours rung, alone and with the zero-shot rung's agreement, stands beside scikit-learn's LabelSpreading and a plain vote of
the nearest labels, on the same vectors, in the same run. Each is shown at its own coverage, and, by its surest tags alone, at fewtag's.
The trap: PriceRunner's offers repeat, so that whatever shares a cluster with a labelled one is left out.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from product_sets import DATA, SOURCES, ProductSet, cached_encoder, load

from fewtag import Product, Taxonomy
from fewtag.core import Label
from fewtag.models.encoder import CachedEncoder
from fewtag.models.neighbours.rung import Neighbours, Spread
from fewtag.models.zero_shot.rung import ZeroShot

PRECISION: Final = 0.95
CLUSTERS: Final = {"pricerunner": "cluster_id"}
"""The column of a set whose rows of one value are one product."""
VOTERS: Final = 5


@dataclass(frozen=True)
class Draw:
    """One draw of labels: the products (labelled ones among them), gold and label as columns (-1: none), and their vectors."""

    data: ProductSet
    gold: npt.NDArray[np.int64]
    given: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]

    @property
    def labels(self) -> list[Label]:
        classes = self.data.taxonomy.classes
        return [Label(self.data.products[row].id, classes[self.given[row]]) for row in np.flatnonzero(self.given >= 0)]


@dataclass(frozen=True)
class Result:
    """What one way says of each product: a column (-1: nothing) and how sure it is; and the seconds it took."""

    said: npt.NDArray[np.int64]
    sure: npt.NDArray[np.float64]
    seconds: float


def draw(data: ProductSet, encoder: CachedEncoder, each: int, seed: int) -> Draw:
    """Label `each` products of every category, of different clusters, and leave out the rest of those clusters."""
    column = {category: number for number, category in enumerate(data.taxonomy.classes)}
    gold = np.array([column[category] for category in data.gold])
    cluster = clusters(data)
    order = np.random.default_rng(seed).permutation(len(gold))
    given = np.full(len(gold), -1)
    for number in range(len(column)):
        mine = order[gold[order] == number]
        _, firsts = np.unique(cluster[mine], return_index=True)
        given[mine[np.sort(firsts)][:each]] = number
    kept = (given >= 0) | ~np.isin(cluster, cluster[given >= 0])
    rows = np.flatnonzero(kept)
    products = [data.products[row] for row in rows]
    subset = ProductSet(data.name, data.taxonomy, products, [data.gold[row] for row in rows])
    return Draw(subset, gold[rows], given[rows], encoder.encode([product.text for product in products]))


def clusters(data: ProductSet) -> npt.NDArray[Any]:
    if data.name not in CLUSTERS:
        return np.arange(len(data.products))
    frame = pd.read_parquet(DATA / SOURCES[data.name].file, columns=["id", CLUSTERS[data.name]]).astype({"id": str})
    return frame.drop_duplicates("id").set_index("id")[CLUSTERS[data.name]].loc[[product.id for product in data.products]].to_numpy()


def fewtag(encoder: CachedEncoder, others: Callable[[Draw], Any]) -> Callable[[Draw], Result]:
    def way(given: Draw) -> Result:
        opinions = others(given)
        start = time.perf_counter()
        rung = Neighbours(given.data.taxonomy, encoder).fit(given.data.products, given.labels)
        spreads = rung.spread(opinions, precision=PRECISION)
        return as_result(given, spreads, time.perf_counter() - start)

    return way


def as_result(given: Draw, spreads: Sequence[Spread], seconds: float) -> Result:
    row = {product.id: number for number, product in enumerate(given.data.products)}
    said, sure = np.full(len(row), -1), np.zeros(len(row))
    for spread in spreads:
        said[row[spread.product_id]] = given.data.taxonomy.index[spread.category]
        sure[row[spread.product_id]] = spread.confidence
    return Result(said, sure, seconds)


def label_spreading(kernel: str) -> Callable[[Draw], Result]:
    def way(given: Draw) -> Result:
        from sklearn.semi_supervised import LabelSpreading

        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows that no label reaches are divided by 0
            model = LabelSpreading(kernel=kernel).fit(given.vectors, given.given)
        seconds = time.perf_counter() - start
        sure = np.nan_to_num(model.label_distributions_).max(axis=1)
        return Result(np.where(sure > 0, model.transduction_, -1), sure, seconds)

    return way


def nearest_labels(given: Draw) -> Result:
    """Weigh the nearest labels' cosines, and be as sure as the share of the winner times its best cosine."""
    start = time.perf_counter()
    labelled = np.flatnonzero(given.given >= 0)
    cosines = given.vectors @ given.vectors[labelled].T
    top = np.argsort(-cosines, axis=1)[:, :VOTERS]
    votes = np.zeros((len(cosines), len(given.data.taxonomy.classes)))
    for column in range(top.shape[1]):
        here = np.arange(len(cosines))
        votes[here, given.given[labelled[top[:, column]]]] += np.maximum(cosines[here, top[:, column]], 0)
    return Result(votes.argmax(axis=1), votes.max(axis=1), time.perf_counter() - start)


@dataclass(frozen=True)
class Tally:
    """How many products had no label, how many of these were tagged, and how many tags were right."""

    products: int
    tagged: int
    right: int


def tally(given: Draw, result: Result, coverage: float = 1.0) -> Tally:
    """Count over the products without a label, by the surest tags up to a coverage."""
    unlabelled = np.flatnonzero(given.given < 0)
    tagged = unlabelled[result.said[unlabelled] >= 0]
    tagged = tagged[np.argsort(-result.sure[tagged], kind="stable")][: round(coverage * len(unlabelled))]
    return Tally(len(unlabelled), len(tagged), int((result.said[tagged] == given.gold[tagged]).sum()))


def pooled_precision(tallies: Sequence[Tally]) -> float:
    """Return the share of right tags over all draws, so that a draw which tags next to nothing counts for next to nothing."""
    tagged = sum(each.tagged for each in tallies)
    return sum(each.right for each in tallies) / tagged if tagged else float("nan")


def warm_up(data: ProductSet, encoder: CachedEncoder) -> None:
    """Load what every way loads once, so that no way's seconds hold it."""
    few = ProductSet(data.name, data.taxonomy, data.products[:300], data.gold[:300])
    small = draw(few, encoder, 4, 0)
    for way in (fewtag(encoder, lambda _: None), label_spreading("rbf"), label_spreading("knn"), nearest_labels):
        way(small)


def compare(name: str, rows: int, each: int, draws: range) -> None:
    """Print the table of one set: mean coverage, precision of all draws' tags together and of the worst draw, median seconds."""
    encoder, data = cached_encoder(name), load(name, rows)

    def zero_shot(given: Draw) -> Any:
        return ZeroShot(data.taxonomy, encoder).fit(given.data.products).predict_proba(given.data.products)

    ways: dict[str, Callable[[Draw], Result]] = {
        "fewtag": fewtag(encoder, lambda _: None),
        "fewtag, zero-shot agreeing": fewtag(encoder, zero_shot),
        "LabelSpreading, rbf": label_spreading("rbf"),
        "LabelSpreading, knn": label_spreading("knn"),
        f"vote of {VOTERS} nearest labels": nearest_labels,
    }
    own: dict[str, list[Tally]] = {way: [] for way in ways}
    alike: dict[tuple[str, str], list[Tally]] = {(way, ours): [] for way in ways for ours in list(ways)[:2]}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    warm_up(data, encoder)
    for seed in draws:
        given = draw(data, encoder, each, seed)
        results = {way: run(given) for way, run in ways.items()}
        for way, result in results.items():
            own[way].append(tally(given, result))
            seconds[way].append(result.seconds)
        for (way, ours), found in alike.items():
            found.append(tally(given, results[way], own[ours][-1].tagged / own[ours][-1].products))
    for way in ways:
        coverage = np.mean([one.tagged / one.products for one in own[way]])
        precision = pooled_precision(own[way])
        worst = min((one.right / one.tagged for one in own[way] if one.tagged), default=float("nan"))
        alone, agreeing = (pooled_precision(alike[way, ours]) for ours in list(ways)[:2])
        spent = float(np.median(seconds[way]))
        times = spent / float(np.median(seconds["fewtag"]))
        figures = f"{coverage:>9.3f} {precision:>10.3f} {worst:>7.3f} {alone:>11.3f} {agreeing:>11.3f} {spent:>8.2f} {times:>6.1f}"
        print(f"{name:<12} {way:<28} {figures}", flush=True)
    for way in list(ways)[:2]:
        print(
            f"{name:<12} {way:<28} right of tagged, draw by draw: {', '.join(f'{one.right}/{one.tagged}' for one in own[way])}", flush=True
        )


@dataclass
class SyntheticEncoder:
    """Gives the text "17" the seventeenth of a file's vectors, as the cache on disk would."""

    vectors: npt.NDArray[np.float16]
    identity: str = "synthetic@1"

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return self.vectors[[int(text) for text in texts]].astype(np.float32)


def synthetic(file: Path, n: int, n_classes: int, dimensions: int = 384, kinds: int = 40) -> tuple[SyntheticEncoder, npt.NDArray[np.int64]]:
    """Write vectors around `kinds` centres for each class, themselves around the class's own, and return them with their classes."""
    generator = np.random.default_rng(0)
    classes = generator.standard_normal((n_classes, 1, dimensions), dtype=np.float32)
    centres = (classes + generator.standard_normal((n_classes, kinds, dimensions), dtype=np.float32)).reshape(-1, dimensions)
    vectors = np.memmap(file, dtype=np.float16, mode="w+", shape=(n, dimensions))
    kind = generator.integers(0, len(centres), n)
    for at in range(0, n, 50_000):
        rows = centres[kind[at : at + 50_000]]
        rows = rows + generator.standard_normal(rows.shape, dtype=np.float32)
        vectors[at : at + 50_000] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    vectors.flush()
    return SyntheticEncoder(np.memmap(file, dtype=np.float16, mode="r", shape=(n, dimensions))), kind // kinds


def million(n: int, n_classes: int, each: int) -> None:
    """Index and spread over `n` synthetic vectors, and print seconds, precision and the most memory ever held."""
    with tempfile.TemporaryDirectory() as folder:
        encoder, gold = synthetic(Path(folder) / "vectors", n, n_classes)
        taxonomy = Taxonomy.from_paths([f"c{number:03}" for number in range(n_classes)])
        products = [Product(str(number), str(number)) for number in range(n)]
        order = np.random.default_rng(0).permutation(n)
        rows = np.concatenate([order[gold[order] == number][:each] for number in range(n_classes)])
        labels = [Label(str(row), taxonomy.classes[gold[row]]) for row in rows]
        start = time.perf_counter()
        rung = Neighbours(taxonomy, encoder).fit(products, labels)
        fitted = time.perf_counter()
        spreads = rung.spread(precision=PRECISION)
        ended = time.perf_counter()
    right = [spread.category == taxonomy.classes[gold[int(spread.product_id)]] for spread in spreads]
    print(f"{rung._index}; {len(labels)} labels; indexed, graph and walk {fitted - start:.0f} s, spread {ended - fitted:.0f} s")
    print(f"coverage {len(spreads) / (n - len(labels)):.3f}, precision {np.mean(right):.3f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=["pricerunner", "instacart"], choices=list(SOURCES))
    parser.add_argument("--rows", type=int, default=12_000, help="products drawn from each set")
    parser.add_argument("--labels", type=int, default=4, help="labels of each category")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--first-draw", type=int, default=0, help="6 measures on labels that no constant was chosen on")
    parser.add_argument("--million", type=int, default=1_000_000, help="synthetic vectors; 0 for none")
    arguments = parser.parse_args()
    if arguments.million:  # first, as the peak of memory is that of the whole run
        million(arguments.million, n_classes=100, each=20)
    if not arguments.sets:
        return
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set FEWTAG_DATA to the folder that holds the product sets")
    print(f"{'':<12} {'':<28} {'at its own coverage':^28} {'precision at coverage of':^23} {'':>8} {'times':>6}")
    heads = f"{'coverage':>9} {'precision':>10} {'worst':>7} {'fewtag':>11} {'agreeing':>11} {'seconds':>8} {'fewtag':>6}"
    print(f"{'set':<12} {'way':<28} {heads}")
    for name in arguments.sets:
        compare(name, arguments.rows, arguments.labels, range(arguments.first_draw, arguments.first_draw + arguments.draws))


if __name__ == "__main__":
    main()
