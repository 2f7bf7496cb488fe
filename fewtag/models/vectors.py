"""Vectors kept on disk in float16, keyed by encoder and text: appended, memory-mapped, and whole after a kill.

Two files grow side by side, keys and rows. Rows are written first, and a kill or a full disk can leave more of them than keys: the
surplus is cut before anything is written behind it. Several processes may share a cache: who writes holds its lock, and first reads
what others have added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewtag.workspace import write_atomically, writing


def text_key(text: str) -> int:
    """Return a text's 64-bit key; among ten million texts two share one with a chance of 3 in a million.

    >>> text_key("tea") == text_key("tea"), text_key("tea") == text_key("Tea")
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class VectorCache:
    """The vectors of one encoder, in a folder of their own below `folder`."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
        self._identity = identity
        self._width = 0
        self._keys = np.empty(0, dtype=np.uint64)
        self._order: npt.NDArray[np.int64] | None = None
        if self._about.exists():
            self._open()

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the texts that have no vector yet, each once, in the order given."""
        _, known = self._find(texts)
        return list(dict.fromkeys(text for text, there in zip(texts, known, strict=True) if not there))

    def get(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the vectors of texts that all are there, float32 (n, dimensions)."""
        if not texts:
            return np.empty((0, self._width), dtype=np.float32)
        places, known = self._find(texts)
        if not known.all():
            raise KeyError(texts[int(np.argmin(known))])
        rows = np.memmap(self._rows, dtype=np.float16, mode="r", shape=(len(self._keys), self._width))
        return rows[places].astype(np.float32)

    def add(self, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Append the vectors of texts that are not there yet, (n, dimensions); raises WorkspaceError where they cannot be written."""
        if not len(texts):
            return
        if vectors.shape != (wanted := (len(texts), self._width or vectors.shape[-1])):
            raise ValueError(f"vectors of shape {wanted} are wanted, not {vectors.shape}")
        keys = np.array([text_key(text) for text in texts], dtype=np.uint64)
        with self._lock():
            if not self._about.exists():
                about = {"encoder": self._identity, "dimensions": vectors.shape[1]}
                write_atomically(self._about, json.dumps(about).encode())
            if self._sizes() != (8 * len(self._keys), 2 * self._width * len(self._keys)) or not self._width:
                self._open()
                self._cut()
            with writing(self._rows), self._rows.open("ab") as stream:
                stream.write(vectors.astype(np.float16).tobytes())
            with writing(self._names), self._names.open("ab") as stream:
                stream.write(keys.tobytes())
        self._know(np.concatenate([self._keys, keys]))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from filelock import FileLock

        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _find(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return each text's row, and whether it has one (where not, the row means nothing)."""
        keys = np.array([text_key(text) for text in texts], dtype=np.uint64)
        if not len(self._keys):
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
        if self._order is None:
            self._order = np.argsort(self._keys, kind="stable")
        rank = np.minimum(np.searchsorted(self._keys, keys, sorter=self._order), len(self._keys) - 1)
        places = self._order[rank]
        return places, self._keys[places] == keys

    def _open(self) -> None:
        """Read the keys of the rows that are whole; what lies behind them another process may just be writing."""
        self._width = json.loads(self._about.read_text(encoding="utf-8"))["dimensions"]
        names, rows = self._sizes()
        whole = min(names // 8, rows // (2 * self._width))
        self._know(np.fromfile(self._names, dtype=np.uint64, count=whole) if whole else np.empty(0, dtype=np.uint64))

    def _cut(self) -> None:
        """Cut off what a kill left half-written."""
        for file, size, wanted in zip((self._names, self._rows), self._sizes(), (8, 2 * self._width), strict=True):
            if size > wanted * len(self._keys):
                with writing(file), file.open("r+b") as stream:
                    stream.truncate(wanted * len(self._keys))

    def _sizes(self) -> tuple[int, int]:
        names, rows = (file.stat().st_size if file.exists() else 0 for file in (self._names, self._rows))
        return names, rows

    def _know(self, keys: npt.NDArray[np.uint64]) -> None:
        """Take the keys of all rows; they are sorted when they are next searched, as appending to ten million often asks for nothing."""
        self._keys, self._order = keys, None

    @property
    def _about(self) -> Path:
        return self.folder / "about.json"

    @property
    def _names(self) -> Path:
        return self.folder / "keys.u64"

    @property
    def _rows(self) -> Path:
        return self.folder / "rows.f16"
