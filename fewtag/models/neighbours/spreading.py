"""Decides which unlabelled products a label may be spread to, and names the labels that each spread comes from.

What a product hears is turned into four signs; what these are worth is learnt from the labels themselves, each left out in turn. The
trap: a label reaches any product that some chain of neighbours leads to, whatever it is. So a product that lies further from the
nearest label than is usual within a category is left alone, however loudly the category arrives there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.models import Probabilities
from fewtag.models.neighbours.brakes import Sureness, thresholds, usual_similarity
from fewtag.models.neighbours.said import Said
from fewtag.progress import bar

Array = npt.NDArray[np.float32]
Float = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

QUIET: Final = 1e-3
"""A product that hears less than this of all labels together (a labelled one hears .2 of its own) has heard none in particular."""
DIRECT: Final = 0.1
"""A nearest label that is this much nearer, in cosine, makes its category e times as likely, beside what the walk says."""
FURTHEST: Final = -0.5
"""Below this, it does not matter how much further away than its neighbours' own neighbours a label is."""
CONTRADICTION: Final = 0.25
"""Another rung contradicts a category that it holds for less than this times as likely as its own first choice."""
SOURCES: Final = 3
BATCH: Final = 8192


@dataclass(frozen=True, slots=True)
class Spread:
    """A category that labels speak for, for a product without one; `confidence` is the probability, from 0 to 1, that it is right.

    `sources` are the nearest labelled products of the category with their cosines, nearest first.
    """

    product_id: str
    category: str
    confidence: float
    sources: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """The likeliest class of some rows (n,), -1 where no label is near, signs that it is right (n, 4), and its nearest label's cosine."""

    said: Rows
    signs: Float
    cosine: Array


@dataclass(frozen=True, slots=True)
class Lesson:
    """What leaving out each label teaches: how sure signs make, and for each class the least sureness and cosine to spread at."""

    sureness: Sureness
    limits: Float
    usual: Float


