"""Measures how well wrong labels are found: `python benchmarks/label_errors.py` (ten minutes on 2 cores).

Of labels drawn from real products, some are made wrong: each gets a sibling's category. All labels are then ranked by what held-out heads
say of them, and how many wrong ones stand above each right one is summed up as average precision. Where cleanlab can be imported, it ranks
the same labels by the same probabilities, all classes kept: it is under the AGPL, so that fewtag neither needs nor installs it
(`pip install --target FOLDER --no-deps cleanlab termcolor`, then `PYTHONPATH=FOLDER`). The trap: the sets have wrong labels of their own,
which count here as false alarms.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from product_sets import ProductSet, load, tagger_for
from sklearn.metrics import average_precision_score

from fewtag.label_errors import TOP, Opinions, self_confidence, suspects

SETS: Final = ("mwpd", "instacart", "zh_products")
BUDGETS: Final = (2, 8, 16)
WRONG: Final = 0.05
CATALOGUE: Final = 3000

try:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
except ImportError:
    get_label_quality_scores = None


def spoilt(data: ProductSet, rows: Sequence[int], rng: np.random.Generator) -> tuple[list[str], set[str]]:
    """Return the rows' categories, `WRONG` of them a sibling's, and the ids of the products of those."""
    given, wrong = [data.gold[row] for row in rows], set()
    for place in rng.permutation(len(rows)).tolist():
        siblings = [each for each in data.taxonomy.siblings(given[place]) if each in data.taxonomy.index]
        if siblings and len(wrong) < round(WRONG * len(rows)):
            given[place] = siblings[rng.integers(len(siblings))]
            wrong.add(data.products[rows[place]].id)
    return given, wrong


def drawn(data: ProductSet, budget: int, seed: int) -> tuple[Opinions, np.ndarray]:
    """Label so many products of each category, and return what is said of them, all classes kept, and which labels are wrong, (n,)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.gold)).tolist()
    rows = [row for each in data.taxonomy.classes for row in [row for row in order if data.gold[row] == each][:budget]]
    given, wrong = spoilt(data, rows, rng)
    tagger = tagger_for(data)
    tagger.bootstrap([data.products[row] for row in {*order[:CATALOGUE], *rows}])
    tagger.fit([data.products[row] for row in rows], given, tune=False)
    found = tagger.second_opinion(top=len(data.taxonomy.classes))
    assert found.stage == "few-shot"
    assert found.opinions
    return found.opinions, np.array([label.product_id in wrong for label, _ in found.labels])


def ours(opinions: Opinions, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how doubtful each label is, (n,), the suspects in their order and then the rest, and which are suspected.

    As many classes are kept as in the report.
    """
    few = Opinions(opinions.given, opinions.own, opinions.classes[:, :TOP], opinions.shares[:, :TOP])
    listed = np.zeros(len(few.given), dtype=np.bool_)
    listed[[each.row for each in suspects(few, n_classes)]] = True
    ratio = few.own / self_confidence(few, n_classes)[few.given]
    return listed - ratio / ratio.max(), listed


def rankings(opinions: Opinions, n_classes: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each way's name, how doubtful it finds each label, (n,), and which it lists, (n,)."""
    others = np.where(opinions.classes == opinions.given[:, None], 0, opinions.shares).max(axis=1)
    yield "not the likeliest, by margin", others - opinions.own, others > opinions.own
    yield "fewtag", *ours(opinions, n_classes)
    if not get_label_quality_scores:
        return
    dense = np.zeros((len(opinions.given), n_classes), dtype=np.float32)
    np.put_along_axis(dense, opinions.classes, opinions.shares, axis=1)
    listed = find_label_issues(opinions.given, dense, n_jobs=1)
    for method in ("normalized_margin", "self_confidence"):
        yield f"cleanlab, {method}", 1 - get_label_quality_scores(opinions.given, dense, method=method), listed


def row_of(name: str, doubt: np.ndarray, listed: np.ndarray, wrong: np.ndarray) -> str:
    """Write average precision and the share that is wrong of the first n, n being how many are; and of the listed how many are and which
    share of the wrong ones they have."""
    first = np.argsort(-doubt, kind="stable")[: wrong.sum()]
    figures = average_precision_score(wrong, doubt), wrong[first].mean(), listed.sum(), wrong[listed].mean() if listed.any() else 0
    return "| {} | {:.3f} | {:.2f} | {} | {:.2f} | {:.2f} |".format(name, *figures, wrong[listed].sum() / wrong.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--budgets", nargs="+", type=int, default=BUDGETS)
    parser.add_argument("--draws", type=int, default=2)
    arguments = parser.parse_args()
    if not get_label_quality_scores:
        print("cleanlab is left out: it cannot be imported")
    for name in arguments.sets:
        data = load(name, 20_000)
        for budget in arguments.budgets:
            for draw in range(arguments.draws):
                opinions, wrong = drawn(data, budget, draw)
                print(f"\n{name}, {budget} labels a category, draw {draw}: {len(wrong)} labels, {wrong.sum()} of them wrong\n")
                print("| way | average precision | first n | listed | are wrong | found |\n|---|---|---|---|---|---|")
                for way, doubt, listed in rankings(opinions, len(data.taxonomy.classes)):
                    print(row_of(way, doubt, listed, wrong), flush=True)


if __name__ == "__main__":
    main()
