"""The rung for categories with a few labels and many unlabelled products: each label is spread to the products that it speaks for.

Labels walk over the graph of near products (`graph.py`); how far to trust what arrives is learnt by leaving out each label in turn
(`brakes.py`). The trap: a label reaches any product that some chain of neighbours leads to, whatever it is. So a product beyond the
distance that is usual within a category is left alone, however loudly the category arrives there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.models import Probabilities
from fewtag.models.brakes import Sureness, thresholds, usual_similarity
from fewtag.models.encoder import Encoder
from fewtag.models.graph import nearness, neighbour_graph, reach, scale, without_self
from fewtag.models.index import NeighbourIndex
from fewtag.models.said import Said, fold, gather
from fewtag.progress import bar
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import write_atomically

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

K: Final = 10
NEAREST_LABELS: Final = 16
SAME: Final = 0.97
"""From this cosine on two texts are taken for the same product."""
QUIET: Final = 1e-3
"""A product that hears less than this of all labels together (a labelled one hears .2 of its own) has heard none in particular."""
DIRECT: Final = 0.1
"""A nearest label that is this much nearer, in cosine, makes its category e times as likely, beside what the walk says."""
VOICE: Final = 0.5
"""How loud a neighbour is that speaks with what was spread to it, beside one that speaks with its label."""
DOUBT: Final = 0.1
"""The weight of the even distribution beside the neighbours' votes."""
CONTRADICTION: Final = 0.25
"""Another rung contradicts a category that it holds for less than this times as likely as its own first choice."""
CHANCE: Final = 2.0
"""Two products are neighbours where they are so many standard deviations nearer to each other than two drawn by lot."""
PAIRS: Final = 1000
SOURCES: Final = 3
BATCH: Final = 8192


@dataclass(frozen=True, slots=True)
class Spread:
    """A category that labels speak for, for a product without one: `sources` are its nearest labelled products with their cosines."""

    product_id: str
    category: str
    confidence: float
    sources: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What some rows hear: `mass` (n, n_classes), and their nearest labels' cosines and places, (n, k), with the mean cosine of each
    row's own neighbours, (n,)."""

    mass: Array
    cosines: Array
    labels: Rows
    crowding: Array


@dataclass(frozen=True, slots=True)
class Spoken:
    """The likeliest class of some rows (n,), the signs that it is right (n, 4), and its nearest label's cosine (n,)."""

    said: Rows
    signs: npt.NDArray[np.float64]
    cosine: Array


