"""The rung for categories with a few labels and many unlabelled products: each label is spread to the products that it speaks for.

Products become an index and a graph of near ones (`index.py`, `graph.py`), over which the labels walk. The trap: what is indexed are
texts. Products that share one, letter case and punctuation apart, are one row here, and are told apart again on the way out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.models import Probabilities
from fewtag.models.encoder import Encoder
from fewtag.models.neighbours.graph import nearness, neighbour_graph, reach, scale, without_self
from fewtag.models.neighbours.index import NeighbourIndex
from fewtag.models.neighbours.said import Said, fold, gather
from fewtag.models.neighbours.spreading import QUIET, Spread, Spreading
from fewtag.progress import bar
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import write_atomically

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

K: Final = 10
NEAREST_LABELS: Final = 16
SAME: Final = 0.97
"""From this cosine on two texts are taken for the same product."""
VOICE: Final = 0.5
"""How loud a neighbour is that speaks with what was spread to it, beside one that speaks with its label."""
DOUBT: Final = 0.1
"""The weight of the even distribution beside the neighbours' votes."""
CHANCE: Final = 2.0
"""Two products are neighbours where they are nearer than two drawn by lot: above those' median by so many times what lies from there down
to their 16th percentile. The upper half is not asked, as in it are pairs of one category."""
PAIRS: Final = 500
BATCH: Final = 8192
HELD: Final = 100_000
"""The vectors of so many texts are held in memory (150 MB of 384 dimensions) while they are indexed; those of more are read again."""


class Vectors:
    """The vectors of texts, asked for several times: of few texts they are encoded once, of many each time, for memory's sake."""

    def __init__(self, encoder: Encoder, texts: Sequence[str]) -> None:
        self._encoder, self._texts = encoder, texts
        self._held = encoder.encode(texts) if len(texts) <= HELD else None

    def __len__(self) -> int:
        return len(self._texts)

    def of(self, rows: Rows) -> Array:
        """Return the vectors of some rows, float32 (len(rows), dimensions)."""
        return self._encoder.encode([self._texts[row] for row in rows]) if self._held is None else self._held[rows]

    def between(self, start: int, end: int) -> Array:
        """Return the vectors of rows `start` to `end` - 1, or as many of them as there are."""
        return self._encoder.encode(self._texts[start:end]) if self._held is None else self._held[start:end]


