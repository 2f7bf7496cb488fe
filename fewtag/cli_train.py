"""The command `fewtag train`: it has the rungs learn from labels, and tells what each of them gained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fewtag.errors import FewtagError
from fewtag.terminal import (
    AsJson,
    WorkspaceFolder,
    many,
    open_workspace,
    talk,
    talk_of_changed_taxonomy,
    talk_of_lost_labels,
    talk_of_open,
    with_bars,
)

if TYPE_CHECKING:
    from fewtag.tagger import FineTuning, Tagger
    from fewtag.training import Training

Rung = Literal["auto", "few-shot", "fine-tune"]

SHOWN_SETTINGS = ("method", "learning_rate", "epochs", "weight_decay", "warmup", "hierarchy")


def train(
    catalogue: Annotated[Path | None, typer.Option(help="Products to tag, instead of the last bootstrap's catalogue.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Train nothing deep: seconds instead of minutes.")] = False,
    rung: Annotated[Rung, typer.Option(help="few-shot, fine-tune or auto: few-shot, and fine-tune where labels are many.")] = "auto",
    search: Annotated[int, typer.Option(metavar="N", help="Try so many settings of a fine-tune, and take the best.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the fine-tune, such as method=lora or epochs=3.")
    ] = None,
    tags: Annotated[float, typer.Option(metavar="WEIGHT", help="Let the fine-tune learn from sure tags too, beside a label's 1.")] = 0.0,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Learn from the labels, and tag the catalogue anew. Interrupted, the same command goes on; unchanged, it does nothing.

    Example: fewtag train --rung fine-tune --set method=lora --search 20
    """
    from fewtag.tagger import Tagger

    tune, fine_tune = demanded(quick, rung, settings or (), bool(search or tags))
    tagger = Tagger.open(open_workspace(workspace).root)
    talk_of_changed_taxonomy(tagger)
    outcome = with_bars(lambda: tagger.train(catalogue, tune=tune, fine_tune=fine_tune, trials=search, tags=tags))
    found = tagger.training
    talk_of_labels(tagger)
    talk_of_lost_labels(tagger)
    if outcome.unchanged:
        talk("Nothing has changed since the last training, and nothing was tagged anew.")
    talk_of_open(tagger, outcome)
    more = {"training": found and asdict(found), "promise": asdict(tagger.promise)}
    typer.echo(json.dumps(asdict(outcome) | more) if as_json else str(outcome))
    talk(str(tagger.promise))
    doubted = "`fewtag report` lists labels that may be wrong, and where more would help most, " if tagger.promise.labels else ""
    talk(f"Next: {doubted}`fewtag status` shows the categories, `fewtag export -o FILE` writes all tags.")


def demanded(quick: bool, rung: Rung, settings: Sequence[str], more: bool) -> tuple[bool | None, FineTuning]:
    """Return `tune` and `fine_tune` for `Tagger.train`; `more` is whether any other option is for a fine-tune.

    Raises FewtagError where the options contradict each other.
    """
    from fewtag.models.fine_tune.settings import TrainSettings

    deep = more or bool(settings) or rung == "fine-tune"
    if deep and (quick or rung == "few-shot"):
        problem = "--search, --set, --tags and --rung fine-tune are for a fine-tune, which --quick and --rung few-shot refuse"
        raise FewtagError(problem, mend="leave one or the other out")
    tune = False if quick or rung == "fine-tune" else True if rung == "few-shot" else None
    return tune, TrainSettings.parse(settings) if deep else False if rung == "few-shot" else None


def talk_of_labels(tagger: Tagger) -> None:
    """Say how much there was to learn from, and what came of it."""
    if found := tagger.training:
        cold = len(tagger.classes_) - found.warm
        others = f"; the other {cold} are guessed from their names" if cold else ""
        talk(f"Labels: {found.labels}, of {many(found.warm, 'category', 'categories')}{others}")
        talk_of_training(found)
    elif tagger.is_taught:
        talk("There are denials alone: they are heeded for the very products, and teach nothing of others.")
    else:
        talk("All labels have been taken back, and what they taught is forgotten.")


def talk_of_training(found: Training) -> None:
    """Say what each rung gained on the labels that it had not seen."""
    from fewtag.training import tells

    for step in found.steps:
        gained = f"of {many(step.held_out, 'label')} held out, right without it {step.below:.3f}, with {step.accuracy:.3f}"
        if step.likelier is not None:
            gained += f", and the truth {step.likelier:.2f} times as likely"
        speaks_for = many(sum(step.speaks), "category", "categories")
        talk(f"{step.stage} speaks for {speaks_for}; {gained if step.held_out else 'no labels could be held out'}")
        if step.record.get("tuned") and not step.record["kept_back"]:
            talk("The encoder was tuned, which those figures know nothing of: labels are too few to keep some back from that.")
        if step.stage == "fine-tune":
            settings = step.record["settings"]
            talk("Its settings: " + ", ".join(f"{name}={settings[name]}" for name in SHOWN_SETTINGS))
        if step.record.get("kept_back"):
            what = "keeps what it was tuned to" if step.record["tuned"] else "is left as it was"
            losses = f"{step.record['log_loss_as_it_was']:.3f} as it was, {step.record['log_loss_tuned']:.3f} tuned"
            talk(f"The encoder {what}: log-loss of {step.record['kept_back']} labels kept back {losses}")
    loss = found.zero_shot_accuracy - found.accuracy
    if loss > 0 and tells(loss, found.held_out):
        talk(
            f"Mind: of the labels held out, {found.zero_shot_accuracy:.3f} are right without any labels, and {found.accuracy:.3f} with"
            " the others. More labels help; until then, `fewtag label undo --run N` takes an import back."
        )
