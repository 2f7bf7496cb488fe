"""Measures fine-tuning where labels are many: `python benchmarks/fine_tune.py` (MWPD; ten minutes on 2 cores).

The set is split 80 to 20; learnt from are 3,000 labels of the larger part (all with `--labels 0`), measured is on the smaller one.
Weighted F1 at every depth of the path, of a fully fine-tuned MiniLM, LoRA and a frozen body, with and without the hierarchical part of
the loss, beside TF-IDF with a linear machine, the frozen encoder with logistic regression, and the whole ladder. Then a training is
killed by SIGKILL, taken up again, and compared with an undisturbed one. Finished cells are kept under benchmarks/.cache, so that an
interrupted run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from product_sets import CACHE, DATA, ProductSet, load, tagger_for
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from fewtag import Product
from fewtag.core import Label
from fewtag.models.encoder import SentenceEncoder
from fewtag.models.fine_tune.rung import FineTune
from fewtag.models.fine_tune.settings import TrainSettings
from fewtag.models.source import EMBEDDED, locate

FOLDER: Final = CACHE / "fine_tune"
SHARE_MEASURED: Final = 0.2
KILL_ROWS: Final = 640
KILLED: Final = TrainSettings(epochs=2, checkpoint_steps=8)
TUNED: Final = {
    "fine-tuned": TrainSettings(),
    "fine-tuned, flat loss": TrainSettings(hierarchy=0.0),
    "LoRA": TrainSettings(method="lora"),
    "frozen body, new head": TrainSettings(method="frozen"),
}
LADDERS: Final = {
    "fewtag train --quick": {"tune": False},
    "fewtag train --rung fine-tune": {"tune": False, "fine_tune": True},
    "fewtag train": {},
}


@dataclass(frozen=True)
class Task:
    """What to learn from and what to measure on."""

    data: ProductSet
    learn: Sequence[int]
    measure: Sequence[int]

    def texts(self, rows: Sequence[int]) -> list[str]:
        return [self.data.products[row].text for row in rows]

    def gold(self, rows: Sequence[int]) -> list[str]:
        return [self.data.gold[row] for row in rows]

    def products(self, rows: Sequence[int]) -> list[Product]:
        return [self.data.products[row] for row in rows]

    def labels(self, rows: Sequence[int]) -> list[Label]:
        return [Label(self.data.products[row].id, self.data.gold[row], "gold") for row in rows]


def task_of(data: ProductSet, labels: int | None = None) -> Task:
    """Split a set, and take so many of the products to learn from; those to measure on are always the same."""
    learn, measure = train_test_split(np.arange(len(data.gold)), test_size=SHARE_MEASURED, random_state=0, stratify=data.gold)
    return Task(data, learn.tolist()[:labels], measure.tolist())


def tfidf(task: Task) -> list[str]:
    machine = make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LinearSVC())
    return machine.fit(task.texts(task.learn), task.gold(task.learn)).predict(task.texts(task.measure)).tolist()


def encoder(task: Task) -> list[str]:
    encode = SentenceEncoder(EMBEDDED).encode  # uncached, so that its seconds count
    regression = LogisticRegression(C=10, max_iter=1000)
    return regression.fit(encode(task.texts(task.learn)), task.gold(task.learn)).predict(encode(task.texts(task.measure))).tolist()


def tuned(task: Task, settings: TrainSettings) -> list[str]:
    name = hashlib.sha256(json.dumps(asdict(settings)).encode()).hexdigest()[:8]
    model = FineTune(task.data.taxonomy, locate(EMBEDDED), settings=settings, folder=FOLDER / f"work-{name}")
    model.fit(task.products(task.learn), task.labels(task.learn))
    print(f"  {model.record.steps} steps, held out: {model.record.figures}", file=sys.stderr)
    found = model.predict_proba(task.products(task.measure))
    return [model.classes_[column] for column in found.argmax(axis=1)]


def ladder(task: Task, plan: dict[str, object]) -> list[str]:
    """The whole ladder, which sees the measured products without labels, as it sees any catalogue; it splits off what it holds out."""
    tagger = tagger_for(task.data)
    given = [*task.gold(task.learn), *[None] * len(task.measure)]
    tagger.fit([*task.products(task.learn), *task.products(task.measure)], given, **plan)
    for step in tagger.training.steps:
        print(f"  {step.stage}: {sum(step.speaks)} classes, {step.below} to {step.accuracy} of {step.held_out}", file=sys.stderr)
    return [tag.alternatives[0][0] for tag in tagger.predict(task.products(task.measure))]


def cell(way: str, task: Task, tags: Callable[[], list[str]], about: object) -> dict[str, object]:
    """Return the tags of one way and the seconds they took, from the cache where they were found before."""
    key = hashlib.sha256(json.dumps([way, about, len(task.learn), task.data.name]).encode()).hexdigest()[:16]
    file = FOLDER / f"cell-{key}.json"
    if not file.is_file():
        began = time.perf_counter()
        content = {"tags": tags(), "seconds": time.perf_counter() - began}
        file.write_text(json.dumps(content), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def row(way: str, task: Task, found: dict[str, object]) -> None:
    gold, taxonomy = task.gold(task.measure), task.data.taxonomy
    figures = []
    for depth in range(1, max(map(taxonomy.depth, gold)) + 1):
        said, true = ([taxonomy.trail(each)[:depth][-1] for each in categories] for categories in (found["tags"], gold))
        figures.append(f1_score(true, said, average="weighted", zero_division=0))
    figures.append(f1_score(gold, found["tags"], average="macro", zero_division=0))
    print(f"{way:<44} " + " ".join(f"{figure:>9.3f}" for figure in figures) + f" {found['seconds']:>9.0f}", flush=True)


def killed(task: Task) -> str:
    """Train undisturbed, then once more in a process that is killed behind its first checkpoint, and take that up."""
    rows = task.learn[:KILL_ROWS]
    shown = task.products(task.measure)

    def rung(name: str) -> FineTune:
        return FineTune(task.data.taxonomy, locate(EMBEDDED), settings=KILLED, folder=FOLDER / name)

    whole = rung("undisturbed").fit(task.products(rows), task.labels(rows))
    if not list((FOLDER / "killed").glob("run-*/done")):
        process = subprocess.Popen([sys.executable, __file__, "--to-be-killed", "--set", task.data.name])
        while process.poll() is None and not list((FOLDER / "killed").glob("run-*/checkpoint-*/trainer_state.json")):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed = rung("killed").fit(task.products(rows), task.labels(rows))
    same = np.array_equal(whole.predict_proba(shown), resumed.predict_proba(shown)) and whole.record.figures == resumed.record.figures
    return (
        f"killed behind step {resumed.record.resumed_at} of {resumed.record.steps}: {'the same' if same else 'OTHER'} probabilities of"
        f" {len(shown)} products and held-out figures as undisturbed, to the bit"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="mwpd", help="the product set")
    parser.add_argument("--labels", type=int, default=3000, help="products to learn from; 0 for all, which takes twice as long")
    parser.add_argument("--ways", nargs="+", default=list(TUNED), choices=list(TUNED), help="what to fine-tune")
    parser.add_argument("--to-be-killed", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set FEWTAG_DATA to the folder that holds the product sets")
    FOLDER.mkdir(parents=True, exist_ok=True)
    task = task_of(load(arguments.set), arguments.labels or None)
    if arguments.to_be_killed:
        rows = task.learn[:KILL_ROWS]
        FineTune(task.data.taxonomy, locate(EMBEDDED), settings=KILLED, folder=FOLDER / "killed").fit(
            task.products(rows), task.labels(rows)
        )
        return
    sizes = len(task.learn), len(task.measure), len(task.data.taxonomy.classes)
    print("{}: {} products to learn from, {} to measure on, {} classes".format(task.data.name, *sizes))
    depths = max(map(task.data.taxonomy.depth, task.data.gold))
    print(f"{'':<44} " + " ".join(f"{f'depth {each}':>9}" for each in range(1, depths + 1)) + f" {'macro':>9} {'seconds':>9}")
    row("TF-IDF, linear support vector machine", task, cell("tf-idf", task, lambda: tfidf(task), None))
    row("frozen MiniLM encoder, logistic regression", task, cell("encoder, uncached", task, lambda: encoder(task), None))
    for way in arguments.ways:
        row(way, task, cell("tuned", task, lambda way=way: tuned(task, TUNED[way]), asdict(TUNED[way])))
    for way, plan in LADDERS.items():
        row(way, task, cell("ladder", task, lambda plan=plan: ladder(task, plan), plan))
    print(killed(task))


if __name__ == "__main__":
    main()
