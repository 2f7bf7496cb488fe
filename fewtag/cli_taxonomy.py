"""The commands of `fewtag taxonomy`: they say what is wrong or doubtful about a taxonomy, and draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewtag.terminal import TaxonomyFile, WorkspaceFolder, open_workspace, talk, talk_of_doubts

if TYPE_CHECKING:
    from fewtag.workspace import Workspace

taxonomy_app = typer.Typer(no_args_is_help=True, help="Check a taxonomy, or look at it.")

SHOWN_DOUBTS = 200


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
    talk_of_doubts(tagger, SHOWN_DOUBTS)
    talk(f"Next: `fewtag bootstrap {taxonomy}`" if tagger.columns.file else "Next: name its products with `catalogue: {file: ...}`")


@taxonomy_app.command()
def show(
    taxonomy: TaxonomyFile = Path("taxonomy.yaml"),
    workspace: WorkspaceFolder = None,
    enriched: Annotated[bool, typer.Option("--enriched", help="Print the words beyond its name that each category has.")] = False,
) -> None:
    """Draw the taxonomy as a tree, with the number of tags where there is a workspace.

    --enriched prints instead, for each category, what a language model has written of it (`models: {enrich: true}`), which is read as its
    own words, and what is mined from its products' titles, which is a suggestion for its aliases and read by nothing.

    Example: fewtag taxonomy show taxonomy.yaml --enriched
    """
    if enriched:
        print_enriched(taxonomy, open_workspace(workspace))
        return
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


def print_enriched(file: Path, place: Workspace) -> None:
    """Print what there is of each category beyond its name, and by whom."""
    from fewtag.enrichment import look_up
    from fewtag.taxonomy import Taxonomy

    for row in look_up(place, Taxonomy.load(file)):
        said = {f"words by {row.entry.by or 'a person'}": row.entry.words, "titles": row.entry.titles}
        said |= {"refused": row.entry.refused, "mined": row.mined}
        lines = [f"  {what}: {'; '.join(phrases)}" for what, phrases in said.items() if phrases]
        typer.echo("\n".join([row.path, *(lines or ["  nothing yet"])]))
    talk(f"What is written stands in {place.enriched}: change it, or put it under `refused`; mined words may become aliases in {file}.")
