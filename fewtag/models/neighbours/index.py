"""Finds the nearest of many vectors, on FAISS: exactly among few, by cells and in fewer bits among many; the size picks which.

The trap: an approximate index misses some neighbours, and gives row -1 with a similarity of -1 where its cells hold fewer than asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.errors import ModelError
from fewtag.workspace import replacing

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to keep vectors: `up_to` so many; `spec` is FAISS's own name for it; `probes` is how many cells a search opens."""

    up_to: float
    name: str
    spec: str
    cells: int = 0
    probes: int = 0


KINDS: Final = (
    Kind(4_000, "exact", "Flat"),
    Kind(50_000, "256 cells of 16-bit vectors", "IVF256,SQfp16", cells=256, probes=6),
    Kind(400_000, "512 cells of 16-bit vectors", "IVF512,SQfp16", cells=512, probes=8),
    Kind(3_000_000, "2048 cells of 8-bit vectors", "IVF2048,SQ8", cells=2048, probes=6),
    Kind(float("inf"), "4096 cells of product-quantised vectors", "IVF4096,PQ192x4fs", cells=4096, probes=16),
)
"""Eight bits a number keep a cosine right to .01, as near-duplicates need; product quantisation takes a quarter of that memory."""
POINTS_PER_CELL: Final = 16
ROUNDS: Final = 2
"""Of k-means over the cells' centres: more points and rounds find hardly better neighbours, and take as long as the search itself."""
BATCH: Final = 16_384


class NeighbourIndex:
    """Vectors of unit length, found again by their dot product; the first one added is row 0.

    >>> index = NeighbourIndex.of(np.eye(3, dtype=np.float32))
    >>> similarities, rows = index.search(np.float32([[0, 0.6, 0.8]]), k=2)
    >>> rows.tolist(), similarities.astype(float).round(2).tolist(), str(index)
    ([[2, 1]], [[0.8, 0.6]], '3 vectors of 3 dimensions, exact, on the CPU')
    """

    def __init__(self, kind: Kind, index: Any, seed: int = 0) -> None:
        """Take a kind and an untrained or read FAISS index; `for_size`, `of` and `load` make it."""
        self.kind, self.seed = kind, seed
        self._index = index
        self._on_gpu = False

    @classmethod
    def for_size(cls, size: int, dimensions: int, *, seed: int = 0) -> NeighbourIndex:
        """Make an empty index of the kind that suits so many vectors; raises ModelError where FAISS is not installed."""
        faiss = _faiss()
        kind = next(kind for kind in KINDS if size <= kind.up_to)
        spec = kind.spec.replace("PQ192", f"PQ{_parts(dimensions)}")
        return cls(kind, faiss.index_factory(dimensions, spec, faiss.METRIC_INNER_PRODUCT), seed)

    @classmethod
    def of(cls, vectors: Vectors, *, seed: int = 0) -> NeighbourIndex:
        """Make an index of vectors that are all in memory, float32 (n, dimensions)."""
        index = cls.for_size(len(vectors), vectors.shape[1], seed=seed)
        index.train(vectors[index.sample(len(vectors))])
        index.add(vectors[start : start + BATCH] for start in range(0, len(vectors), BATCH))
        return index

    def sample(self, size: int) -> Rows:
        """Return which of `size` vectors to train on: (m,), ascending; none where nothing is to be trained."""
        wanted = min(size, POINTS_PER_CELL * self.kind.cells)
        return np.sort(np.random.default_rng(self.seed).choice(size, wanted, replace=False))

    def train(self, vectors: Vectors) -> None:
        """Find the cells and the range of numbers from a sample, float32 (m, dimensions)."""
        if self._index.is_trained:
            return
        faiss = _faiss()
        cells = faiss.extract_index_ivf(self._index)
        cells.cp.niter, cells.cp.seed, cells.nprobe = ROUNDS, self.seed + 1, self.kind.probes
        cells.cp.max_points_per_centroid, cells.cp.min_points_per_centroid = POINTS_PER_CELL, 1
        self._to_gpu()
        self._index.train(np.ascontiguousarray(vectors))

    def add(self, batches: Iterable[Vectors]) -> None:
        """Add vectors batch by batch, each float32 (m, dimensions), so that they never lie in memory twice."""
        self._to_gpu()
        for vectors in batches:
            self._index.add(np.ascontiguousarray(vectors))

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return the k largest similarities, best first, and their rows, both (n, k); row -1 where fewer were found."""
        found = [self._index.search(np.ascontiguousarray(vectors[at : at + BATCH]), k) for at in range(0, len(vectors), BATCH)]
        if not found:
            return np.empty((0, k), dtype=np.float32), np.empty((0, k), dtype=np.int64)
        similarities, rows = (np.concatenate(part) for part in zip(*found, strict=True))
        return np.where(rows < 0, np.float32(-1), similarities), rows

    def save(self, file: Path) -> None:
        """Write the index as FAISS does, whole or not at all; raises WorkspaceError where that fails."""
        faiss = _faiss()
        with replacing(file) as beside:
            beside.write_bytes(faiss.serialize_index(self._on_cpu()).data)

    @classmethod
    def load(cls, file: Path) -> NeighbourIndex:
        """Read back what `save` wrote."""
        index = _faiss().read_index(str(file))
        return cls(next(kind for kind in KINDS if index.ntotal <= kind.up_to), index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def __str__(self) -> str:
        return f"{len(self)} vectors of {self._index.d} dimensions, {self.kind.name}, on the {'GPU' if self._on_gpu else 'CPU'}"

    def _to_gpu(self) -> None:
        """Move to the graphics cards, where FAISS was built for them and finds one."""
        faiss = _faiss()
        if not self._on_gpu and getattr(faiss, "get_num_gpus", int)():
            self._index, self._on_gpu = faiss.index_cpu_to_all_gpus(self._index), True

    def _on_cpu(self) -> Any:
        return _faiss().index_gpu_to_cpu(self._index) if self._on_gpu else self._index


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ModelError("the neighbours rung needs FAISS, which is not installed", mend='pip install "fewtag[cpu]"') from None
    return faiss


def _parts(dimensions: int) -> int:
    """Return into how many equal parts of 2 numbers or more a vector is cut for product quantisation: 192 of 384 numbers."""
    return next(parts for parts in range(max(1, dimensions // 2), 0, -1) if dimensions % parts == 0)