@dataclass(frozen=True, slots=True)
class Spreading:
    """A catalogue with its labels, what the texts hear of each, CSR (n, n_labels), and where the nearest labels are.

    `cosines` and `labels`, (n, k), are those of each text's nearest labels, best first, -1 where there is none; `crowding`, (n,), is the
    mean cosine of a text's own neighbours.
    """

    classes: tuple[str, ...]
    said: Said
    reach: Any
    cosines: Array
    labels: npt.NDArray[np.int32]
    crowding: Array

    def spread(self, others: Probabilities | None, precision: float) -> list[Spread]:
        """Return the spreads in the order of the products; `others` is another rung's opinion of these, (n_products, n_classes)."""
        if not len(self.said.rows):
            return []
        lesson = self.learn(others, precision)
        found: dict[int, Spread] = {}
        open_rows = self.said.open_rows()
        with bar("spreading labels", len(open_rows)) as done:
            for start in range(0, len(open_rows), BATCH):
                rows = open_rows[start : start + BATCH]
                spoken = self.speak(rows, others)
                sure = lesson.sureness(spoken.signs)
                go = np.flatnonzero(self._may_go(rows, spoken, sure, lesson, others))
                found.update(self._spreads(rows[go], spoken.said[go], sure[go]))
                done.update(len(rows))
        return [found[number] for number in sorted(found)]

    def learn(self, others: Probabilities | None, precision: float) -> Lesson:
        """Ask for each label what would be said without it; a class that has no other label cannot be found again, and is not asked."""
        owner, n_classes = self.said.owner, len(self.classes)
        count = np.bincount(owner[owner >= 0], minlength=n_classes)
        spoken = self.speak(self.said.rows, others, left_out=True)
        labels, cosines = self.labels[self.said.rows], self._left_out(self.said.rows)
        apart = np.where((labels >= 0) & (owner[labels] == owner[:, None]), cosines, -1).max(axis=1)
        together = np.flatnonzero((owner >= 0) & (apart > -1))
        judged = np.flatnonzero((owner >= 0) & (count[owner] > 1) & (spoken.said >= 0))
        right = spoken.said[judged] == owner[judged]
        sureness = Sureness.learn(spoken.signs[judged], right)
        limits = thresholds(sureness(spoken.signs[judged]), right, spoken.said[judged], n_classes, precision)
        return Lesson(sureness, limits, usual_similarity(apart[together].astype(np.float64), owner[together], n_classes))

    def speak(self, rows: Rows, others: Probabilities | None, *, left_out: bool = False) -> Spoken:
        """Say which class is the likeliest for each row, and how it stands beside the others.

        `left_out`: the rows are the labelled ones, and each is deaf to its own label. Signs: the lead over the second class in what was
        heard, the nearest label's cosine, its lead over other classes' with the crowding of both ends taken out (CSLS, Conneau et al.
        2018), and the lead in the other rung's opinion.
        """
        from scipy import sparse

        walks = self.reach[rows]
        if left_out:
            walks = walks - sparse.diags_array(walks.diagonal())
        cosines = self._left_out(rows) if left_out else self.cosines[rows]
        heard = np.maximum((walks @ self.said.votes).toarray(), 0)
        share = np.log(heard / (heard.sum(axis=1, keepdims=True) + QUIET) + QUIET)
        apart, nearest = self._nearest(rows, cosines)
        other = np.log(
            (np.full_like(share, 1 / len(self.classes)) if others is None else others[self.said.first[rows]]) + np.float32(QUIET)
        )
        score = share + apart / DIRECT + other
        score[self.said.barred(rows)] = -np.inf
        here, best = np.arange(len(rows)), score.argmax(axis=1)
        near = np.isfinite(score[here, best]) & (nearest[here, best] > -1)
        signs = [_lead(share, best), nearest[here, best], _lead(apart, best), _lead(other, best)]
        return Spoken(np.where(near, best, -1), np.stack(signs, axis=1).astype(np.float64), nearest[here, best])

    def _nearest(self, rows: Rows, cosines: Array) -> tuple[Array, Array]:
        """Return each class's nearest label, (n, n_classes) both: its cosine without the crowding of both ends, and as it is."""
        labels, here = self.labels[rows], np.arange(len(rows))
        owner = np.where(labels >= 0, self.said.owner[labels], -1)
        crowding = (self.crowding[rows][:, None] + self.crowding[self.said.rows][labels]) / 2
        apart, nearest = (np.full((len(rows), len(self.classes) + 1), lowest, dtype=np.float32) for lowest in (FURTHEST, -1))
        for column in range(owner.shape[1]):
            place = here, owner[:, column]  # -1 is the last column, which is nobody's
            apart[place] = np.maximum(apart[place], (cosines - crowding)[:, column])
            nearest[place] = np.maximum(nearest[place], cosines[:, column])
        return apart[:, :-1], nearest[:, :-1]

    def _left_out(self, rows: Rows) -> Array:
        """Return the cosines of the labelled rows with other labels: -1 with itself."""
        return np.where(self.labels[rows] == np.arange(len(rows))[:, None], np.float32(-1), self.cosines[rows])

    def _may_go(self, rows: Rows, spoken: Spoken, sure: Float, lesson: Lesson, others: Probabilities | None) -> Booleans:
        """Hold all brakes together; only a text that has the label itself passes without them."""
        go = (sure >= lesson.limits[spoken.said]) & (spoken.cosine >= lesson.usual[spoken.said])
        if others is not None:
            other = others[self.said.first[rows]]
            go &= other[np.arange(len(rows)), spoken.said] >= CONTRADICTION * other.max(axis=1)
        return np.asarray((go | (self.said.owner_of(rows) == spoken.said)) & (spoken.said >= 0))

    def _spreads(self, rows: Rows, said: Rows, sure: Float) -> Iterator[tuple[int, Spread]]:
        """Yield a spread for each product of some rows that has no label itself and may be of the class said of its row."""
        labels = self.labels[rows]
        mine = (labels >= 0) & (self.said.owner[labels] == said[:, None])
        first = np.argsort(~mine, axis=1, kind="stable")[:, :SOURCES]
        nearest, cosines = (np.take_along_axis(each, first, axis=1).tolist() for each in (labels, self.cosines[rows]))
        speaker, forbidden = self.said.speaker, self.said.forbidden
        told = zip(rows.tolist(), said.tolist(), sure.tolist(), mine.sum(axis=1).tolist(), nearest, cosines, strict=True)
        for row, column, confidence, count, from_labels, from_cosines in told:
            names = [speaker[label] for label in from_labels[:count]]
            sources = tuple(zip(names, from_cosines[:count], strict=True))
            for number in self.said.open_products(row).tolist():
                product_id = self.said.ids[number]
                if not forbidden or column not in forbidden.get(f"#{product_id}", ()):
                    yield number, Spread(product_id, self.classes[column], confidence, sources)


def _lead(values: Array, best: Rows) -> Array:
    """Return how far the best class stands above the next one, (n,); above the lowest value there is where it is the only class.

    >>> _lead(np.float32([[1, 5, 2], [1, 5, 2]]), np.array([1, 2])).tolist()
    [3.0, -3.0]
    """
    here = np.arange(len(values))
    rest = values.copy()
    rest[here, best] = values.min(initial=0)
    return np.asarray(values[here, best] - rest.max(axis=1))
