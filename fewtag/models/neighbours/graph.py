"""A catalogue as a sparse graph of near products, and how far each label reaches over it: label spreading, without a dense matrix.

The trap: hubs. A few products are everyone's neighbours, and would hand every label to everyone; so a distance counts in the measure of
both ends' own neighbourhoods (local scaling), and an edge's weight is divided by what else its ends are tied to.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SCALED_BY: Final = 7
"""The neighbour whose distance is the measure of a neighbourhood (Zelnik-Manor & Perona 2004)."""
SMALLEST_SCALE: Final = 0.1
ALPHA: Final = 0.8
"""How much of what a product says it has heard from its neighbours; the rest is its own label."""
FLOOR: Final = 1e-4
"""A whisper below this is not passed on: it keeps the walk near the label that it starts from, and the matrix sparse."""
HOPS: Final = 60


def scale(similarities: Array) -> Array:
    """Return the distance to the seventh neighbour, (n,), from similarities to others, best first, (n, k).

    >>> scale(np.float32([[0.9, 0.82]])).astype(float).round(2).tolist()
    [0.6]
    """
    column = min(SCALED_BY, similarities.shape[1]) - 1
    return np.maximum(np.sqrt(2 - 2 * np.clip(similarities[:, column], 0, 1)), np.float32(SMALLEST_SCALE))


def nearness(similarities: Array, own: Array, others: Array) -> Array:
    """Return exp(-d²/(scale · scale)), from 0 to 1, for similarities (n, k) of rows with scales (n,) to others with scales (n, k).

    >>> nearness(np.float32([[1, 0.82]]), np.float32([0.6]), np.float32([[0.6, 0.6]])).astype(float).round(3).tolist()
    [[1.0, 0.368]]
    """
    return np.asarray(np.exp(-np.maximum(2 - 2 * similarities, 0) / (own[:, None] * others)), dtype=np.float32)


def without_self(similarities: Array, rows: Rows, first: int = 0) -> tuple[Array, Rows]:
    """Drop each row's own entry (row i of the batch is `first` + i), or the last one where it is not there; (n, k) to (n, k - 1).

    >>> without_self(np.float32([[1, 0.9, 0.8]]), np.array([[3, 0, 2]]))[1].tolist()
    [[3, 2]]
    """
    own = rows == np.arange(first, first + len(rows))[:, None]
    own[:, -1] |= ~own.any(axis=1)
    kept = ~own
    shape = (len(rows), rows.shape[1] - 1)
    return similarities[kept].reshape(shape), rows[kept].reshape(shape)


def neighbour_graph(similarities: Array, rows: Rows) -> Any:
    """Return the normalised graph D^-½ W D^-½ as scipy CSR float32 (n, n), from each row's similarities to its neighbours, (n, k).

    W holds the nearness of two products where either has the other among its neighbours; row -1 means no neighbour.
    """
    from scipy import sparse

    n, k = rows.shape
    there = rows >= 0
    scales = scale(similarities)
    weights = nearness(similarities, scales, scales[rows])[there]
    source = np.repeat(np.arange(n, dtype=np.int32), k)[there.ravel()]
    one_way = sparse.csr_matrix((weights, (source, rows[there].astype(np.int32))), shape=(n, n))
    both = one_way.maximum(one_way.T).tocsr()
    degree = np.asarray(both.sum(axis=1), dtype=np.float32).ravel()
    root = sparse.diags_array((1 / np.sqrt(np.maximum(degree, 1e-12))).astype(np.float32))
    return sparse.csr_matrix(root @ both @ root)


def reach(graph: Any, seeds: Any, *, floor: float = FLOOR) -> Any:
    """Return how much each seed is heard at each product, (1 - a)(I - aS)^-1 · seeds, as scipy CSR float32 (n, n_seeds).

    It is the fixed point of label spreading (Zhou et al. 2004), summed walk by walk, where what falls below `floor` goes no further.
    Each label has a column of its own, so that leaving one out is leaving out a column.
    """
    step = graph * np.float32(ALPHA)
    term = seeds.tocsr().astype(np.float32) * np.float32(1 - ALPHA)
    total = term.copy()
    for _ in range(HOPS):
        term = step @ term
        if floor:
            term.data[term.data < floor] = 0
            term.eliminate_zeros()
        if not term.nnz:
            break
        total = total + term
    return total.tocsr()
