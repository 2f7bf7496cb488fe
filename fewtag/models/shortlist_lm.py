"""Asks a language model which category of a shortlist a product belongs to, and adds its calibrated opinion to what was believed.

The trap: a model finds some category names likely after any prompt, so its view of no product at all is taken away first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Product
from fewtag.models.calibrate import content_free_prior, log_softmax, remove_prior
from fewtag.models.vectors import VectorCache
from fewtag.progress import bar
from fewtag.prompts import Prompt
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]

SHORTLIST: Final = 16
"""The right category is among so many in 74 to 100 of 100 products on the sets of benchmarks/cold_start.py."""
PER_STEP: Final = 256
"""How many products are scored before the scores are kept."""


class ShortlistScorer:
    """A language model with a prompt and the words of all classes; scores are cached in `folder`, keyed by model, prompt and shortlist."""

    def __init__(self, lm: Any, prompt: Prompt, taxonomy: Taxonomy, folder: Path) -> None:
        self.lm, self.prompt, self.taxonomy = lm, prompt, taxonomy
        self._names = [prompt.verbalise(name) for name in distinct_names(taxonomy)]
        self.identity = f"{lm.source.identity}|{prompt.hash}|{taxonomy.version}"
        self._cache = VectorCache(folder, f"{self.identity}|top {self._width}")
        self._prior: Array | None = None

    def reweigh(self, texts: Sequence[str], scores: Array, weight: float) -> Array:
        """Return log-probabilities, (n, n_classes), with the model's opinion added within each product's shortlist.

        Outside of the shortlist nothing changes, and the shortlist as a whole stays as likely as it was.
        """
        shortlists = np.sort(np.argpartition(-scores, self._width - 1, axis=1)[:, : self._width], axis=1)
        opinion = log_softmax(remove_prior(self._scores(texts, shortlists), self._content_free()[shortlists]))
        believed = np.take_along_axis(scores, shortlists, axis=1)
        mass = np.log(np.exp(believed).sum(axis=1, keepdims=True))
        result = scores.copy()
        np.put_along_axis(result, shortlists, log_softmax(believed + np.float32(weight) * opinion) + mass, axis=1)
        return result

    @property
    def _width(self) -> int:
        return min(SHORTLIST, len(self.taxonomy.classes))

    def _scores(self, texts: Sequence[str], shortlists: npt.NDArray[np.int64]) -> Array:
        """Return the labels' log-likelihoods, (n, width), from the cache where they are there."""
        keys = [f"{text}\n{' '.join(map(str, row))}" for text, row in zip(texts, shortlists, strict=True)]
        rows = {key: number for number, key in enumerate(keys)}
        missing = self._cache.missing(keys)
        with bar(f"asking {self.lm.name}", len(missing)) as done:
            for start in range(0, len(missing), PER_STEP):
                step = missing[start : start + PER_STEP]
                places = [rows[key] for key in step]
                prompts = [self._prompt(texts[place]) for place in places]
                found = self.lm.score_shortlists(prompts, self._names, shortlists[places], chat=self.prompt.chat)
                self._cache.add(step, found)
                done.update(len(step))
        return self._cache.get(keys)

    def _content_free(self) -> Array:
        if self._prior is None:
            nothing = self.prompt.content_free(taxonomy_name=self.taxonomy.name)
            self._prior = content_free_prior(self.lm.score(nothing, self._names, chat=self.prompt.chat))
        return self._prior

    def _prompt(self, text: str) -> str:
        return self.prompt.render(product=Product("", text), taxonomy_name=self.taxonomy.name)


def distinct_names(taxonomy: Taxonomy) -> list[str]:
    """Return a name for every class, the parent's behind it where several classes share one.

    >>> distinct_names(Taxonomy.from_paths(["Toys > Other", "Pets > Other", "Tea"]))
    ['Other (Toys)', 'Other (Pets)', 'Tea']
    """
    names = [taxonomy[category].name for category in taxonomy.classes]
    trails = [taxonomy.names_on_path(category) for category in taxonomy.classes]
    return [f"{name} ({trail[-2]})" if names.count(name) > 1 and trail[1:] else name for name, trail in zip(names, trails, strict=True)]
