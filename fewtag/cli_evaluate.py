"""The command `fewtag evaluate`: how good tags are against gold, as a table, as JSON, or product by product."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtag.terminal import AsJson, WorkspaceFolder, about, gold_for, many, open_workspace, talk, talk_of_changed_taxonomy, with_bars

if TYPE_CHECKING:
    from fewtag.evaluation import Evaluation, Figure
    from fewtag.gold_file import Gold
    from fewtag.metrics import Confusion
    from fewtag.taxonomy import Taxonomy

ANSWERS = {
    "accuracy": "accuracy: the very gold category",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "hierarchical_precision": "hierarchical precision",
    "hierarchical_recall": "hierarchical recall",
    "hierarchical_f1": "hierarchical F1",
    "lca_distance": "edges from answer to gold",
}
RANKING = {
    "mrr": "mean reciprocal rank of the gold",
    "precision_at_1": "P@1: gold is the likeliest",
    "precision_at_3": "P@3: gold is among three",
    "precision_at_5": "P@5: gold is among five",
    "log_loss": "log-loss, in nats",
    "brier": "Brier score, 0 to 2",
    "ece": "calibration error (ECE)",
}
SELECTIVE = {
    "coverage": "coverage: share with a tag",
    "precision": "precision: tags at or above the gold",
    "risk_coverage_area": "area under risk-coverage",
}


def evaluate(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="Products with their true category, as `fewtag label import` takes them.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a row for each product besides: .csv, .jsonl or .parquet.")] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Measure what the tagger says now of products whose true category is known: every figure with its 95% interval.

    Products that it has learnt from are left out, and counted. A row without a category says that the product belongs nowhere. Products
    are found by id in the catalogue, others are tagged by their text; the ledger stays as it is.

    Example: fewtag evaluate gold.csv -o mistakes.csv
    """
    from fewtag.evaluation import COLUMNS
    from fewtag.tag_file import check_target, write_tags
    from fewtag.tagger import Tagger

    if out:
        check_target(out, gold)
    tagger = Tagger.open(open_workspace(workspace).root)
    truth = gold_for(tagger, gold)
    talk_of_changed_taxonomy(tagger)
    with about(gold):
        found = with_bars(tagger.evaluate, truth.products, truth.categories)
    talk_of_left_out(found, truth)
    if out:
        talk(f"{many(write_tags(found.rows, out, COLUMNS), 'product')} written to {out}")
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False)) if as_json else print_evaluation(found, tagger.taxonomy)
    talk(
        "Next: `fewtag explain PRODUCT_ID` says why a product has its tag." if out else "Next: -o FILE writes every product's gold and tag."
    )


def talk_of_left_out(found: Evaluation, gold: Gold) -> None:
    """Say what of the gold does not count, or not everywhere."""
    counts = {
        "Left out, since labels or examples of the same product or text were learnt from, and would flatter: {}.": found.learnt_from,
        "Left out, as what is said of them contradicts itself: {}.": gold.contradicted,
        "Left out, as nothing is said but what they are not: {}.": gold.denied,
        "Without a gold category, so that any tag is wrong: {}.": found.nowhere,
        "Not in the catalogue, and tagged by the texts in the file: {}.": gold.strangers,
    }
    talk(*(line.format(many(count, "product")) for line, count in counts.items() if count))


def print_evaluation(found: Evaluation, taxonomy: Taxonomy) -> None:
    """Print the figures as tables."""
    typer.echo(f"{found.taxonomy}: {many(found.products, 'product')} with gold; in brackets, the 95% interval of each figure")
    typer.echo(f"\n{'depth':>5}  {'products':>8}  {'accuracy':<20}  {'weighted F1':<20}  {'macro F1':<20}  ECE")
    for row in found.depths:
        figures = "  ".join(f"{shown(each):<20}" for each in (row.accuracy, row.weighted_f1, row.macro_f1, row.ece))
        typer.echo(f"{row.depth:>5}  {row.products:>8}  {figures}".rstrip())
    typer.echo(f"\n{'':<36}  {'likeliest category':<22}  tag, or none, at {found.precision}")
    for name, told in ANSWERS.items():
        typer.echo(f"{told:<36}  {shown(getattr(found.likeliest, name)):<22}  {shown(getattr(found.tags, name))}")
    for name, told in RANKING.items():
        typer.echo(f"{told:<36}  {shown(getattr(found.ranking, name))}")
    for name, told in SELECTIVE.items():
        column = "" if name == "risk_coverage_area" else f"{'':<22}  "
        typer.echo(f"{told:<36}  {column}{shown(getattr(found.selective, name))}")
    print_confusions(found.confusions, taxonomy)
    print_branches(found)


def print_confusions(confusions: Sequence[Confusion], taxonomy: Taxonomy) -> None:
    """Print which siblings were taken for each other most often."""
    if confusions:
        typer.echo(
            f"\n{'products':>8}  siblings that were confused: how often the first was said for the second, and the second for the first"
        )
    for pair in confusions:
        both = f"{taxonomy.path(pair.one)} | {taxonomy.path(pair.other)}"
        typer.echo(f"{pair.count:>8}  {both}: {pair.one_said_for_other}, {pair.other_said_for_one}")


def print_branches(found: Evaluation) -> None:
    """Print the branches that fare worst and those that fare best, and how many others there are."""
    worst, best = found.worst_and_best()
    first, last = ([f"{row.products:>8}  {shown(row.accuracy):<20}  {row.path}" for row in some] for some in (worst, best))
    others = len(found.branches) - len(worst) - len(best)
    typer.echo(f"\n{'products':>8}  {'accuracy':<20}  branch, the worst first")
    for line in (*first, *([f"{'...':>8}  and {many(others, 'other')}: --json"] if others else []), *last):
        typer.echo(line)


def shown(figure: Figure | None) -> str:
    """Write a figure with its interval.

    >>> from fewtag.evaluation import Figure
    >>> shown(Figure(0.5, 0.25, 0.75)), shown(None)
    ('0.500 [0.250, 0.750]', '-')
    """
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]" if figure else "-"
