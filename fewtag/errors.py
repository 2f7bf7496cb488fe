"""Every error that fewtag raises on purpose: it names the thing, the value and the mend, and is printed in one place (`cli.main`)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path


class FewtagError(Exception):
    """A mistake the user can mend. The command line prints it in one or two lines and ends with exit code 2.

    `where` is a file, or a file and a line (`taxonomy.yaml:14`); `mend` is what to do about it.

    >>> print(FewtagError("category 'tea' is defined twice", mend="give one of them another id", where="taxonomy.yaml:14"))
    taxonomy.yaml:14: category 'tea' is defined twice -> give one of them another id
    """

    def __init__(self, problem: str, *, mend: str = "", where: str | Path = "") -> None:
        self.problem, self.mend, self.where = problem, mend, str(where)
        super().__init__(problem)

    def __str__(self) -> str:
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{head} -> {self.mend}" if self.mend else head


def did_you_mean(word: str, known: Iterable[str], otherwise: str, written: Callable[[str], str] = str) -> str:
    """Return the mend for a word that is not known: the nearest one that is, or something else where none is near.

    `written` is how the near one would stand in the word's place.

    >>> did_you_mean("aliasses", ["name", "aliases"], "use one of name, aliases")
    "did you mean 'aliases'?"
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean '{written(near[0])}'?" if near else otherwise


class TaxonomyError(FewtagError):
    """The taxonomy, or the file that holds it, contradicts itself or asks for something unknown."""


class CatalogueError(FewtagError):
    """The products cannot be read, or a row of them cannot become a product."""


class LabelError(FewtagError):
    """A label names no product or category that can have it, contradicts another of its file, or is not there to be taken back."""


class PromptError(FewtagError):
    """A prompt or text template is missing, does not parse, or names an unknown variable."""


class ModelError(FewtagError):
    """A model cannot be had, does not fit its task, or its weights are not the expected ones."""


class WorkspaceError(FewtagError):
    """The workspace is missing, locked by another run, read-only, full, or made by a newer fewtag."""
