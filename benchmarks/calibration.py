"""Measures how far scores can be trusted, and a promised precision: `python benchmarks/calibration.py` (finished cells are kept).

9,000 products of a set are its catalogue; 3,000 of them are measured, and of the others up to 4 or 16 a category are labelled. The trap:
labels drawn first, category by category, would leave other shares of the categories behind than the catalogue's, and no such label proves
anything of what is left. So the measured ones are drawn first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from product_sets import CACHE, ProductSet, cached_encoder, load, tagger_for, trained_setfit

from fewtag import Product, Tagger
from fewtag.decide import decide, prediction_sets
from fewtag.labelling import add_labels, paired
from fewtag.metrics import calibration_error, on_the_way
from fewtag.promise import Promise
from fewtag.proof import Proof

SETS: Final = ("mwpd", "instacart")
BUDGETS: Final = (4, 16)
DRAWS: Final = (0, 1, 2)
CATALOGUE: Final = 9000
TESTED: Final = 3000
PRECISIONS: Final = (0.9, 0.95)
CELLS: Final = CACHE / "calibration.jsonl"
TUNED_CELLS: Final = CACHE / "calibration_tuned.jsonl"
SETFIT_CELLS: Final = CACHE / "calibration_setfit.jsonl"
CHANCES: Final = 50
"""How often a model that is just as right as it is sure is made up: what it measures is chance, as 15 bins of few products differ."""
HOLD: Final = 0.95
SETS_OF: Final = ("fewtag", "blend before", "few-shot", "logistic")
"""Whose sets of alternatives are measured: by all but fewtag, those that hold `HOLD` of the probability by their own word."""

Floats = npt.NDArray[np.float32]
Figures = dict[str, Any]
Cell = tuple[str, int, int]
"""A set, how many labels a category, and a draw's seed."""


@dataclass(frozen=True)
class Draw:
    """The products that are measured, those that are labelled, and all others of the catalogue."""

    data: ProductSet
    test: list[int]
    labelled: list[int]
    rest: list[int]

    @classmethod
    def of(cls, data: ProductSet, budget: int, seed: int) -> Draw:
        rows = np.random.default_rng(seed).permutation(len(data.gold))[:CATALOGUE].tolist()
        count: dict[str, int] = {}
        labelled, rest = [], []
        for row in rows[TESTED:]:
            count[data.gold[row]] = count.get(data.gold[row], 0) + 1
            (labelled if count[data.gold[row]] <= budget else rest).append(row)
        return cls(data, rows[:TESTED], labelled, rest)

    def products(self, rows: list[int]) -> list[Product]:
        return [self.data.products[row] for row in rows]

    def gold(self, rows: list[int]) -> npt.NDArray[np.int64]:
        return np.array([self.data.taxonomy.index[self.data.gold[row]] for row in rows])

    def tagger(self, tune: bool) -> Tagger:
        """Return a tagger that has seen the catalogue and the labels; untuned, the encoder stays as it is."""
        tagger, catalogue = tagger_for(self.data), self.products([*self.test, *self.labelled, *self.rest])
        tagger.bootstrap(catalogue)
        said = [self.data.gold[row] for row in self.labelled]
        add_labels(tagger.workspace, self.data.taxonomy, paired(self.products(self.labelled), said, self.data.taxonomy))
        tagger.train(catalogue, tune=tune)
        return tagger


def logistic(draw: Draw) -> Floats:
    """Logistic regression on the vectors of the encoder as it is."""
    from sklearn.linear_model import LogisticRegression

    encode = cached_encoder(draw.data.name).encode
    learn, test = ([product.text for product in draw.products(rows)] for rows in (draw.labelled, draw.test))
    model = LogisticRegression(C=10, max_iter=300).fit(encode(learn), draw.gold(draw.labelled))
    found = np.zeros((len(test), len(draw.data.taxonomy.classes)), dtype=np.float32)
    found[:, model.classes_] = model.predict_proba(encode(test))
    return found


def setfit(draw: Draw) -> Floats:
    """Plain SetFit."""
    learn, test = ([product.text for product in draw.products(rows)] for rows in (draw.labelled, draw.test))
    model = trained_setfit(learn, draw.gold(draw.labelled).tolist())
    found = np.zeros((len(test), len(draw.data.taxonomy.classes)), dtype=np.float32)
    found[:, model.model_head.classes_] = model.predict_proba(test, as_numpy=True)
    return found


