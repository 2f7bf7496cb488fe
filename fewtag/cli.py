"""The command line: parses, calls, prints. Data goes to stdout, talk and progress bars to stderr, and every known error ends here.

The trap: whatever is imported at the top is paid for by `fewtag --help`, so each command imports what it calls.
"""

from __future__ import annotations

import errno
import getpass
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from fewtag import __version__
from fewtag.errors import FewtagError, WorkspaceError

if TYPE_CHECKING:
    from fewtag.labelling import Added
    from fewtag.labels import Conflict
    from fewtag.store import StoredTag
    from fewtag.tagger import Explanation, Tagger
    from fewtag.taxonomy import Taxonomy
    from fewtag.workspace import Workspace


class Stoppable(TyperGroup):
    """The commands, with an end for what stops them from outside: a Ctrl-C, a reader that has read enough, a full disk."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command, and write its data to the last byte, so that what goes wrong with that is noticed here."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            goes_on = ctx.invoked_subcommand in ("bootstrap", "train")
            talk("Stopped: the same command goes on where it was." if goes_on else "Stopped.")
            raise typer.Exit(130) from None
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ENOSPC):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would write the rest while it exits
            if error.errno == errno.EPIPE:  # `fewtag tag ... | head`
                raise typer.Exit(0) from None
            mend = "free some space and run the same command again"
            raise WorkspaceError("the disk is full", mend=mend, where=error.filename or "standard output") from None


app = typer.Typer(
    cls=Stoppable,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Put a shop's products into a taxonomy, with almost no labels.",
)
taxonomy_app = typer.Typer(no_args_is_help=True, help="Check a taxonomy, or look at it.")
app.add_typer(taxonomy_app, name="taxonomy")
label_app = typer.Typer(no_args_is_help=True, help="Say which category is right, take it back, or look at what was said.")
app.add_typer(label_app, name="label")

TaxonomyFile = Annotated[Path, typer.Argument(metavar="TAXONOMY", help="The taxonomy.yaml.")]
ProductId = Annotated[str, typer.Argument(metavar="PRODUCT_ID", help="As the catalogue has it.")]
NewWorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", help="The folder to keep everything in, instead of .fewtag here.")]
WorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", help="The .fewtag folder to use, instead of the nearest one.")]
OutFile = Annotated[Path | None, typer.Option("-o", "--out", help="Where to write: .csv, .jsonl or .parquet; else CSV to stdout.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so, instead of your login name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

SHOWN = 20
SHOWN_CONFLICTS = 5
LOW_PRECISION = 0.5
MOST = 500
T = TypeVar("T")


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
    precision: Annotated[float, typer.Option(help="How sure a tag must be: below it, back off to a parent or abstain.")] = 0.9,
    preset: Annotated[str | None, typer.Option(help="embedded, small, base, multilingual or chinese; replaces the file's.")] = None,
    workspace: NewWorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tag a catalogue without a single label. Interrupted, the same command goes on; unchanged, it does nothing.

    Example: fewtag bootstrap taxonomy.yaml --precision 0.95
    """
    from fewtag.tagger import Tagger
    from fewtag.taxonomy_file import write_ids
    from fewtag.workspace import Workspace

    tagger = Tagger.from_file(taxonomy, preset=preset, precision=precision, workspace=Workspace.home(Path.cwd(), workspace))
    talk(str(tagger.taxonomy), *tagger.voices())
    talk_of_doubts(tagger, 3)
    is_new = not tagger.workspace.is_there()
    outcome = with_bars(tagger.bootstrap, catalogue)
    if is_new:
        talk(f"Everything is kept in {tagger.workspace.root}")
    try:
        if tagger.ids_made:
            talk(f"{write_ids(taxonomy)} categories had no id; the ids made from their paths now stand in {taxonomy}")
    except FewtagError as error:  # the tags are there and right
        talk(f"Categories without an id are known by their paths; the ids could not be written into {taxonomy}: {error.problem}")
    if outcome.unchanged:
        talk("Nothing has changed since the last run: its tags stand.")
    if outcome.mostly_open and precision > LOW_PRECISION:
        talk(f"Most products are left open: --precision {LOW_PRECISION} tags more of them, less surely.")
    if outcome.resumed_at:
        talk(f"Went on behind the {outcome.resumed_at} products of the interrupted run.")
    typer.echo(json.dumps(asdict(outcome)) if as_json else str(outcome))
    talk("Next: `fewtag status` shows the categories, `fewtag explain PRODUCT_ID` one product, `fewtag export -o FILE` writes all tags.")