class Neighbours:
    """The neighbours rung; every vector comes from `encoder`."""

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder, *, seed: int = 0) -> None:
        self.taxonomy, self.encoder, self.seed = taxonomy, encoder, seed
        self.classes_ = taxonomy.classes
        self._said: Said | None = None
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
        self._said = said = gather(self.taxonomy, products, labels)
        self._forbidden = said.forbidden
        vectors = self._build(said)
        cosines, rows = self._neighbours(said, vectors)
        self._scales, self._crowding = scale(cosines), cosines[:, : K // 2].mean(axis=1)
        rows[cosines < self._chance] = -1
        graph = neighbour_graph(cosines, rows)
        self._reach = reach(graph, self._seeds(said))
        self._labelled = np.zeros(len(said.texts), dtype=np.bool_)
        self._labelled[said.rows] = True
        self._beliefs = self._believe(said)
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
        for row, product in enumerate(products):
            barred = [*self._forbidden.get(fold(product.text), ()), *self._forbidden.get(f"#{product.id}", ())]
            if 0 < len(set(barred)) < len(self.classes_):
                found[row, barred] = 0
                found[row] /= found[row].sum()
        return found

    def spread(self, others: Probabilities | None = None, *, precision: float = 0.95) -> list[Spread]:
        """Return what may be spread to the fitted products that have no label, so that about `precision` of it is right.

        `others` is what another rung says of the fitted products, in their order, (n, n_classes). Raises ModelError before `fit`.
        """
        said = self._said
        if said is None:
            raise ModelError("the neighbours rung has no products to spread labels to", mend="fit it on products and labels first")
        if others is not None and others.shape != (len(said.place), len(self.classes_)):
            raise ValueError(f"others must be of shape {(len(said.place), len(self.classes_))}, not {others.shape}")
        held = self._held_out(said, others)
        limits = thresholds(held.sureness(held.spoken.signs), held.right, held.spoken.said, len(self.classes_), precision)
        usual = usual_similarity(held.apart, held.owner, len(self.classes_))
        open_rows = said.open_rows()
        found: list[Spread] = []
        with bar("spreading labels", len(open_rows)) as done:
            for rows in _chunks(open_rows):
                heard = self._hear(said, rows)
                spoken = self._speak(said, rows, heard, others)
                sure = held.sureness(spoken.signs)
                same = spoken.cosine >= SAME
                go = same | ((sure >= limits[spoken.said]) & (spoken.cosine >= usual[spoken.said]))
                go &= (spoken.said >= 0) & ~self._contradicted(said, rows, spoken.said, others)
                found += [
                    each for at in np.flatnonzero(go) for each in self._name(said, rows[at], spoken.said[at], float(sure[at]), heard, at)
                ]
                done.update(len(rows))
        order = {product_id: number for number, product_id in enumerate(said.ids)}
        return sorted(found, key=lambda each: order[each.product_id])

    def _build(self, said: Said) -> NeighbourIndex:
        """Index all texts, and return the index of the labelled ones."""
        texts = said.texts
        some = np.random.default_rng(self.seed).permutation(len(texts))[:PAIRS]
        vectors = self.encoder.encode([texts[row] for row in np.sort(some)])
        pairs = (vectors @ vectors.T)[~np.eye(len(vectors), dtype=np.bool_)]
        self._chance = float(pairs.mean() + CHANCE * pairs.std()) if len(pairs) else 0.0
        self._index = NeighbourIndex.for_size(len(texts), vectors.shape[1], seed=self.seed)
        sample = self._index.sample(len(texts))
        if len(sample):
            self._index.train(self.encoder.encode([texts[row] for row in sample]))
        self._index.add(self.encoder.encode(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH))
        if not len(said.rows):
            return NeighbourIndex.for_size(0, vectors.shape[1])
        return NeighbourIndex.of(self.encoder.encode([texts[row] for row in said.rows]), seed=self.seed)

    def _neighbours(self, said: Said, labelled: NeighbourIndex) -> tuple[Array, Rows]:
        """Return each text's neighbours among all, (n, K), and keep its nearest labels, (n, NEAREST_LABELS)."""
        n, width = len(said.texts), min(NEAREST_LABELS, max(1, len(labelled)))
        cosines, rows = np.empty((n, K), dtype=np.float32), np.empty((n, K), dtype=np.int64)
        self._near_cosines, self._near_labels = np.empty((n, width), dtype=np.float32), np.empty((n, width), dtype=np.int32)
        with bar("finding neighbours", n) as done:
            for at in range(0, n, BATCH):
                vectors = self.encoder.encode(said.texts[at : at + BATCH])
                here = slice(at, at + len(vectors))
                cosines[here], rows[here] = without_self(*self._index.search(vectors, K + 1), first=at)
                self._near_cosines[here], self._near_labels[here] = labelled.search(vectors, width)
                done.update(len(vectors))
        return cosines, rows

    def _seeds(self, said: Said) -> Any:
        """Return who speaks with a label before any walk: its own text, and the unlabelled texts that are the same product."""
        from scipy import sparse

        nearest, cosine = self._near_labels[:, 0].copy(), self._near_cosines[:, 0].copy()
        nearest[said.rows], cosine[said.rows] = np.arange(len(said.rows)), 1
        rows = np.flatnonzero((cosine >= SAME) & (nearest >= 0))
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows, nearest[rows])), shape=(len(said.texts), len(said.rows)))

    def _believe(self, said: Said) -> Any:
        """Return what each text speaks with when a neighbour listens: its label, or, less loudly, what it has heard; CSR (n, n_classes)."""
        from scipy import sparse

        heard = (self._reach @ said.votes).tocsr()
        heard.data[heard.data < 0] = 0
        heard.eliminate_zeros()
        total = np.asarray(heard.sum(axis=1)).ravel()
        heard = sparse.diags_array(np.where(self._labelled, 0, VOICE / (total + QUIET)).astype(np.float32)) @ heard
        own = sparse.csr_matrix(
            (np.ones(len(said.rows), dtype=np.float32), (said.rows, np.arange(len(said.rows)))), shape=self._reach.shape
        )
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

    def _hear(self, said: Said, rows: Rows, *, left_out: bool = False) -> Heard:
        """Return what rows hear; `left_out`: the rows are the labelled ones, in order, and each is deaf to its own label."""
        walks, cosines, labels = self._reach[rows], self._near_cosines[rows], self._near_labels[rows].astype(np.int64)
        if left_out:
            from scipy import sparse

            walks = walks - sparse.diags_array(walks.diagonal())
            cosines = np.where(labels == np.arange(len(rows))[:, None], np.float32(-1), cosines)
        return Heard((walks @ said.votes).toarray(), cosines, labels, self._crowding[rows])

    def _speak(self, said: Said, rows: Rows, heard: Heard, others: Probabilities | None) -> Spoken:
        """Say which class is the likeliest for each row, and how it stands beside the second."""
        here, n_classes = np.arange(len(rows)), len(self.classes_)
        mass = np.maximum(heard.mass, 0)
        share = mass / (mass.sum(axis=1, keepdims=True) + QUIET)
        owner = np.where(heard.labels >= 0, said.owner[heard.labels], -1)
        corrected = heard.cosines - (heard.crowding[:, None] + self._crowding[said.rows][heard.labels]) / 2  # CSLS (Conneau et al. 2018)
        nearest, raw = (np.full((len(rows), n_classes + 1), -1, dtype=np.float32) for _ in range(2))  # the last column is nobody's
        for column in range(owner.shape[1]):
            at = here, owner[:, column]
            nearest[at] = np.maximum(nearest[at], corrected[:, column])
            raw[at] = np.maximum(raw[at], heard.cosines[:, column])
        nearest, raw = nearest[:, :-1], raw[:, :-1]
        other = np.full_like(share, 1 / n_classes) if others is None else others[said.first[rows]]
        score = np.log(share + QUIET) + np.maximum(nearest, -0.5) / DIRECT + np.log(other + QUIET) / 2
        score[said.barred(rows)] = -np.inf
        best = score.argmax(axis=1)
        heard_of = np.isfinite(score[here, best]) & (raw[here, best] > -1)

        def lead(values: Array) -> Array:
            first = values[here, best]
            rest = values.copy()
            rest[here, best] = -np.inf
            return first - np.maximum(rest.max(axis=1), values.min())

        signs = [lead(np.log(share + QUIET)), raw[here, best], lead(np.maximum(nearest, -0.5)), lead(np.log(other + np.float32(QUIET)))]
        return Spoken(np.where(heard_of, best, -1), np.stack(signs, axis=1).astype(np.float64), raw[here, best])

    def _held_out(self, said: Said, others: Probabilities | None) -> HeldOut:
        """Ask for each label what would be said without it, where its class has another one."""
        count = np.bincount(said.owner[said.owner >= 0], minlength=len(self.classes_))
        judged = np.flatnonzero((said.owner >= 0) & (count[said.owner] > 1))
        heard = self._hear(said, said.rows, left_out=True)
        spoken = self._speak(said, said.rows, heard, others)
        owner = np.where(heard.labels >= 0, said.owner[heard.labels], -1)
        apart = np.where(owner == said.owner[:, None], heard.cosines, -1).max(axis=1)
        kept = judged[spoken.said[judged] >= 0]
        together = judged[apart[judged] > -1]
        kept_spoken = Spoken(spoken.said[kept], spoken.signs[kept], spoken.cosine[kept])
        right = spoken.said[kept] == said.owner[kept]
        return HeldOut(kept_spoken, right, apart[together], said.owner[together], Sureness.learn(kept_spoken.signs, right))

    def _contradicted(self, said: Said, rows: Rows, classes: Rows, others: Probabilities | None) -> npt.NDArray[np.bool_]:
        if others is None:
            return np.zeros(len(rows), dtype=np.bool_)
        other = others[said.first[rows]]
        return np.asarray(other[np.arange(len(rows)), classes] < CONTRADICTION * other.max(axis=1))

    def _name(self, said: Said, row: int, column: int, sure: float, heard: Heard, at: int) -> Iterator[Spread]:
        """Yield a spread for each product of a text that has no label itself and may be of that class."""
        labels, cosines = heard.labels[at], heard.cosines[at]
        mine = [place for place in range(len(labels)) if labels[place] >= 0 and said.owner[labels[place]] == column][:SOURCES]
        sources = tuple((said.speaker[labels[place]], float(cosines[place])) for place in mine)
        for number in said.open_products(row):
            if column not in self._forbidden.get(f"#{said.ids[number]}", ()):
                yield Spread(said.ids[number], self.classes_[column], sure, sources)

    def save(self, folder: Path) -> None:
        """Write what `predict_proba` needs into a folder: the index, and the rest as JSON and safetensors; `spread` needs a new `fit`."""
        import json

        from safetensors.numpy import save

        self._index.save(folder / "neighbours.faiss")
        arrays = {"scales": self._scales, "labelled": self._labelled, "chance": np.array([self._chance])}
        arrays |= {f"beliefs.{part}": getattr(self._beliefs, part) for part in ("data", "indices", "indptr")}
        write_atomically(folder / "neighbours.safetensors", save({name: np.ascontiguousarray(part) for name, part in arrays.items()}))
        write_atomically(folder / "neighbours.json", json.dumps({"forbidden": self._forbidden}).encode())

    def load(self, folder: Path) -> Neighbours:
        """Read back what `save` wrote, into a rung made for the same taxonomy and encoder."""
        import json

        from safetensors.numpy import load_file
        from scipy import sparse

        arrays = load_file(folder / "neighbours.safetensors")
        self._index = NeighbourIndex.load(folder / "neighbours.faiss")
        self._scales, self._labelled, self._chance = arrays["scales"], arrays["labelled"], float(arrays["chance"][0])
        parts = tuple(arrays[f"beliefs.{part}"] for part in ("data", "indices", "indptr"))
        self._beliefs = sparse.csr_matrix(parts, shape=(len(self._scales), len(self.classes_)))
        self._forbidden = json.loads((folder / "neighbours.json").read_text(encoding="utf-8"))["forbidden"]
        self._said = None
        return self


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What was said of labels that were left out, whether it was right, how near each is to the next of its class, and what that teaches."""

    spoken: Spoken
    right: npt.NDArray[np.bool_]
    apart: npt.NDArray[np.float64]
    owner: Rows
    sureness: Sureness


def _chunks(rows: Rows) -> Iterator[Rows]:
    for at in range(0, len(rows), BATCH):
        yield rows[at : at + BATCH]
