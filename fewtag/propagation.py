"""Spreads labels into the ledger, and takes that back; what keeps it from being repeated, and from writing over what is known better.

The trap: whether anything has changed is not a matter of labels alone. A training or an undo in between has put other tags in the place of
what was spread, so only what the last run of all of these kinds was counts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fewtag.core import Product, Tag
from fewtag.errors import WorkspaceError
from fewtag.learner import Learner, digest
from fewtag.store import SWEEPS, Ledger, ModelIdentity, Run, StoredTag
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace

TRAINED: Final = ("few-shot", "fine-tune")
"""The stages that have learnt from labels themselves."""


@dataclass(frozen=True, slots=True)
class Propagation:
    """What a propagation came to: its run (0 for a dry one), how many products kept their tag, how many got an earlier
    one back as labels no longer spread to them, and whether it did nothing."""

    run: int = 0
    left_alone: int = 0
    given_back: int = 0
    unchanged: bool = False


def spread_labels(
    learner: Learner, ledger: Ledger, catalogue: Sequence[Product], precision: float, dry_run: bool
) -> tuple[list[Tag], Propagation]:
    """Return the tags that the ledger's labels give to the products of a catalogue, and what came of that; unless `dry_run`, keep them."""
    taxonomy, labels = learner.taxonomy, learner.labels(ledger)
    fingerprint = digest([learner.fitted, repr(labels), str(precision)])
    if not dry_run and (earlier := done_already(ledger, fingerprint)):
        return spread_by(ledger, earlier), Propagation(earlier.id, unchanged=True)
    found = learner.ladder.propagate(catalogue, *labels, precision)
    kept = less_sure(found, (stored.tag for stored in ledger.latest(but="neighbours")), taxonomy.primary)
    found = [tag for tag in found if tag.product_id not in kept]
    given_back = no_longer_spread(ledger, {product.id for product in catalogue} - {tag.product_id for tag in found})
    outcome = Propagation(left_alone=len(kept), given_back=len(given_back))
    if dry_run:
        return found, outcome
    run = ledger.start_run("propagate", fingerprint, taxonomy.version, learner.seed, {"precision": precision})
    write_again(ledger, run, given_back)
    if not spread_by(ledger, run):  # a kill may have come between the tags and the end
        ledger.add_tags(run, learner.ladder.parts.identity, found)
    ledger.finish_run(run)
    return found, replace(outcome, run=run.id)


def spread_by(ledger: Ledger, run: Run) -> list[Tag]:
    """Return the tags that a propagation has spread; others of its run were given back."""
    return [stored.tag for stored in ledger.written_by(run) if stored.tag.stage == "neighbours"]


def no_longer_spread(ledger: Ledger, others: Container[str]) -> list[StoredTag]:
    """Return, of the products that nothing is spread to by now, those that an earlier propagation tagged, with the tags they had before."""
    stale = {stored.tag.product_id for stored in ledger.latest() if stored.tag.stage == "neighbours" and stored.tag.product_id in others}
    return [stored for stored in ledger.latest(but="neighbours") if stored.tag.product_id in stale]


def write_again(ledger: Ledger, run: Run, before: Iterable[StoredTag]) -> None:
    """Let tags hold again that products had before."""
    by_model: dict[ModelIdentity, list[Tag]] = {}
    for stored in before:
        by_model.setdefault(stored.model, []).append(stored.tag)
    for model, tags in by_model.items():
        ledger.add_tags(run, model, tags)


def done_already(ledger: Ledger, fingerprint: str) -> Run | None:
    """Return the propagation with this fingerprint, where it has finished and no run since then has changed a tag."""
    last = ledger.last_run("propagate", "undo", *SWEEPS)
    return Run(last.id) if last and last.kind == "propagate" and last.fingerprint == fingerprint and last.finished else None


def less_sure(spread: Sequence[Tag], held: Iterable[Tag], taxonomy: Taxonomy) -> set[str]:
    """Return the ids of products with a label, and of those that a trained model holds for an assignable category no less surely.

    >>> taxonomy = Taxonomy.from_paths(["tea", "jam"])
    >>> held = [Tag("1", "tea", 0.98, "few-shot"), Tag("2", "tea", 0.9, "few-shot"), Tag("3", "tea", 0.99, "zero-shot")]
    >>> held.append(Tag("4", "tea", 0.9, "label"))
    >>> sorted(less_sure([Tag(each, "jam", 0.95, "neighbours") for each in "1234"], held, taxonomy))
    ['1', '4']
    """
    sureness = {tag.product_id: tag.confidence for tag in spread}

    def stays(tag: Tag) -> bool:
        is_surer = tag.stage in TRAINED and tag.category in taxonomy.index and tag.confidence >= sureness[tag.product_id]
        return tag.stage == "label" or is_surer

    return {tag.product_id for tag in held if tag.product_id in sureness and stays(tag)}


def take_back_spread(workspace: Workspace, run_id: int, taxonomy_version: str, seed: int) -> int:
    """Undo a propagation: what it has tagged last gets the tag again that held before; return how many products those are.

    Raises WorkspaceError where nothing of it is left.
    """
    with workspace.lock(), Ledger.open(workspace.ledger) as ledger:
        histories = [ledger.history(product_id) for product_id in ledger.tagged_by(Run(run_id))]
        places = [next(place for place, past in enumerate(history) if past.run_id == run_id) for history in histories]
        undone = [(history, place) for history, place in zip(histories, places, strict=True) if history[place].tag == history[0].tag]
        if not undone or ledger.kind_of(run_id) != "propagate":
            raise WorkspaceError(
                f"there is nothing of run {run_id} to take back", mend="name the run that `fewtag propagate` told", where=workspace.root
            )
        run = ledger.start_run("undo", str(run_id), taxonomy_version, seed, {"run": run_id})
        write_again(ledger, run, [before for history, place in undone for before in history[place + 1 : place + 2]])
        ledger.finish_run(run)
        return len(undone)
