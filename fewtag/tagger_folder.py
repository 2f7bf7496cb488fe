"""The folder of a saved tagger: what `tagger.json` says of it, and how the folder is replaced whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fewtag import __version__
from fewtag.catalogue_file import Columns
from fewtag.errors import ModelError, PromptError, WorkspaceError
from fewtag.taxonomy_file import ModelSettings
from fewtag.workspace import write_atomically, writing

FORMAT: Final = 1
ABOUT: Final = "tagger.json"
TAXONOMY: Final = "taxonomy.json"
TRAINING: Final = "training.json"
SPOKEN: Final = "spoken.json"
"""The taxonomy with the words that a language model has written, where one has."""


@dataclass(frozen=True, slots=True)
class SavedTagger:
    """What is known of a tagger before its models are: `revisions` are by model, `fitted` and `trained` are fingerprints of the products
    and of the labels that it has learnt from (empty where it has learnt from none)."""

    fitted: str
    trained: str
    settings: ModelSettings
    prompt: str | None
    prompt_hash: str
    revisions: dict[str, str]
    precision: float
    seed: int
    columns: Columns


def write_saved(saved: SavedTagger, folder: Path) -> None:
    """Write `tagger.json`."""
    about = {"format": FORMAT, "fewtag": __version__, **asdict(saved)}
    write_atomically(folder / ABOUT, json.dumps(about, ensure_ascii=False, indent=1).encode())


def read_saved(place: Path) -> SavedTagger:
    """Read `tagger.json`; raises WorkspaceError where there is none, or it is damaged or of a newer fewtag."""
    _restore(place)
    try:
        text = (place / ABOUT).read_bytes()
    except FileNotFoundError:
        mend = "run `fewtag bootstrap TAXONOMY`, or name a folder that `Tagger.save` wrote"
        raise WorkspaceError("there is no tagger here", mend=mend, where=place) from None
    except OSError as error:
        problem = f"the tagger cannot be read: {error.strerror or error}"
        raise WorkspaceError(problem, mend="check its permissions", where=place) from error
    with whole(place):
        about: dict[str, Any] = json.loads(text)
        made_by = about.pop("fewtag")
        if about.pop("format") > FORMAT:
            raise WorkspaceError(f"the tagger was saved by the newer fewtag {made_by}", mend="upgrade fewtag", where=place)
        settings, columns = ModelSettings(**about.pop("settings")), Columns(**about.pop("columns"))
        return SavedTagger(settings=settings, columns=columns, **about)


def is_saved(place: Path) -> bool:
    """Return whether a tagger was saved here."""
    _restore(place)
    return (place / ABOUT).is_file()


@contextmanager
def replacing_folder(place: Path) -> Iterator[Path]:
    """Give a folder beside `place` to write to, which takes its place when that has gone well.

    Raises WorkspaceError where something that is no tagger stands there, or nothing can be written.
    """
    empty = place.is_dir() and not any(place.iterdir())
    if place.exists() and not empty and not is_saved(place):
        problem = "something else stands where the tagger should go"
        raise WorkspaceError(problem, mend="move it away, or name another folder", where=place)
    beside, old = place.with_name(f"{place.name}.part"), _old(place)
    with writing(place):
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(parents=True)
            yield beside
            shutil.rmtree(old, ignore_errors=True)
            if place.exists():
                place.replace(old)
            beside.replace(place)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def whole(place: Path) -> Iterator[None]:
    """Turn whatever a damaged tagger raises while it is read into a WorkspaceError."""
    try:
        yield
    except (ModelError, PromptError, WorkspaceError, MemoryError):
        raise
    except Exception as error:  # no JSON, no tensors, no taxonomy, a file that is gone: half a folder may be anything
        problem = "the tagger is damaged, or of an older fewtag"
        raise WorkspaceError(problem, mend="delete this folder and bootstrap again", where=place) from error


def _old(place: Path) -> Path:
    return place.with_name(f"{place.name}.old")


def _restore(place: Path) -> None:
    """Undo a replacement that was killed between its two renames."""
    if not place.exists() and _old(place).is_dir():
        with writing(place):
            _old(place).replace(place)
