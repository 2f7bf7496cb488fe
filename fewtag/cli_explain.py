"""The command `fewtag explain`: why a product has its tag, for a person to read or as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from fewtag.terminal import AsJson, ProductId, WorkspaceFolder, bootstrap_of, open_workspace, talk, with_bars

if TYPE_CHECKING:
    from fewtag.core import Tag
    from fewtag.explanation import Explanation
    from fewtag.store import StoredTag
    from fewtag.taxonomy import Taxonomy

MOST = 500
SHOWN_WORDS = 6
FATES = {
    "heeded": "",
    "waiting": ": the rungs do not heed it yet, `fewtag train` learns from it",
    "outvoted": ": not heeded, as a label that counts before it says otherwise",
    "earlier text": ": not heeded, as the product's text was another one then; say it again if it still holds",
    "category gone": ": not heeded, as no product can have that category any more",
    "taken back": ": said no longer, which `fewtag train` learns",
}
TOLD = 0.01
"""A word without which less than that changes is not shown."""


def explain(
    product_id: ProductId,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show why a product has its tag: its likeliest categories, the words that mattered, labelled products like it, and its history.

    probability is what all rungs come to, zero-shot, few-shot and fine-tune what each of these says alone, where it speaks for the
    category; what people have said of this very product outweighs them, and stands above. similarity is how near the category's words
    are (the nearest stand in brackets), before what that makes of it as a probability, calibrated the same with the encoder's bias
    taken out and a language model's opinion added; zero-shot has learnt from the whole catalogue besides.

    Example: fewtag explain SKU-4711
    """
    from fewtag.tagger import Tagger

    tagger = Tagger.open(open_workspace(workspace).root)
    found = with_bars(tagger.explain, tagger.product(product_id))
    history = tagger.history(product_id)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"history": [asdict(each) for each in history]}, ensure_ascii=False))
    else:
        print_explanation(found, tagger.taxonomy)
        print_history(found, history, tagger.taxonomy)
    there = ["--workspace", str(workspace)] if workspace else []
    mend = f"`{shlex.join(['fewtag', 'label', 'add', product_id, 'CATEGORY', *there])}`"
    if found.tag.stage != "label":
        mend += f", or give the category more aliases and `{bootstrap_of(tagger)}`"
    talk(f"Next: where this is wrong, {mend}.")


def print_explanation(found: Explanation, taxonomy: Taxonomy) -> None:
    """Print the tag, what people say, a table of the likeliest categories, and what would change the answer."""
    typer.echo(f"{found.product.id}: {found.product.text[:MOST]}")
    typer.echo(f"-> {headline(found.tag, taxonomy)}")
    for said in found.labels:
        what = f"{'not ' if said.label.negative else ''}{named(said.label.category, taxonomy)}"
        when = f" ({said.at})" if said.at else ""
        typer.echo(f"{said.label.source} says {what}{when}{FATES[said.fate]}")
    rungs = headline(found.by_rungs, taxonomy)
    if found.tag.stage == "neighbours":
        near = ", ".join(f"{product_id} ({similarity:.2f})" for product_id, similarity in found.tag.sources)
        typer.echo(f"Spread to it from labels of products that were like it then: {near}. The rungs would say {rungs}:")
    elif found.is_decided_by_people:
        typer.echo(f"What people say of this very product decides. The rungs, which may have learnt from it, would say {rungs}:")
    typer.echo("")
    print_candidates(found)
    if len(found.weights) > 1:
        shares = ", ".join(f"{rung} {share:.0%}" for rung, share in found.weights.items())
        typer.echo(f"Where all rungs speak, the logarithms of what they say are weighed, before gate and calibration: {shares}")
    way = " > ".join(f"{taxonomy[category].name} {share:.2f}" for category, share in found.way)
    sure = f"{found.level:.3g} sure, and much likelier than a guess"
    typer.echo(f"\n{way}: " + (f"tagged is the deepest that is {sure}" if found.by_rungs.category else f"none of them is {sure}"))
    print_words(found, taxonomy)
    if found.neighbours:
        typer.echo("\nsimilarity  the nearest labelled products, and what they are")
    for each in found.neighbours:
        typer.echo(f"{each.similarity:>10.2f}  {each.text[:MOST]}: {named(each.label.category, taxonomy)} ({each.label.source})")


def headline(tag: Tag, taxonomy: Taxonomy) -> str:
    """Say a tag in a few words."""
    if tag.stage == "label":
        return f"{named(tag.category, taxonomy)}, by its label"
    likeliest = f", likeliest {named(tag.alternatives[0][0], taxonomy)}" if tag.category is None and tag.alternatives else ""
    return f"{named(tag.category, taxonomy)}{likeliest}, {tag.confidence:.2f} ({tag.stage})"


def print_candidates(found: Explanation) -> None:
    """Print what is said of the likeliest categories, a line each."""
    heads = "".join(f"  {rung:>9}" for rung in found.candidates[0].voices)
    typer.echo(f"{'probability':>11}{heads}  {'similarity':>10}  {'before':>6}  {'calibrated':>10}  category (nearest words)")
    for each in found.candidates:
        said = "".join(f"  {'-' if value is None else format(value, '.3f'):>9}" for value in each.voices.values())
        typer.echo(
            f"{each.probability:>11.3f}{said}  {each.similarity:>10.3f}  {each.before_calibration:>6.3f}  {each.after_calibration:>10.3f}"
            f"  {each.path} ({each.nearest})"
        )


def print_words(found: Explanation, taxonomy: Taxonomy) -> None:
    """Print the words without which the answer would be less or more likely, or another one."""
    likely, answer = found.likely, named(found.answer, taxonomy)
    shown = [each for each in found.words if abs(each.without - likely) >= TOLD or each.tag != found.by_rungs.category][:SHOWN_WORDS]
    if not shown:
        typer.echo(f"No single word changes how likely {answer} is.")
        return
    typer.echo(f"\n{'without':>7}  the word; how likely {answer} is without it, with all {likely:.2f}")
    for each in shown:
        changed = "" if each.tag == found.by_rungs.category else f"; the tag would be {named(each.tag, taxonomy)}"
        typer.echo(f"{each.without:>7.2f}  {each.word}{changed}")


def print_history(found: Explanation, history: Sequence[StoredTag], taxonomy: Taxonomy) -> None:
    """Print every tag that the product has had, and say where the latest is another than what is said now."""
    typer.echo("")
    if history and history[0].tag.category != found.tag.category:
        typer.echo("The product's text, or what was learnt, has changed since the last bootstrap, which said:")
    for past in history:
        by = "" if past.tag.stage == "label" else f" of {past.model.name}"
        typer.echo(f"{past.at}: {headline(past.tag, taxonomy)} in run {past.run_id}{by}")


def named(category: str | None, taxonomy: Taxonomy) -> str:
    """Return a category's path, or its id where the taxonomy has it no more."""
    if category is None:
        return "left open"
    return taxonomy.path(category) if category in taxonomy else category
