"""The command line: parses, calls, prints. Data goes to stdout, talk and progress bars to stderr, and every known error ends here.

The trap: whatever is imported at the top is paid for by `fewtag --help`, so each command imports what it calls.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtag import __version__
from fewtag.cli_evaluate import evaluate
from fewtag.cli_explain import explain
from fewtag.cli_label import label_app
from fewtag.cli_propagate import propagate
from fewtag.cli_report import report
from fewtag.cli_taxonomy import taxonomy_app
from fewtag.cli_train import train
from fewtag.errors import FewtagError
from fewtag.terminal import (
    AsJson,
    Stoppable,
    TaxonomyFile,
    WorkspaceFolder,
    bootstrap_of,
    many,
    open_workspace,
    talk,
    talk_of_doubts,
    talk_of_lost_labels,
    talk_of_open,
    with_bars,
)

if TYPE_CHECKING:
    from fewtag.status import BranchStatus
    from fewtag.sweep import Outcome
    from fewtag.tagger import Tagger

app = typer.Typer(
    cls=Stoppable,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Put a shop's products into a taxonomy, with almost no labels.",
)
app.add_typer(taxonomy_app, name="taxonomy")
app.add_typer(label_app, name="label")

NewWorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", help="The folder to keep everything in, instead of .fewtag here.")]
OutFile = Annotated[Path | None, typer.Option("-o", "--out", help="Where to write: .csv, .jsonl or .parquet; else CSV to stdout.")]

STATUS_SCHEMA = "fewtag.status/1"
"""Goes up when a key of `fewtag status --json` changes or goes, and not when one is added."""
SHOWN = 20


def main() -> None:
    """Run the command line; a known error is one line and exit code 2."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  `>&-` closes it
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # as every file that fewtag writes; Windows would take another, and fail on a name
    try:
        app()
    except FewtagError as error:
        talk(f"Error: {error}")
        sys.exit(2)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Put a shop's products into a taxonomy, with almost no labels."""
    if version:
        typer.echo(f"fewtag {__version__}")
        raise typer.Exit


@app.command()
def bootstrap(
    taxonomy: TaxonomyFile,
    catalogue: Annotated[Path | None, typer.Option(help="Products to tag, instead of the file's own catalogue.")] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="How often tags are to be right: else they back off to a parent, or to none. As the last time, or 0.9."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="embedded, small, base, multilingual or chinese; replaces the file's.")] = None,
    encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="A sentence encoder: a hub id or a folder; replaces the file's.")
    ] = None,
    lm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A language model: a hub id, a folder, a server's address, or none; replaces the file's."),
    ] = None,
    workspace: NewWorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tag a catalogue without a single label. Interrupted, the same command goes on; unchanged, it does nothing.

    Example: fewtag bootstrap taxonomy.yaml --precision 0.95
    """
    from fewtag.decide import PRECISION
    from fewtag.tagger import Tagger
    from fewtag.workspace import Workspace

    home = Workspace.home(Path.cwd(), workspace)
    tagger = Tagger.from_file(taxonomy, preset=preset, encoder=encoder, lm=lm, precision=precision, workspace=home)
    talk(str(tagger.taxonomy), *tagger.voices())
    talk_of_doubts(tagger, 3)
    is_new = not tagger.workspace.is_there()
    if precision is None and tagger.precision != PRECISION:
        talk(f"Asked for is a precision of {tagger.precision:g}, as the last time: `--precision` asks for another.")
    outcome = with_bars(tagger.bootstrap, catalogue)
    if is_new:
        talk(f"Everything is kept in {tagger.workspace.root}")
    if tagger.ids_made:
        keep_ids(taxonomy)
    talk_of_outcome(tagger, outcome)
    typer.echo(json.dumps(asdict(outcome)) if as_json else str(outcome))
    talk("Next: `fewtag status` shows the categories, `fewtag explain PRODUCT_ID` one product, `fewtag export -o FILE` writes all tags.")


def talk_of_outcome(tagger: Tagger, outcome: Outcome) -> None:
    """Say what a bootstrap did, or had no need to do."""
    if outcome.unchanged:
        talk("Nothing has changed since the last run: its tags stand.")
    elif tagger.consulted:
        talk(str(tagger.consulted))
    talk_of_open(tagger, outcome)
    if outcome.relearnt:
        talk("Categories or models have changed, and what labels teach was learnt anew, quickly: `fewtag train` may do better.")
    talk_of_lost_labels(tagger)
    if outcome.resumed_at:
        talk(f"Went on behind the {outcome.resumed_at} products of the interrupted run.")


def keep_ids(taxonomy: Path) -> None:
    """Write the ids that were made from paths into a taxonomy's file, or say why not: the tags are there and right all the same."""
    from fewtag.taxonomy_file import write_ids

    try:
        made = many(write_ids(taxonomy), "category", "categories")
        talk(f"{made} had no id; the ids made from their paths now stand in {taxonomy}")
    except FewtagError as error:
        talk(f"Categories without an id are known by their paths; the ids could not be written into {taxonomy}: {error.problem}")


