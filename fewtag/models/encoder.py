"""Turns texts into vectors whose dot products are cosines: a sentence encoder by hub id or folder, cached on disk.

The trap: identity. A vector is only comparable with vectors of the same weights, so every encoder says who it is, by hash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fewtag.errors import ModelError
from fewtag.models.device import batches_side_by_side, best_device, best_dtype
from fewtag.models.source import WORKS_OFFLINE, Source, loading_quietly, locate
from fewtag.models.vectors import VectorCache
from fewtag.progress import bar

Vectors = npt.NDArray[np.float32]

MAX_TOKENS = 128
"""A product's text beyond this is shipping terms; attention over it costs more than it tells."""
E5 = re.compile(r"(^|/)(multilingual-)?e5-")
"""Models of this family were trained with "query: " before each text, and are worse without."""
TOKENS_PER_BATCH = 1024
"""On two CPU cores, small batches that stay in the cache are half as fast again as large ones."""
TEXTS_PER_STEP = 512
"""How many texts are embedded, and written to the cache, before a kill can cost anything."""


class Encoder(Protocol):
    """What turns texts into unit vectors; `identity` names the weights, so that vectors of two encoders are never mixed."""

    @property
    def identity(self) -> str:
        """Name the weights."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return float32 (n, dimensions), rows of length 1, for one text or more."""
        ...


class SentenceEncoder:
    """A sentence-transformers model, loaded when it is first used; texts are cut at `MAX_TOKENS` tokens."""

    def __init__(self, name: str | Source, revision: str | None = None, *, model: Any = None) -> None:
        """Take a source, or find one by name, hub id (at a commit, if one is given) or folder; raises ModelError where there is none.

        `model` is a SentenceTransformer that stands in for the source's own, as while it is trained.
        """
        self.source = name if isinstance(name, Source) else locate(name, revision)
        self._prefix = "query: " if E5.search(self.source.name) else ""
        self.identity = f"{self.source.identity}, {MAX_TOKENS} tokens, '{self._prefix}'"
        self._model: Any = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return float32 (n, dimensions) with rows of length 1. Texts of like length share a batch, so that little is padding."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        batches: list[list[str]] = []
        start = 0
        while start < len(order):
            # Four characters make about one token; the last text of the slice is its longest.
            longest = len(texts[order[min(start + TOKENS_PER_BATCH // 8, len(order)) - 1]]) // 4 + 4
            rows = order[start : start + max(4, TOKENS_PER_BATCH // min(longest, MAX_TOKENS))]
            batches.append([self._prefix + texts[row] for row in rows])
            start += len(rows)
        with batches_side_by_side(str(self._loaded().device.type)) as each:
            vectors = np.concatenate(list(each(self._encode_batch, batches)))
        return vectors[np.argsort(order)].astype(np.float32, copy=False)

    def _encode_batch(self, batch: list[str]) -> Vectors:
        import torch

        model = self._loaded()
        dtype = best_dtype(str(model.device.type))
        with torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            vectors: Vectors = model.encode(batch, batch_size=len(batch), normalize_embeddings=True, show_progress_bar=False)
        return vectors

    def _loaded(self) -> Any:
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            try:
                with loading_quietly():
                    self._model = SentenceTransformer(self.source.place, device=best_device(), **self.source.arguments)
            except (OSError, ValueError, KeyError) as error:
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise ModelError(f"the encoder '{self.source.name}' cannot be loaded: {reason}", mend=WORKS_OFFLINE) from error
            self._model.max_seq_length = min(self._model.max_seq_length or MAX_TOKENS, MAX_TOKENS)
        return self._model


class CachedEncoder:
    """Wraps an encoder so that no text is ever embedded twice, not even by the next run."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        self.encoder, self.identity = encoder, encoder.identity
        self._cache = VectorCache(folder, encoder.identity)

    def prepare(self, texts: Sequence[str], what: str = "embedding categories") -> None:
        """Embed the texts that are new, step by step and kept after each, so that a kill loses one step."""
        missing = self._cache.missing(texts)
        with bar(what, len(missing)) as done:
            for start in range(0, len(missing), TEXTS_PER_STEP):
                step = missing[start : start + TEXTS_PER_STEP]
                self._cache.add(step, self.encoder.encode(step))
                done.update(len(step))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return float32 (n, dimensions), rows of length 1 within the precision of float16."""
        try:
            return self._cache.get(texts)
        except KeyError:
            self.prepare(texts)
        return self._cache.get(texts)
