"""What commands share: the options that mean the same everywhere, talk and progress bars on stderr, and an end for what stops them."""

from __future__ import annotations

import errno
import getpass
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from fewtag.errors import LabelError, WorkspaceError

if TYPE_CHECKING:
    from fewtag.gold_file import Gold
    from fewtag.sweep import Outcome
    from fewtag.tagger import Tagger
    from fewtag.workspace import Workspace

TaxonomyFile = Annotated[Path, typer.Argument(metavar="TAXONOMY", help="The taxonomy.yaml.")]
ProductId = Annotated[str, typer.Argument(metavar="PRODUCT_ID", help="As the catalogue has it.")]
WorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", help="The .fewtag folder to use, instead of the nearest one.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so, instead of your login name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

LOW_PRECISION = 0.5
SHOWN_LOST = 5

T = TypeVar("T")


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


def gold_for(tagger: Tagger, file: Path) -> Gold:
    """Read gold; products without a text are looked up in the tagger's catalogue, where it has one."""
    from fewtag.gold_file import read_gold

    catalogue = tagger.products() if tagger.columns.file else None
    return read_gold(file, tagger.taxonomy, catalogue, tagger.columns.id)


@contextmanager
def about(file: Path | None) -> Iterator[None]:
    """Let an error of labels or gold that has no place of its own name the file that they are from."""
    try:
        yield
    except LabelError as error:
        error.where = error.where or str(file or "")
        raise


def with_bars(work: Callable[..., T], *arguments: Any) -> T:
    """Do something that takes long with its progress shown."""
    from fewtag.progress import shown

    with shown():
        return work(*arguments)


def many(count: int, noun: str, nouns: str = "") -> str:
    """Say how many there are.

    >>> many(1, "label"), many(2, "label"), many(0, "category", "categories")
    ('1 label', '2 labels', '0 categories')
    """
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def talk(*lines: str) -> None:
    """Say something to the person at the terminal."""
    for line in lines:
        typer.echo(line, err=True)


def bootstrap_of(tagger: Tagger) -> str:
    """Return the command that bootstraps a tagger anew, as one would write it here; models that were named then are to be named again."""
    from fewtag.workspace import Workspace

    here, root = Path.cwd(), tagger.workspace.root.resolve()
    words = ["fewtag", "bootstrap", written_here(tagger.file, here) if tagger.file else "TAXONOMY"]
    if root != Workspace.home(here).resolve():
        words += ["--workspace", written_here(root, here)]
    return shlex.join(words)


def written_here(path: Path, here: Path) -> str:
    """Write a path as short as it can be said in a folder.

    >>> written_here(Path("/shop/data/taxonomy.yaml"), Path("/shop")), written_here(Path("/shop/taxonomy.yaml"), Path("/shop/data"))
    ('data/taxonomy.yaml', '/shop/taxonomy.yaml')
    """
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def talk_of_doubts(tagger: Tagger, shown: int) -> None:
    """Say what is doubtful, the first few of it."""
    doubts = tagger.doubts()
    talk(*(f"Doubtful: {doubt}" for doubt in doubts[:shown]))
    if len(doubts) > shown:
        talk(f"Doubtful: {len(doubts) - shown} more things, see `fewtag taxonomy check`")


def talk_of_changed_taxonomy(tagger: Tagger) -> None:
    """Say where the taxonomy's file is no longer what the tagger was made from."""
    if tagger.is_outdated():
        talk(f"Mind: {tagger.file} has changed since, and this goes by what it said then: run `{bootstrap_of(tagger)}`.")


def talk_of_open(tagger: Tagger, outcome: Outcome) -> None:
    """Say what tags more where most products are left open."""
    if outcome.mostly_open and tagger.precision > LOW_PRECISION:
        talk(f"Most products are left open: `{bootstrap_of(tagger)} --precision {LOW_PRECISION}` tags more of them, less surely.")


def talk_of_lost_labels(tagger: Tagger) -> None:
    """Say which labels nothing can be learnt from any more."""
    if lost := tagger.lost_labels:
        gone = ", ".join(sorted(lost)[:SHOWN_LOST])
        talk(f"Mind: {many(lost.total(), 'label')} left aside, of categories that are gone or assignable no more: {gone}")