def scored(probabilities: Floats, gold: npt.NDArray[np.int64]) -> Figures:
    sure, right, random = probabilities.max(axis=1), probabilities.argmax(axis=1) == gold, np.random.default_rng(0)
    by_chance = [calibration_error(sure, random.random(len(sure)) < sure) for _ in range(CHANCES)]
    return {"ece": calibration_error(sure, right), "by chance": float(np.mean(by_chance)), "accuracy": float(right.mean())}


def delivered(probabilities: Floats, draw: Draw, level: float) -> Figures:
    """Return coverage, precision and its standard error of the tags that the rule gives at a level."""
    taxonomy = draw.data.taxonomy
    tags = [tag.category for tag in decide([""] * len(probabilities), probabilities, taxonomy, level)]
    return selected(np.array([tag is not None for tag in tags]), on_the_way(tags, [draw.data.gold[row] for row in draw.test], taxonomy))


def selected(answered: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> Figures:
    count = int(answered.sum())
    precision = float((right & answered).sum() / count) if count else 1.0
    return {"coverage": count / len(answered), "precision": precision, "error": float(np.sqrt(precision * (1 - precision) / max(count, 1)))}


def held(probabilities: Floats, draw: Draw, mass: float) -> Figures:
    """Return how often the right category is among the likeliest that hold a mass of the probability, and how many these are."""
    sets = [dict(each) for each in prediction_sets(probabilities, draw.data.taxonomy, mass)]
    among = [draw.data.gold[row] in each for row, each in zip(draw.test, sets, strict=True)]
    return {"holds": float(np.mean(among)), "size": float(np.mean([len(each) for each in sets]))}


def plain(probabilities: Floats, draw: Draw, proof: Proof, precision: float) -> Figures:
    """The likeliest category or nothing: the lowest threshold on it at which as many held-out labels are right, without any bound."""
    rows = np.arange(len(proof.sums))
    leaf = proof.depths.argmax(axis=1)
    sure, right = proof.sums[rows, leaf], proof.right[rows, leaf]
    order = np.argsort(-sure, kind="stable")
    weights = proof.weights[order]
    reached = np.flatnonzero(np.cumsum(weights * right[order]) / np.cumsum(weights) >= precision)
    threshold = sure[order][reached[-1]] if len(reached) else np.inf
    return selected(probabilities.max(axis=1) >= threshold, probabilities.argmax(axis=1) == draw.gold(draw.test))


def measured(name: str, budget: int, seed: int, tune: bool = False) -> Figures:
    draw, start = Draw.of(load(name), budget, seed), time.perf_counter()
    tagger, gold, found = draw.tagger(tune), draw.gold(draw.test), {}
    ladder, asked = tagger._ladder, draw.products(draw.test)
    probabilities, seconds = tagger.predict_proba(asked), time.perf_counter() - start
    said = {
        "fewtag": probabilities,
        "zero-shot": np.exp(ladder._log_zero_shot(asked)),
        "few-shot": ladder._upper._few_shot.predict_proba(asked),
    }
    said["logistic"] = logistic(draw)
    kept, ladder._upper.calibration = ladder._upper.calibration, type(ladder._upper.calibration)()
    said["blend before"] = tagger.predict_proba(asked)
    for precision in PRECISIONS:
        promise: Promise = ladder.promise(precision)
        found[str(precision)] = {
            "promised": promise.level,
            "lacking": promise.lacking,
            "branch": promise.branch,
            "fewtag": delivered(probabilities, draw, promise.decides),
            "before": delivered(said["blend before"], draw, precision),
            "plain": plain(probabilities, draw, ladder._proof, precision),
        }
    masses = {way: ladder.holding(HOLD).mass if way == "fewtag" else HOLD for way in SETS_OF}
    sets = {way: held(said[way], draw, mass) | {"mass": mass} for way, mass in masses.items()}
    scores = {way: scored(each, gold) for way, each in said.items()}
    about = {"set": name, "budget": budget, "draw": seed, "labels": len(draw.labelled), "seconds": seconds}
    return about | {"scores": scores, "precisions": found, "sets": sets, "calibration": [kept.sure, kept.unsure, kept.bias]}


def measured_setfit(name: str, budget: int, seed: int) -> Figures:
    draw = Draw.of(load(name), budget, seed)
    return {"set": name, "budget": budget, "draw": seed, **scored(setfit(draw), draw.gold(draw.test))}


def kept_cells(file: Path, measure: Callable[[str, int, int], Figures] | None, wanted: list[Cell]) -> list[Figures]:
    """Return the figures of cells, from a file or, where they are not there and there is a way to, measured and added to it."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    cells = {(each["set"], each["budget"], each["draw"]): each for each in map(json.loads, lines)}
    for cell in wanted:
        if cell not in cells and measure:
            cells[cell] = measure(*cell)
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(cells[cell]) + "\n")
    return [cells[cell] for cell in wanted if cell in cells]


def show(cells: list[Figures], ways: list[str]) -> None:
    print(f"{'set':<10} {'labels':>6} {'draw':>4}  ECE of one that is as right as fewtag is sure; ECE (accuracy): " + ", ".join(ways))
    for cell in cells:
        scores = "  ".join(
            f"{cell['scores'][way]['ece']:.3f} ({cell['scores'][way]['accuracy']:.3f})" for way in ways if way in cell["scores"]
        )
        by_chance = f"{cell['scores'][ways[0]]['by chance']:.3f}"
        print(f"{cell['set']:<10} {cell['budget']:>6} {cell['draw']:>4}  {by_chance};  {scores}")
    for precision in PRECISIONS:
        print(f"\n--precision {precision}: precision ± standard error (coverage) delivered; met is precision + standard error >= it")
        for cell in cells:
            about = cell["precisions"][str(precision)]
            figures = (about[way] for way in ("fewtag", "before", "plain"))
            said = "  ".join(f"{each['precision']:.3f} ± {each['error']:.3f} ({each['coverage']:.2f})" for each in figures)
            level = f"level {about['promised']:.3f}" if about["promised"] else f"lacks {about['lacking']} in {about['branch']}"
            print(f"{cell['set']:<10} {cell['budget']:>6} {cell['draw']:>4}  fewtag, before, plain: {said}  {level}")
        for way in ("fewtag", "before", "plain"):
            every = [cell["precisions"][str(precision)][way] for cell in cells]
            print(f"{way} met: {sum(each['precision'] + each['error'] >= precision for each in every)} of {len(every)}")


def show_sets(cells: list[Figures]) -> None:
    print(f"\nalternatives that hold {HOLD}: share with the right category among them (how many they are): " + ", ".join(SETS_OF))
    for cell in cells:
        said = "  ".join(f"{each['holds']:.3f} ({each['size']:.1f})" for each in cell["sets"].values())
        print(f"{cell['set']:<10} {cell['budget']:>6} {cell['draw']:>4}  {said}  mass {cell['sets']['fewtag']['mass']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--labels", nargs="+", type=int, default=list(BUDGETS), help="how many labels a category has")
    parser.add_argument("--draws", nargs="+", type=int, default=list(DRAWS), help="seeds; fewtag was built looking at 0 to 2")
    parser.add_argument("--tuned", action="store_true", help="let the encoder learn too, which takes ten minutes a cell and more")
    parser.add_argument("--setfit", action="store_true", help="train plain SetFit too, which takes five minutes a cell and more")
    arguments = parser.parse_args()
    CELLS.parent.mkdir(exist_ok=True)
    wanted = [(name, budget, seed) for name in arguments.sets for budget in arguments.labels for seed in arguments.draws]
    cells = kept_cells(TUNED_CELLS, partial(measured, tune=True), wanted) if arguments.tuned else kept_cells(CELLS, measured, wanted)
    for each in kept_cells(SETFIT_CELLS, measured_setfit if arguments.setfit else None, wanted):
        place = wanted.index((each["set"], each["budget"], each["draw"]))
        cells[place]["scores"]["SetFit"] = each
    show(cells, ["fewtag", "blend before", "zero-shot", "few-shot", "logistic", "SetFit"])
    show_sets(cells)


if __name__ == "__main__":
    main()
