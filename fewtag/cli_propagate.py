"""The command `fewtag propagate`: it spreads labels, takes that back, and has a person look at a sample of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtag.cli_label import print_added
from fewtag.errors import FewtagError
from fewtag.terminal import By, WorkspaceFolder, login, many, open_workspace, talk, with_bars

if TYPE_CHECKING:
    from fewtag.core import Tag
    from fewtag.tagger import Tagger


def propagate(
    catalogue: Annotated[Path | None, typer.Option(help="Products to tag, instead of the last bootstrap's catalogue.")] = None,
    precision: Annotated[float, typer.Option(help="The share of spread tags that is to be right, as far as labels can tell.")] = 0.95,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be spread, as CSV, and change nothing.")] = False,
    undo: Annotated[int | None, typer.Option("--undo", metavar="RUN", help="Take back what an earlier propagation has spread.")] = None,
    audit: Annotated[
        int, typer.Option(metavar="N", help="Draw N spread tags for a person to look at, as CSV with a column for the answer.")
    ] = 0,
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="FILE", help="Take an audit's answers: how right the tags are, and new labels.")
    ] = None,
    by: By = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Spread labels to the unlabelled products that they safely speak for, over an index of nearest neighbours. Unchanged, it does nothing.

    An audit's column 'right' is for a person: y, n or the right category. With --answers it comes back as a figure and as labels.

    Example: fewtag propagate --dry-run --audit 50 > audit.csv
    """
    from fewtag.tagger import Tagger

    if audit < 0:
        raise FewtagError(f"the audit is to draw {audit} tags", mend="give 1 or more")
    if sum((undo is not None, answers is not None, dry_run or audit > 0)) > 1:
        problem = "--undo and --answers each do one thing alone"
        raise FewtagError(problem, mend="leave out the rest: --dry-run, --audit, or one of the two")
    tagger = Tagger.open(open_workspace(workspace).root)
    if undo is not None:
        typer.echo(f"Tagged again as before run {undo}: {many(tagger.take_back(undo), 'product')}")
        return
    if answers:
        take_answers(tagger, answers, by or login())
        return
    found = with_bars(lambda: tagger.propagate(catalogue, precision=precision, dry_run=dry_run))
    if dry_run or audit:
        print_spread(tagger, found, audit)
    talk_of_propagation(tagger, len(found), precision, dry_run)


def print_spread(tagger: Tagger, found: Sequence[Tag], audit: int) -> None:
    """Print what was spread as CSV, or so many of it for a person to look at."""
    from fewtag.audit import audit_sample
    from fewtag.tag_file import SPREAD_COLUMNS, spread_rows, stream_csv

    texts = {product.id: product.text for product in tagger.products()} if tagger.columns.file else {}
    shown = audit_sample(found, audit) if audit else found
    stream_csv(spread_rows(shown, texts, tagger.taxonomy), sys.stdout, SPREAD_COLUMNS)
    if len(found) < audit:
        talk(f"The audit has all {len(found)} that there are, fewer than the {audit} that were asked for.")
    if audit and found:
        talk("Write y, n or the right category into the column 'right': `fewtag propagate --answers FILE` counts, and learns from it.")


def talk_of_propagation(tagger: Tagger, count: int, precision: float, dry_run: bool) -> None:
    """Say what a propagation came to, and what to do next."""
    said = tagger.propagation
    if said.unchanged:
        talk(f"Nothing has changed since run {said.run}: its {count} tags stand.")
    else:
        talk(f"{many(count, 'product')} {'would be tagged' if dry_run else 'tagged'} by their neighbours")
    if said.left_alone:
        talk(f"Left alone with a label's tag, or a trained model's that is at least as sure: {many(said.left_alone, 'product')}.")
    if said.given_back:
        back = "Would get their earlier tag back" if dry_run else f"Got their earlier tag back in run {said.run}"
        talk(f"{back}, as labels no longer spread to them: {many(said.given_back, 'product')}.")
    if not count:
        talk(f"Next: give more labels, or a lower --precision; these cannot prove that {precision:.0%} of what they spread would be right.")
    elif not dry_run:
        talk("These tags hold until a bootstrap or training that has something new, or the next propagation.")
        talk(f"Next: `fewtag propagate --undo {said.run}` takes this back, `fewtag export -o FILE` writes all tags.")
    else:
        talk("Next: the same without --dry-run keeps these tags.")


def take_answers(tagger: Tagger, file: Path, source: str) -> None:
    """Print how right an audit found what was spread, and add its answers as labels."""
    from fewtag.audit import read_answers
    from fewtag.labelling import add_labels
    from fewtag.metrics import wilson

    found = read_answers(file, tagger.taxonomy, tagger.products() if tagger.columns.file else None, source)
    low, high = wilson(found.right, found.answered)
    share = found.right / found.answered
    typer.echo(
        f"{found.right} of {found.answered} are right: a precision of {share:.3f}, with 95% confidence between {low:.3f} and {high:.3f}"
    )
    if found.unanswered:
        talk(f"Rows without an answer: {found.unanswered}. Where those are the hard ones, the true precision is lower.")
    print_added(add_labels(tagger.workspace, tagger.taxonomy, found.labels, file), tagger.taxonomy, as_json=False)
