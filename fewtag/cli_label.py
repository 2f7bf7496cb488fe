"""The commands of `fewtag label`: they say which category is right, take it back, and show what was said."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtag.errors import FewtagError
from fewtag.terminal import AsJson, By, ProductId, WorkspaceFolder, login, many, open_workspace, talk

if TYPE_CHECKING:
    from fewtag.labelling import Added
    from fewtag.labels import Conflict
    from fewtag.taxonomy import Taxonomy

label_app = typer.Typer(no_args_is_help=True, help="Say which category is right, take it back, or look at what was said.")


SHOWN_CONFLICTS = 5


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
    catalogue = tagger.products() if tagger.columns.file else None
    batch = read_labels(file, tagger.taxonomy, catalogue, by or login(), tagger.columns.id)
    if batch.strangers:
        talk(f"Not in the catalogue, and learnt from by the texts in the file: {many(len(batch.strangers), 'product')}.")
    print_added(add_labels(place, tagger.taxonomy, batch.labels, file), tagger.taxonomy, as_json)


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
    typer.echo(f"{many(count, 'label')} taken back")
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
    if rows:
        talk("Next: `fewtag label undo PRODUCT_ID --by NAME` takes back what NAME said.")
    else:
        talk("No labels contradict each other." if conflicts else "There are no labels yet. Next: `fewtag label import FILE`")


def print_added(added: Added, taxonomy: Taxonomy, as_json: bool) -> None:
    """Print what became of labels, and show the first conflicts that they have a part in."""
    line = f"{many(added.labels, 'label')}: {added.new} new, {added.known} already there, {len(added.conflicts)} in conflict"
    typer.echo(json.dumps(asdict(added), ensure_ascii=False) if as_json else line)
    if added.replaced:
        talk(f"Earlier labels of the same people that do not count any more: {added.replaced}")
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
