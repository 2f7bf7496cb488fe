"""Puts training examples in an order that follows from seed and epoch alone, texts of like length together, rare classes more often.

The trap: samplers that draw from torch's own random numbers give another order after a resumed run has skipped what it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from torch.utils.data import Sampler

from fewtag.models.fine_tune.examples import Weights

BATCHES_PER_POOL: Final = 32
"""Within so many batches texts are sorted by length: little is padding, and batches still differ from epoch to epoch."""


class EpochSampler(Sampler[int]):
    """Yields as many row numbers as there are lengths, each once, or, with chances (n,), drawn with replacement in proportion to them."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, chances: Weights | None = None) -> None:
        self.lengths, self.batch_size, self.seed = np.array(lengths), batch_size, seed
        self.chances = None if chances is None else chances.astype(np.float64) / chances.sum(dtype=np.float64)
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Ask for the order of an epoch, as the Trainer does before each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of the epoch in its order; only the last batch may be smaller than the others."""
        rng = np.random.default_rng([self.seed, self.epoch])
        n = len(self)
        rows = rng.permutation(n) if self.chances is None else rng.choice(n, n, p=self.chances)
        pool = BATCHES_PER_POOL * self.batch_size
        rows = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in np.split(rows, range(pool, n, pool))])
        whole = n // self.batch_size
        batches = rows[: whole * self.batch_size].reshape(whole, self.batch_size)
        yield from batches[rng.permutation(whole)].ravel().tolist()
        yield from rows[whole * self.batch_size :].tolist()