app.command()(train)
app.command()(propagate)
app.command()(evaluate)
app.command()(explain)
app.command()(report)


@app.command()
def status(workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """Show where the workspace stands: the last run, and how many tags each category has.

    Example: fewtag status --json
    """
    from fewtag.status import read_status

    found = read_status(open_workspace(workspace))
    if as_json:
        typer.echo(json.dumps({"schema": STATUS_SCHEMA} | asdict(found), ensure_ascii=False))
    else:
        ended = f"finished {found.finished}" if found.finished else "not finished: run the same command again"
        labels = many(found.labels, "label") + (f", {found.conflicts} in conflict" if found.conflicts else "")
        typer.echo(f"{found.taxonomy}: {many(found.products, 'product')} in a run of {found.started}, {ended}")
        typer.echo(f"{found.tally}; {labels}")
        for stage, model, count in found.voices:
            typer.echo(f"{count} by {stage}" + (f" ({model})" if model else ""))
        for said in (*found.models, *([str(found.consulted)] if found.consulted else [])):
            typer.echo(said)
        if found.promise:
            typer.echo(str(found.promise))
        if found.branches:
            print_branches(found.branches)
        typer.echo(f"\n{'tags':>7}  {'confidence':>10}  category")
        for row in found.categories[:SHOWN]:
            confidence = "-" if row.confidence is None else f"{row.confidence:.2f}"
            typer.echo(f"{row.tags:>7}  {confidence:>10}  {row.path}")
        if len(found.categories) > SHOWN:
            typer.echo(f"    ... and {len(found.categories) - SHOWN} more: `fewtag taxonomy show`, or --json")
    if found.waiting:
        talk(f"Labels given or taken back since the last training: {found.waiting}. Next: `fewtag train`, or `fewtag train --quick`.")
    else:
        talk("Next: `fewtag explain PRODUCT_ID`, or `fewtag tag FILE -o OUT` for other products.")


def print_branches(branches: Sequence[BranchStatus]) -> None:
    """Print, branch by branch, the rungs, how its labels fare where they are held out, why, and what would help most."""
    typer.echo(f"\n{'labels':>7}  {'F1 held out':>17}  branch: rungs; reason; what would help most")
    for row in branches[:SHOWN]:
        middle, low, high = row.f1
        f1 = f"{middle:.2f} [{low:.2f}, {high:.2f}]" if row.held_out else "-"
        typer.echo(f"{row.labels:>7}  {f1:>17}  {row.path}: {row.rungs}; {row.reason}; {row.help}")
    if len(branches) > SHOWN:
        typer.echo(f"    ... and {len(branches) - SHOWN} more: --json")


@app.command()
def tag(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Products with the catalogue's columns: CSV, JSON lines or Parquet.")],
    out: OutFile = None,
    hold: Annotated[
        float | None, typer.Option(help="Write as alternatives those that have the right one for this share of products, such as 0.95.")
    ] = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Tag other products with what the last bootstrap has learnt; the ledger stays as it is.

    Example: fewtag tag new-arrivals.csv -o tagged.csv --hold 0.95
    """
    from fewtag.tag_file import check_target, rows_of
    from fewtag.tagger import Tagger

    if out:
        check_target(out, file)
    tagger = Tagger.open(open_workspace(workspace).root)
    if hold is not None:
        talk(str(tagger.holding(hold)))
    write_rows(rows_of(tagger.stream(file, hold), tagger.taxonomy), out)
    talk(f"Next: to keep tags of new products in the ledger, add them to the catalogue, and `{bootstrap_of(tagger)}` again.")


@app.command()
def export(out: OutFile = None, workspace: WorkspaceFolder = None) -> None:
    """Write the catalogue's tags, as the ledger has them.

    Example: fewtag export -o tags.csv
    """
    from fewtag.tag_file import catalogue_of, check_target, stored_rows

    place = open_workspace(workspace)
    if out:
        check_target(out, catalogue_of(place))
    write_rows(stored_rows(place), out)
    talk("Next: `fewtag explain PRODUCT_ID` says why a product has its tag.")


def write_rows(rows: Iterator[dict[str, Any]], out: Path | None) -> None:
    """Write tags to a file, or as CSV to stdout, and say how many they were."""
    from fewtag.tag_file import stream_csv, write_tags

    count = with_bars(write_tags, rows, out) if out else with_bars(stream_csv, rows, sys.stdout)
    talk(f"{many(count, 'product')} written to {out or 'standard output'}")
