"""The `.fewtag/` folder: where it is, what lies where in it, who works in it now, and how files are written without being lost half-way.

The trap: two runs in one workspace would each write half a ledger, so a run holds the lock, and the lock says who that is.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fewtag.errors import WorkspaceError

FOLDER: Final = ".fewtag"
FORMAT: Final = 1
OWN: Final = frozenset({"vectors", "few_shot", "tagger"})
"""What a tagger may have written into the folder before it became a workspace."""
VARIABLE: Final = "FEWTAG_WORKSPACE"

MENDS: Final = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again: it goes on where it stopped"),
    errno.EDQUOT: ("your disk quota is used up", "free some space and run the same command again: it goes on where it stopped"),
    errno.EROFS: ("the file system is read-only", "name a folder that can be written with --workspace"),
    errno.EACCES: ("you may not write here", "name a folder that can be written with --workspace"),
    errno.EPERM: ("you may not write here", "name a folder that can be written with --workspace"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "move that file away"),
    errno.EEXIST: ("a file stands where a folder is needed", "move that file away"),
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace; `root` is the `.fewtag` folder itself."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The SQLite file that holds every label and tag."""
        return self.root / "fewtag.db"

    @property
    def vectors(self) -> Path:
        """The folder of cached embeddings."""
        return self.root / "vectors"

    @property
    def tagger(self) -> Path:
        """The folder of the tagger that the last bootstrap saved."""
        return self.root / "tagger"

    @property
    def enriched(self) -> Path:
        """The file of what a language model has written of categories, for people to read and change."""
        return self.root / "enriched.yaml"

    @property
    def written(self) -> Path:
        """The same as the model wrote it, so that it is never asked twice."""
        return self.root / "written.jsonl"

    @classmethod
    def create(cls, root: Path) -> Workspace:
        """Make the workspace, or open it where it is there already; raises WorkspaceError where it cannot be written."""
        workspace = cls(root)
        if workspace.is_there():
            return workspace
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            ignore = root / ".gitignore"
            ours = ignore.is_file() and ignore.read_text(encoding="utf-8") == "*\n"
            if not ours and any(each.name not in OWN for each in root.iterdir()):
                raise WorkspaceError("this folder holds other things", mend=f"name one of its own, such as {root / FOLDER}", where=root)
            ignore.write_text("*\n", encoding="utf-8")
            write_atomically(workspace._about, json.dumps({"format": FORMAT}).encode())
        return workspace

    @classmethod
    def temporary(cls, owner: object) -> Workspace:
        """Make a workspace that goes when its owner goes."""
        folder = tempfile.mkdtemp(prefix="fewtag-")
        weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
        return cls.create(Path(folder))

    @classmethod
    def home(cls, start: Path, explicit: str | Path | None = None) -> Path:
        """Return where a new workspace goes: the folder named, else the one that FEWTAG_WORKSPACE names, else `.fewtag` in `start`."""
        return _own(Path(explicit or os.environ.get(VARIABLE) or start / FOLDER))

    @classmethod
    def seek(cls, start: Path, explicit: str | Path | None = None) -> Workspace | None:
        """Find the workspace: the one named, else the one that FEWTAG_WORKSPACE names, else the nearest one upwards from `start`, if any.

        Raises WorkspaceError where one is named and not there.
        """
        if named := explicit or os.environ.get(VARIABLE):
            found = cls(_own(Path(named)))
            if not found.is_there():
                raise _absent(named)
            return found
        folders = (folder / FOLDER for folder in (start.resolve(), *start.resolve().parents))
        return next((cls(root) for root in folders if cls(root).is_there()), None)

    @classmethod
    def find(cls, start: Path, explicit: str | Path | None = None) -> Workspace:
        """Find the workspace as `seek` does; raises WorkspaceError where there is none."""
        if found := cls.seek(start, explicit):
            return found
        raise _absent(start.resolve())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for one run; raises WorkspaceError that says who holds it. A holder that died holds it no more."""
        from filelock import FileLock, Timeout

        holder = self.root / "lock.json"
        with writing(self.root):
            lock = FileLock(self.root / "lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                raise WorkspaceError(
                    f"another run holds this workspace{_told(holder)}", mend="wait for it to end, or stop it", where=self.root
                ) from None
        try:
            with writing(holder):
                about = {"pid": os.getpid(), "host": socket.gethostname(), "command": " ".join(sys.argv[:3]), "since": now()}
                holder.write_text(json.dumps(about), encoding="utf-8")
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
            lock.release()

    @property
    def _about(self) -> Path:
        return self.root / "workspace.json"

    def is_there(self) -> bool:
        """Return whether this is a workspace; raises WorkspaceError where it is one that cannot be used."""
        try:
            if not self._about.exists():
                return False
            found = int(json.loads(self._about.read_text(encoding="utf-8"))["format"])
        except OSError as error:
            problem = f"this cannot be read: {error.strerror or error}"
            raise WorkspaceError(problem, mend="check its permissions", where=self._about) from error
        except (ValueError, KeyError, TypeError):
            # Only this file is made anew: the ledger beside it holds what people said.
            raise WorkspaceError("this file is no workspace's", mend="delete it and bootstrap again", where=self._about) from None
        if found > FORMAT:
            problem = f"this workspace was made by a newer fewtag (its format is {found}, this one knows {FORMAT})"
            raise WorkspaceError(problem, mend="upgrade fewtag", where=self.root)
        return True


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write at `path` into WorkspaceErrors that say what to do."""
    try:
        yield
    except OSError as error:
        problem, mend = MENDS.get(error.errno or 0, (f"this cannot be written: {error.strerror or error}", "check the folder"))
        raise WorkspaceError(problem, mend=mend, where=path) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside a file to write to, which takes the file's place when that has gone well, and goes when it has not."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with writing(path):
        try:
            yield beside
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as beside, beside.open("wb") as stream:
        stream.write(content)


def now() -> str:
    """Return the time as the ledger writes it: UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _absent(where: str | Path) -> WorkspaceError:
    return WorkspaceError("there is no workspace here", mend="run `fewtag bootstrap taxonomy.yaml` first", where=where)


def _own(named: Path) -> Path:
    """Take the workspace within a folder for the folder itself, where a shop's folder was named."""
    return named / FOLDER if Workspace(named / FOLDER).is_there() else named


def _told(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f": process {about['pid']} on {about['host']}, `{about['command']}`, since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
