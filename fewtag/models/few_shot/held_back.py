"""Keeps a few labels back from a lesson, and tells by them whether more of it still helps.

The trap: a title that was learnt, under another product or by the encoder that a lesson starts from, is no test of anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.models.calibrate import log_softmax
from fewtag.models.few_shot.head import Array, sums, unit
from fewtag.models.vectors import text_key

Rows = npt.NDArray[np.int64]

SHARE: Final = 10
"""One label of so many is kept back, of a class at least one."""
FEWEST: Final = 20
"""Fewer titles than this say nothing: then none is kept back."""
MOST: Final = 500
LEFT: Final = 2
"""How many labels a class that gives one up must have left."""
TITLES_PER_CLASS: Final = 4
"""How many of a class's titles are embedded at each measurement, so that it takes seconds."""

TEMPERATURES: Final = (0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2)


def keep_back(titles: Sequence[str], classes: Rows, seed: int, learnt: Collection[str] = ()) -> Rows:
    """Return which titles to keep back, sorted: one of each class that has enough, more of large ones, none where all are too few.

    `learnt` are titles that may not be, as the encoder knows them.
    """
    often = Counter(titles)
    drawn = np.array([text_key(f"{seed}\0{title}") for title in titles], dtype=np.uint64)
    order = np.lexsort((drawn, classes))
    have = np.bincount(classes) if len(classes) else np.zeros(0, dtype=np.int64)
    given = np.zeros_like(have)
    found: list[tuple[int, int, int]] = []
    for row in order.tolist():
        own = int(classes[row])
        may = max(1, have[own] // SHARE)
        if given[own] < may and have[own] - given[own] > LEFT and often[titles[row]] == 1 and titles[row] not in learnt:
            found.append((int(given[own]), int(drawn[row]), row))
            given[own] += 1
    kept = sorted(row for _, _, row in sorted(found)[: min(len(titles) // SHARE, MOST)])
    return np.array(kept if len(kept) >= FEWEST else [], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Exam:
    """Titles that were kept back, with the column of the class of each, and the texts that the columns' prototypes are made of."""

    titles: Sequence[str]
    gold: Rows
    texts: Sequence[str]
    owners: Rows

    @classmethod
    def of(cls, held: tuple[Sequence[str], Rows], taught: tuple[Sequence[str], Rows], phrases: Sequence[Sequence[str]]) -> Exam:
        """Set an exam on titles and classes that were `held` back; beside their own classes others compete, up to `MOST` in all."""
        titles, classes = held
        asked = np.unique(classes)
        others = np.setdiff1d(np.arange(len(phrases)), asked)
        more = others[np.linspace(0, len(others) - 1, min(len(others), max(0, MOST - len(asked)))).astype(np.int64)]
        columns = np.concatenate([asked, more])
        place = np.full(len(phrases), -1)
        place[columns] = np.arange(len(columns))
        texts = [text for each in columns for text in phrases[each]]
        owners = np.repeat(np.arange(len(columns)), [len(phrases[each]) for each in columns]).tolist()
        seen = np.zeros(len(phrases), dtype=np.int64)
        for title, own in zip(taught[0], taught[1].tolist(), strict=True):
            if place[own] >= 0 and seen[own] < TITLES_PER_CLASS:
                seen[own] += 1
                texts.append(title)
                owners.append(int(place[own]))
        return cls(titles, place[classes], texts, np.array(owners, dtype=np.int64))

    def figures(self, encode: Callable[[Sequence[str]], Array]) -> dict[str, float]:
        """Return the share of titles whose nearest prototype is that of their class, and the mean log-loss of their cosines.

        The log-loss is that at the temperature that suits it best: how sure an encoder sounds is no merit, and others see to it.
        """
        prototypes = unit(sums(encode(self.texts), self.owners, None, int(self.owners.max()) + 1))
        cosines = encode(self.titles) @ prototypes.T
        own = np.arange(len(self.gold)), self.gold
        losses = [-float(log_softmax(cosines / np.float32(temperature))[own].mean()) for temperature in TEMPERATURES]
        return {"accuracy": float((cosines.argmax(axis=1) == self.gold).mean()), "log_loss": min(losses)}