class Neighbours:
    """The neighbours rung; every vector comes from `encoder`."""

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder, *, seed: int = 0) -> None:
        self.taxonomy, self.encoder, self.seed = taxonomy, encoder, seed
        self.classes_ = taxonomy.classes
        self._spreading: Spreading | None = None
        self._index: NeighbourIndex
        self._scales: Array
        self._chance = 0.0
        self._beliefs: Any
        self._labelled: npt.NDArray[np.bool_]
        self._forbidden: dict[str, list[int]] = {}

    def fit(self, products: Sequence[Product], labels: Sequence[Label]) -> Neighbours:
        """Index the products, labelled and not, and let the labels walk. Labels name products by id, and may be negative.

        Raises ModelError for a label of a category that is not assignable (a negative one may name an inner category), and where FAISS
        is not installed; labels of products that are not there say nothing.
        """
        said = gather(self.taxonomy, products, labels)
        self._forbidden = said.forbidden
        vectors = Vectors(self.encoder, said.texts)
        labelled = self._build(said, vectors)
        cosines, rows, label_cosines, nearest_labels = self._neighbours(vectors, labelled)
        self._scales, crowding = scale(cosines), cosines[:, : K // 2].mean(axis=1)
        rows[cosines < self._chance] = -1
        heard = reach(neighbour_graph(cosines, rows), self._seeds(said, label_cosines[:, 0], nearest_labels[:, 0]))
        self._labelled = np.zeros(len(said.texts), dtype=np.bool_)
        self._labelled[said.rows] = True
        self._beliefs = self._believe(said, heard)
        self._spreading = Spreading(self.classes_, said, heard, label_cosines, nearest_labels, crowding)
        return self

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow `classes_`.

        A product without a labelled neighbour in reach gets an even row, and none of what it is labelled not to be.
        """
        texts = list(dict.fromkeys(product.text for product in products))
        place = {text: row for row, text in enumerate(texts)}
        batches = [self._vote(self.encoder.encode(texts[at : at + BATCH])) for at in range(0, len(texts), BATCH)]
        if not batches:
            return np.empty((0, len(self.classes_)), dtype=np.float32)
        found = np.concatenate(batches)[[place[product.text] for product in products]]
        for row, product in enumerate(products if self._forbidden else ()):
            barred = [*self._forbidden.get(fold(product.text), ()), *self._forbidden.get(f"#{product.id}", ())]
            if 0 < len(set(barred)) < len(self.classes_):
                found[row, barred] = 0
                found[row] /= found[row].sum()
        return found

    def spread(self, others: Probabilities | None = None, *, precision: float = 0.95) -> list[Spread]:
        """Return what may be spread to the fitted products that have no label, so that about `precision` of it is right.

        `others` is what another rung says of the fitted products, in their order, (n, n_classes); one that has not seen the labels, as
        it is judged by them. Raises ModelError before `fit`.
        """
        if self._spreading is None:
            raise ModelError("the neighbours rung has no products to spread labels to", mend="fit it on products and labels first")
        wanted = len(self._spreading.said.place), len(self.classes_)
        if others is not None and others.shape != wanted:
            raise ValueError(f"others must be of shape {wanted}, not {others.shape}")
        return self._spreading.spread(others, precision)

    def _build(self, said: Said, vectors: Vectors) -> NeighbourIndex:
        """Index all texts, and return the index of the labelled ones."""
        n = len(vectors)
        some = vectors.of(np.sort(np.random.default_rng(self.seed).permutation(n)[:PAIRS]))
        pairs = (some @ some.T)[np.triu_indices(len(some), 1)]
        low, middle = np.quantile(pairs, [0.16, 0.5]) if len(pairs) else (0.0, 0.0)
        self._chance = float(middle + CHANCE * (middle - low))
        self._index = NeighbourIndex.for_size(n, some.shape[1], seed=self.seed)
        sample = self._index.sample(n)
        if len(sample):
            self._index.train(vectors.of(sample))
        self._index.add(vectors.between(at, at + BATCH) for at in range(0, n, BATCH))
        if not len(said.rows):
            return NeighbourIndex.for_size(0, some.shape[1])
        return NeighbourIndex.of(vectors.of(said.rows), seed=self.seed)

    def _neighbours(self, texts: Vectors, labelled: NeighbourIndex) -> tuple[Array, Rows, Array, npt.NDArray[np.int32]]:
        """Return each text's neighbours among all, cosines and rows (n, K), and its nearest labels, (n, NEAREST_LABELS)."""
        n, width = len(texts), min(NEAREST_LABELS, max(1, len(labelled)))
        cosines, rows = np.empty((n, K), dtype=np.float32), np.empty((n, K), dtype=np.int64)
        label_cosines, labels = np.empty((n, width), dtype=np.float32), np.empty((n, width), dtype=np.int32)
        with bar("finding neighbours", n) as done:
            for at in range(0, n, BATCH):
                vectors = texts.between(at, at + BATCH)
                here = slice(at, at + len(vectors))
                cosines[here], rows[here] = without_self(*self._index.search(vectors, K + 1), first=at)
                label_cosines[here], labels[here] = labelled.search(vectors, width)
                done.update(len(vectors))
        return cosines, rows, label_cosines, labels

    def _seeds(self, said: Said, cosine: Array, label: npt.NDArray[np.int32]) -> Any:
        """Return who speaks with a label before any walk: its own text, and the unlabelled texts that are the same product."""
        from scipy import sparse

        nearest, near = label.copy(), (cosine >= SAME) & (label >= 0)
        nearest[said.rows], near[said.rows] = np.arange(len(said.rows)), True
        rows = np.flatnonzero(near)
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows, nearest[rows])), shape=(len(said.texts), len(said.rows)))

    def _believe(self, said: Said, reached: Any) -> Any:
        """Return what each text speaks with when a neighbour listens: its label, or, less loudly, what it has heard; CSR (n, n_classes)."""
        from scipy import sparse

        heard = (reached @ said.votes).tocsr()
        heard.data[heard.data < 0] = 0
        heard.eliminate_zeros()
        total = np.asarray(heard.sum(axis=1)).ravel()
        heard = sparse.diags_array(np.where(self._labelled, 0, VOICE / (total + QUIET)).astype(np.float32)) @ heard
        own = sparse.csr_matrix((np.ones(len(said.rows), dtype=np.float32), (said.rows, np.arange(len(said.rows)))), shape=reached.shape)
        beliefs = sparse.csr_matrix(heard + own @ said.votes, dtype=np.float32)
        beliefs.eliminate_zeros()
        return beliefs

    def _vote(self, vectors: Array) -> Probabilities:
        from scipy import sparse

        cosines, rows = self._index.search(vectors, K)
        weights = nearness(cosines, scale(cosines), self._scales[rows])
        weights[(rows < 0) | (cosines < self._chance)] = 0
        same = (cosines >= SAME) & (rows >= 0) & self._labelled[rows]
        weights = np.where(same.any(axis=1, keepdims=True), weights * same, weights)
        starts = np.arange(0, rows.size + 1, rows.shape[1])
        matrix = sparse.csr_matrix((weights.ravel(), np.maximum(rows, 0).ravel(), starts), shape=(len(rows), self._beliefs.shape[0]))
        votes = np.maximum((matrix @ self._beliefs).toarray(), 0) + np.float32(DOUBT / len(self.classes_))
        return np.asarray(votes / votes.sum(axis=1, keepdims=True), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write what `predict_proba` needs into a folder: the index, and the rest as JSON and safetensors; `spread` needs a new `fit`."""
        from safetensors.numpy import save

        self._index.save(folder / "neighbours.faiss")
        arrays = {"scales": self._scales, "labelled": self._labelled, "chance": np.array([self._chance])}
        arrays |= {f"beliefs.{part}": getattr(self._beliefs, part) for part in ("data", "indices", "indptr")}
        write_atomically(folder / "neighbours.safetensors", save({name: np.ascontiguousarray(part) for name, part in arrays.items()}))
        write_atomically(folder / "neighbours.json", json.dumps({"forbidden": self._forbidden}).encode())

    def load(self, folder: Path) -> Neighbours:
        """Read back what `save` wrote, into a rung made for the same taxonomy and encoder."""
        from safetensors.numpy import load_file
        from scipy import sparse

        arrays = load_file(folder / "neighbours.safetensors")
        self._index = NeighbourIndex.load(folder / "neighbours.faiss")
        self._scales, self._labelled, self._chance = arrays["scales"], arrays["labelled"], float(arrays["chance"][0])
        parts = tuple(arrays[f"beliefs.{part}"] for part in ("data", "indices", "indptr"))
        self._beliefs = sparse.csr_matrix(parts, shape=(len(self._scales), len(self.classes_)))
        self._forbidden = json.loads((folder / "neighbours.json").read_text(encoding="utf-8"))["forbidden"]
        self._spreading = None
        return self