@app.command()
def train(
    catalogue: Annotated[Path | None, typer.Option(help="Products to tag, instead of the last bootstrap's catalogue.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave the encoder as it is: seconds instead of minutes.")] = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Learn from the labels, and tag the catalogue anew. Interrupted, the same command goes on; unchanged, it does nothing.

    Example: fewtag train --quick
    """
    from fewtag.tagger import Tagger

    tagger = Tagger.open(open_workspace(workspace).root)
    outcome = with_bars(lambda: tagger.train(catalogue, tune=not quick))
    found = tagger.training
    if found:
        cold = len(tagger.classes_) - found.warm
        talk(f"Labels: {found.labels}, of {found.warm} categories; the other {cold} are guessed from their names")
        talk(
            f"Held out, encoder as it is: {found.held_out}; right without labels {found.zero_shot_accuracy:.3f}, with {found.accuracy:.3f}"
        )
    else:
        talk("All labels have been taken back, and what they taught is forgotten.")
    if outcome.unchanged:
        talk("Nothing has changed since the last training, and nothing was tagged anew.")
    typer.echo(json.dumps(asdict(outcome) | {"training": found and asdict(found)}) if as_json else str(outcome))
    talk("Next: `fewtag status` shows the categories, `fewtag export -o FILE` writes all tags.")


@app.command()
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
    from fewtag.models.neighbours.brakes import audit_sample
    from fewtag.tag_file import SPREAD_COLUMNS, spread_rows, stream_csv
    from fewtag.tagger import Tagger

    tagger = Tagger.open(open_workspace(workspace).root)
    if undo is not None:
        typer.echo(f"{tagger.take_back(undo)} products have the tags again that they had before run {undo}")
        return
    if answers:
        take_answers(tagger, answers, by or login())
        return
    found = with_bars(lambda: tagger.propagate(catalogue, precision=precision, dry_run=dry_run))
    if dry_run or audit:
        texts = {product.id: product.text for product in tagger.products()} if tagger.columns.file else {}
        shown = audit_sample(found, audit) if audit else found
        stream_csv(spread_rows(shown, texts, tagger.taxonomy), sys.stdout, SPREAD_COLUMNS)
    if audit and found:
        talk("Write y, n or the right category into the column 'right': `fewtag propagate --answers FILE` counts, and learns from it.")
    talk_of_propagation(tagger, len(found), precision, dry_run)


def talk_of_propagation(tagger: Tagger, count: int, precision: float, dry_run: bool) -> None:
    """Say what a propagation came to, and what to do next."""
    said = tagger.propagation
    if said.unchanged:
        talk(f"Nothing has changed since run {said.run}: its {count} tags stand.")
    else:
        talk(f"{count} products would be tagged by their neighbours" if dry_run else f"{count} products tagged by their neighbours")
    if said.left_alone:
        talk(f"{said.left_alone} products keep the tag of a trained model, which is at least as sure.")
    if not count:
        talk(f"Next: give more labels, or a lower --precision; these cannot prove that {precision:.0%} of what they spread would be right.")
    elif not dry_run:
        talk(f"Next: `fewtag propagate --undo {said.run}` takes this back, `fewtag export -o FILE` writes all tags.")
    else:
        talk("Next: the same without --dry-run keeps these tags.")


def take_answers(tagger: Tagger, file: Path, source: str) -> None:
    """Print how right an audit found what was spread, and add its answers as labels."""
    from fewtag.audit_file import read_answers
    from fewtag.labelling import add_labels
    from fewtag.models.neighbours.brakes import audited_precision

    found = read_answers(file, tagger.taxonomy, tagger.products() if tagger.columns.file else None, source)
    low, high = audited_precision(found.right, found.answered)
    share = found.right / found.answered
    typer.echo(
        f"{found.right} of {found.answered} are right: a precision of {share:.3f}, with 95% confidence between {low:.3f} and {high:.3f}"
    )
    if found.unanswered:
        talk(f"Rows without an answer: {found.unanswered}. Where those are the hard ones, the true precision is lower.")
    print_added(add_labels(tagger.workspace, tagger.taxonomy, found.labels, file), tagger.taxonomy, as_json=False)


@app.command()
def status(workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """Show where the workspace stands: the last run, and how many tags each category has.

    Example: fewtag status --json
    """
    from fewtag.status import read_status

    found = read_status(open_workspace(workspace))
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        ended = f"finished {found.finished}" if found.finished else "not finished: run the same command again"
        labels = f"{found.labels} labels" + (f", {found.conflicts} in conflict" if found.conflicts else "")
        typer.echo(f"{found.taxonomy}: {found.products} products in a run of {found.started}, {ended}")
        typer.echo(f"{found.tagged} tagged, {found.backed_off} backed off to a parent, {found.abstained} left open; {labels}")
        for stage, model, count in found.voices:
            typer.echo(f"{count} by {stage} ({model})")
        if found.training:
            print_branches(found.training)
        typer.echo(f"\n{'tags':>7}  {'confidence':>10}  category")
        for row in found.categories[:SHOWN]:
            typer.echo(f"{row.tags:>7}  {row.confidence:>10.2f}  {row.path}")
        if len(found.categories) > SHOWN:
            typer.echo(f"    ... and {len(found.categories) - SHOWN} more: `fewtag taxonomy show`, or --json")
    talk("Next: `fewtag explain PRODUCT_ID`, or `fewtag tag FILE -o OUT` for other products.")


def print_branches(training: dict[str, Any]) -> None:
    """Print how the labels fared when they were held out, branch by branch."""
    typer.echo(f"\n{'labels':>7}  {'right without':>13}  {'right with':>10}  held out, by branch")
    for row in [*training["branches"], training | {"category": "all"}]:
        typer.echo(f"{row['held_out']:>7}  {row['zero_shot_accuracy']:>13.2f}  {row['accuracy']:>10.2f}  {row['category']}")


@app.command()
def tag(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Products with the catalogue's columns: CSV, JSON lines or Parquet.")],
    out: OutFile = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Tag other products with what the last bootstrap has learnt; the ledger stays as it is.

    Example: fewtag tag new-arrivals.csv -o tagged.csv
    """
    from fewtag.tag_file import check_target, rows_of
    from fewtag.tagger import Tagger

    if out:
        check_target(out, file)
    tagger = Tagger.open(open_workspace(workspace).root)
    write_rows(rows_of(tagger.stream(file), tagger.taxonomy), out)
    talk("Next: to keep tags of new products in the ledger, add them to the catalogue and `fewtag bootstrap` again.")


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


@app.command()
def explain(
    product_id: ProductId,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show why a product has its tag: its likeliest categories, and every tag that it has had.

    similarity is how near the category's words are (the nearest stand in brackets), before what that makes of it as a probability,
    calibrated the same with the encoder's bias taken out and a language model's opinion added, and probability what it is after
    learning from the whole catalogue.

    Example: fewtag explain SKU-4711
    """
    from fewtag.tagger import Tagger

    tagger = Tagger.open(open_workspace(workspace).root)
    found = tagger.explain(tagger.product(product_id))
    history = tagger.history(product_id)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"history": [asdict(each) for each in history]}, ensure_ascii=False))
    else:
        print_explanation(found, history, tagger.taxonomy)
    talk("Next: where this is wrong, give the category more aliases or examples in the taxonomy and `fewtag bootstrap` again.")


def print_explanation(found: Explanation, history: Sequence[StoredTag], taxonomy: Taxonomy) -> None:
    """Print an explanation as a table, and below it every tag that the product has had."""
    said = taxonomy.path(found.tag.category) if found.tag.category else "left open"
    typer.echo(f"{found.product.id}: {found.product.text[:MOST]}\n-> {said}, {found.tag.confidence:.2f} ({found.tag.stage})\n")
    typer.echo(f"{'probability':>11}  {'similarity':>10}  {'before':>6}  {'calibrated':>10}  category (nearest words)")
    for each in found.candidates:
        typer.echo(
            f"{each.probability:>11.3f}  {each.similarity:>10.3f}  {each.before_calibration:>6.3f}  {each.after_calibration:>10.3f}"
            f"  {each.path} ({each.nearest})"
        )
    typer.echo("")
    if history and history[0].tag.category != found.tag.category:
        typer.echo("The product's text, or what was learnt, has changed since the last bootstrap, which said:")
    for past in history:
        name = past.tag.category or "left open"
        typer.echo(f"{past.at}: {name}, {past.tag.confidence:.2f} by {past.tag.stage} ({past.model.name}), run {past.run_id}")


@taxonomy_app.command()
def check(taxonomy: TaxonomyFile) -> None:
    """Read a taxonomy.yaml and its catalogue, and say what is wrong or doubtful.

    Example: fewtag taxonomy check taxonomy.yaml
    """
    from fewtag.tagger import Tagger

    tagger = Tagger.from_file(taxonomy)
    typer.echo(str(tagger.taxonomy))
    if tagger.columns.file:
        first, count = tagger.look()
        typer.echo(f"{count} products, the first is {first.id}: {first.text}")
    talk(*tagger.voices())
    talk_of_doubts(tagger, 10 * SHOWN)
    talk(f"Next: `fewtag bootstrap {taxonomy}`" if tagger.columns.file else "Next: name its products with `catalogue: {file: ...}`")


@taxonomy_app.command()
def show(taxonomy: TaxonomyFile = Path("taxonomy.yaml"), workspace: WorkspaceFolder = None) -> None:
    """Draw the taxonomy as a tree, with the number of tags where there is a workspace.

    Example: fewtag taxonomy show taxonomy.yaml
    """
    from rich.console import Console
    from rich.tree import Tree

    from fewtag.status import tag_counts
    from fewtag.taxonomy import Taxonomy
    from fewtag.workspace import Workspace

    loaded = Taxonomy.load(taxonomy)
    counts = tag_counts(Workspace.seek(Path.cwd(), workspace), loaded)
    tree = Tree(loaded.name, highlight=False)
    branches: dict[str, Tree] = {}
    for node in loaded:
        parents = loaded.parents(node)
        number = f"  {counts[node]}" if counts else ""
        branches[node] = (branches[parents[0]] if parents else tree).add(f"{loaded[node].name}{number}")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with console.capture() as drawn:
        console.print(tree)
    typer.echo(drawn.get(), nl=False)
    talk(
        "A number counts all products of a branch. Next: `fewtag status` shows how sure they are."
        if counts
        else f"Next: `fewtag bootstrap {taxonomy}`"
    )


@label_app.command("import")
def import_labels(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labels, as CSV, JSON lines or Parquet.")],
    by: By = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take labels from a file; one bad row refuses it whole, and what is known already is not taken twice.

    Its columns are found by name: product_id (or sku, id ...) or the product's text (or title ...), category (an id, a full path or a
    unique name), and where there are such, negative (true where the product does not belong there) and source (who says so).

    Example: fewtag label import labels.csv --by ann
    """
    from fewtag.label_file import read_labels
    from fewtag.labelling import add_labels
    from fewtag.tagger import Tagger

    place = open_workspace(workspace)
    tagger = Tagger.open(place.root)
    catalogue = tagger.products() if tagger.columns.file else iter(())
    batch = read_labels(file, tagger.taxonomy, catalogue, by or login(), tagger.columns.id)
    print_added(add_labels(place, tagger.taxonomy, batch, file), tagger.taxonomy, as_json)


@label_app.command("add")
def add_label(
    product_id: ProductId,
    category: Annotated[str, typer.Argument(metavar="CATEGORY", help="An id, a full path or a unique name.")],
    negative: Annotated[bool, typer.Option("--not", help="The product does not belong there, nor to a category below.")] = False,
    by: By = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Label one product of the catalogue.

    Example: fewtag label add SKU-4711 "Drinks > Tea"
    """
    from fewtag.core import Label
    from fewtag.labelling import add_labels
    from fewtag.labels import category_of
    from fewtag.tagger import Tagger

    place = open_workspace(workspace)
    tagger = Tagger.open(place.root)
    label = Label(product_id, category_of(category, tagger.taxonomy, negative=negative), by or login(), negative)
    batch = [(label, tagger.product(product_id).text)]
    print_added(add_labels(place, tagger.taxonomy, batch), tagger.taxonomy, as_json)


@label_app.command("undo")
def undo_labels(
    product_id: Annotated[str | None, typer.Argument(metavar="[PRODUCT_ID]", help="As the catalogue has it.")] = None,
    run: Annotated[int | None, typer.Option("--run", metavar="N", help="An import, to be taken back whole.")] = None,
    by: By = None,
    workspace: WorkspaceFolder = None,
) -> None:
    """Take back what you have said of a product, or all that an import has brought.

    Example: fewtag label undo SKU-4711
    """
    from fewtag.labelling import take_back, take_back_run

    place = open_workspace(workspace)
    if run is not None and product_id is None and by is None:
        count = take_back_run(place, run)
    elif run is None and product_id is not None:
        count = take_back(place, product_id, by or login())
    else:
        problem = "what to take back is not clear"
        raise FewtagError(problem, mend="name either a PRODUCT_ID, with --by where another one said so, or --run N alone")
    typer.echo(f"{count} labels taken back")
    talk("Next: `fewtag train` learns anew from the labels that hold, `fewtag label list` shows them.")


@label_app.command("list")
def list_labels(
    conflicts: Annotated[bool, typer.Option("--conflicts", help="Only those that contradict each other.")] = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write the labels that hold, and who gave them, as CSV to stdout; the oldest first.

    Example: fewtag label list --conflicts
    """
    from fewtag.labelling import COLUMNS, listed
    from fewtag.tag_file import stream_csv

    rows = list(listed(open_workspace(workspace), conflicts=conflicts))
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    else:
        stream_csv(rows, sys.stdout, COLUMNS)
    talk("Next: `fewtag label undo PRODUCT_ID --by NAME` takes back what NAME said." if rows else "Next: `fewtag label import FILE`")


def print_added(added: Added, taxonomy: Taxonomy, as_json: bool) -> None:
    """Print what became of labels, and show the first conflicts that they have a part in."""
    line = f"{added.labels} labels: {added.new} new, {added.known} already there, {len(added.conflicts)} in conflict"
    typer.echo(json.dumps(asdict(added), ensure_ascii=False) if as_json else line)
    for conflict in added.conflicts[:SHOWN_CONFLICTS]:
        talk(f"In conflict: {told(conflict, taxonomy)}")
    if len(added.conflicts) > SHOWN_CONFLICTS:
        talk(f"... and {len(added.conflicts) - SHOWN_CONFLICTS} more: `fewtag label list --conflicts`")
    if added.run:
        talk(f"`fewtag label undo --run {added.run}` takes this import back.")
    talk("Next: `fewtag train` learns from them.")


def told(conflict: Conflict, taxonomy: Taxonomy) -> str:
    """Say who says what of a product, the last of whom is learnt from."""
    words = []
    for each in conflict.sayings:
        category = taxonomy.path(each.category) if each.category in taxonomy else each.category
        words.append(f"{each.source} says {'not ' if each.negative else ''}{category}")
    return f"{conflict.product_id}: {', '.join(words)}"


def login() -> str:
    """Return who is at the terminal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers, and no USER either
        return "someone"


def open_workspace(named: Path | None) -> Workspace:
    """Find the workspace that a command works in."""
    from fewtag.workspace import Workspace

    return Workspace.find(Path.cwd(), named)


def talk_of_doubts(tagger: Tagger, shown: int) -> None:
    """Say what is doubtful, the first few of it."""
    doubts = tagger.doubts()
    talk(*(f"Doubtful: {doubt}" for doubt in doubts[:shown]))
    if len(doubts) > shown:
        talk(f"Doubtful: {len(doubts) - shown} more things, see `fewtag taxonomy check`")


def write_rows(rows: Iterator[dict[str, Any]], out: Path | None) -> None:
    """Write tags to a file, or as CSV to stdout, and say how many they were."""
    from fewtag.tag_file import stream_csv, write_tags

    count = with_bars(write_tags, rows, out) if out else with_bars(stream_csv, rows, sys.stdout)
    talk(f"{count} products written to {out or 'standard output'}")


def with_bars(work: Callable[..., T], *arguments: Any) -> T:
    """Do something that takes long with its progress shown."""
    from fewtag.progress import shown

    with shown():
        return work(*arguments)


def talk(*lines: str) -> None:
    """Say something to the person at the terminal."""
    for line in lines:
        typer.echo(line, err=True)
