"""Asks a language model which category of a shortlist a product belongs to, and adds its calibrated opinion to what was believed.

It is asked for the category behind the product or, with a prompt that is a channel, for the product behind each category (Min et al.
2022, "Noisy channel language model prompting for few-shot text classification"), and where that can change which category is the
likeliest: where the lead of that is within the reach of an opinion. The traps: a model finds some category names likely after any prompt,
so its view of no product at all is taken away first; and a small model may know less than what it would overrule, so it is heeded as far
as it agrees with that more than chance would, and as far as labels say once there are some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from fewtag.core import Product
from fewtag.models.calibrate import content_free_prior, log_softmax, remove_prior
from fewtag.models.lm.served import ServedModel, is_address
from fewtag.models.source import Source
from fewtag.models.vectors import VectorCache, text_key
from fewtag.progress import bar
from fewtag.prompts import Prompt
from fewtag.taxonomy import Taxonomy

if TYPE_CHECKING:
    from fewtag.models.lm.model import LanguageModel

Array = npt.NDArray[np.float32]

SHORTLIST: Final = 16
"""The right category is among so many in 74 to 100 of 100 products on the sets of benchmarks/cold_start.py."""
NO_PRODUCT: Final = "no product"
PER_STEP: Final = 256
"""How many products are scored before the scores are kept."""
PER_READING: Final = 16
"""How many texts follow a category's prompt each time that it is read, on average. With fewer the prompt costs more than the texts, with
more each text does, as all are packed into one pass (`python benchmarks/channel.py`)."""
LONGEST: Final = 256
"""So many letters of a product's text are asked for through a channel; what follows says less and less of its category."""
ASKED_FIRST: Final = 512
"""So many texts, drawn by lot, tell how much opinions are worth, and how far they reach."""
MOST: Final = 0.2
"""The weight of an opinion that agrees as often as what is right would. It is small until labels say better: a model whose mistakes are
the encoder's own agrees too (`python benchmarks/cold_start.py --lm FOLDER`)."""
LEAST: Final = 0.02
"""A lesser weight is none: the model is not asked any further."""
WEIGHTS: Final = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
SHARPNESS: Final = (0.5, 0.7, 1.0, 1.4, 2.0)
ENOUGH_LABELS: Final = 30
"""Fewer labels do not say how much an opinion is worth."""
REACH: Final = 0.99
"""In this share of them, an opinion takes no more than the reach from the lead of the likeliest category."""


class ShortlistScorer:
    """A language model with a prompt and the words of all classes; what it said is kept in `folder`, by model, prompt and taxonomy.

    The model is loaded when something is asked that it has not said yet.
    """

    def __init__(self, source: Source, prompt: Prompt, taxonomy: Taxonomy, folder: Path) -> None:
        self.source, self.prompt, self.taxonomy = source, prompt, taxonomy
        names = distinct_names(taxonomy)
        self._names = names if prompt.channel else [prompt.verbalise(name) for name in names]
        identity = f"{source.identity}|{prompt.hash}|{taxonomy.version}"
        self._said = VectorCache(folder, f"{identity}|top {self._width}")
        self._priors = VectorCache(folder, f"{identity}|content-free")

    @cached_property
    def _lm(self) -> LanguageModel | ServedModel:
        if is_address(self.source.place):
            return ServedModel.load(self.source)
        from fewtag.models.lm.model import LanguageModel

        return LanguageModel.load(self.source)

    def weight(self, texts: Sequence[str], scores: Array) -> float:
        """Return how much the opinion counts beside what is believed of texts, (n, n_classes): `MOST` times its agreement, or nothing."""
        shortlists, opinion = self._opinion(texts, scores)
        own = np.take_along_axis(shortlists, opinion.argmax(axis=1)[:, None], axis=1)[:, 0]
        found = MOST * agreement(own, scores, self._width)
        return round(found, 2) if found >= LEAST else 0.0

    def fitted_weight(self, texts: Sequence[str], scores: Array, gold: npt.NDArray[np.integer]) -> float:
        """Return the weight with the least log-loss on labelled texts, whose classes are `gold`, (n,); the smaller where two are as good.

        Each weight is tried with several degrees of sureness, so that an opinion is not paid for making all of it surer or less sure.
        """
        rows, losses = np.arange(len(gold)), []
        for weight in WEIGHTS:
            said = self._reweighed(texts, scores, weight)
            losses.append(min(float(-log_softmax(np.float32(each) * said)[rows, gold].mean()) for each in SHARPNESS))
        return WEIGHTS[int(np.argmin(losses))]

    def reach(self, texts: Sequence[str], scores: Array, weight: float) -> float:
        """Return the most that the model's opinion takes from the lead of a likeliest category, in nats, but for one product in a hundred.

        That is learnt by asking about all of these texts, whose log-probabilities `scores` are, (n, n_classes). Beyond it the likeliest
        category stays what it is; of few texts, nothing is left to chance: the reach is then the most that was seen.
        """
        if len(self.taxonomy.classes) == 1:
            return 0.0
        likeliest = scores.argmax(axis=1)
        taken = leads(scores, likeliest) - leads(self.reweigh(texts, scores, weight), likeliest)
        return max(0.0, round(float(np.quantile(taken, REACH, method="inverted_cdf")), 2))

    def reweigh(self, texts: Sequence[str], scores: Array, weight: float, reach: float = np.inf) -> Array:
        """Return log-probabilities, (n, n_classes), with the model's opinion added within each product's shortlist.

        It is asked about the products whose likeliest category leads by no more than `reach`; what is believed of the others stands.
        Outside of the shortlist nothing changes, and the shortlist as a whole stays as likely as it was.
        """
        result, asked = scores.copy(), np.flatnonzero(in_reach(scores, reach)).tolist()
        if asked:
            result[asked] = self._reweighed([texts[row] for row in asked], scores[asked], weight)
        return result

    def _opinion(self, texts: Sequence[str], scores: Array) -> tuple[npt.NDArray[np.int64], Array]:
        """Return each text's shortlist, (n, width), and the model's log-probabilities within it, without its bias."""
        shortlists = np.sort(np.argpartition(-scores, self._width - 1, axis=1)[:, : self._width], axis=1)
        return shortlists, log_softmax(remove_prior(self._scores(texts, shortlists), self._content_free()[shortlists]))

    def _reweighed(self, texts: Sequence[str], scores: Array, weight: float) -> Array:
        shortlists, opinion = self._opinion(texts, scores)
        believed = np.take_along_axis(scores, shortlists, axis=1)
        mass = np.log(np.exp(believed).sum(axis=1, keepdims=True))
        result = scores.copy()
        np.put_along_axis(result, shortlists, log_softmax(believed + np.float32(weight) * opinion) + mass, axis=1)
        return result

    @property
    def _width(self) -> int:
        return min(SHORTLIST, len(self.taxonomy.classes))

    def _scores(self, texts: Sequence[str], shortlists: npt.NDArray[np.int64]) -> Array:
        """Return the labels' log-likelihoods up to a constant per row, (n, width), from the cache where they are there."""
        keys = [f"{text}\n{' '.join(map(str, row))}" for text, row in zip(texts, shortlists, strict=True)]
        rows = {key: number for number, key in enumerate(keys)}
        missing = self._said.missing(keys)
        ask, size = self._ask_for_names, PER_STEP
        if self.prompt.channel:
            ask, size = self._ask_for_texts, PER_READING * len(self._names) // self._width
        with bar(f"asking {self.source.name}", len(missing)) as done:
            for start in range(0, len(missing), size):
                step = missing[start : start + size]
                places = [rows[key] for key in step]
                found = ask([texts[place] for place in places], shortlists[places])
                self._said.add(step, found - found.max(axis=1, keepdims=True))  # float16 is fine near zero, coarse beyond 100
                done.update(len(step))
        return self._said.get(keys)

    def _ask_for_names(self, texts: Sequence[str], shortlists: npt.NDArray[np.int64]) -> Array:
        """Return how likely the names of each text's shortlist are behind it, (n, width)."""
        prompts = [self.prompt.render(product=Product("", text), taxonomy_name=self.taxonomy.name) for text in texts]
        return self._lm.score_shortlists(prompts, self._names, shortlists, chat=self.prompt.chat)

    def _ask_for_texts(self, texts: Sequence[str], shortlists: npt.NDArray[np.int64]) -> Array:
        """Return how likely each text, to the end of its line, is behind the categories of its shortlist, (n, width).

        Each category's prompt is read once, and behind it all texts that have it on their lists.
        """
        lines = [self.prompt.verbalise(" ".join(text.split())[:LONGEST]) + "\n" for text in texts]
        scores = np.empty(shortlists.shape, dtype=np.float32)
        for place in np.unique(shortlists).tolist():
            prompt = self.prompt.render_category(self._names[place], taxonomy_name=self.taxonomy.name)
            rows, columns = np.nonzero(shortlists == place)
            scores[rows, columns] = self._lm.score_shortlists([prompt], lines, rows[None], chat=self.prompt.chat)[0]
        return scores

    def _content_free(self) -> Array:
        """Return the log-prior of every class, (n_classes,): what the model says of no product. Through a channel that is nothing."""
        if self.prompt.channel:
            return np.zeros(len(self._names), dtype=np.float32)
        if self._priors.missing([NO_PRODUCT]):
            nothing = self.prompt.content_free(taxonomy_name=self.taxonomy.name)
            self._priors.add([NO_PRODUCT], content_free_prior(self._lm.score(nothing, self._names, chat=self.prompt.chat))[None])
        prior: Array = self._priors.get([NO_PRODUCT])[0]
        return prior


def agreement(own: npt.NDArray[np.integer], scores: Array, width: int) -> float:
    """Return how far first choices, (n,), agree with the likeliest classes of log-probabilities, (n, n_classes), from 0 to 1.

    0 is what chance would, where it draws from a shortlist of `width` or knows how frequent each class is; 1 is what the right classes
    would, if those probabilities are no surer than they should be. A standard error is taken off: of few products, little is believed.

    >>> scores = np.log(np.float32([[0.8, 0.2], [0.2, 0.8]] * 200))
    >>> round(agreement(np.array([0, 1] * 200), scores, 2), 2), agreement(np.array([0, 0, 1, 1] * 100), scores, 2)
    (1.0, 0.0)
    """
    likeliest, n, classes = scores.argmax(axis=1), len(own), scores.shape[1]
    shares = [np.bincount(each, minlength=classes) / n for each in (own, likeliest)]
    chance = max(1 / width, float(shares[0] @ shares[1]))
    sure = float(np.exp(scores).max(axis=1).mean())
    found = float((own == likeliest).mean()) - 0.5 / n**0.5
    return (found - chance) / (max(sure, found) - chance) if found > chance else 0.0


def in_reach(scores: Array, reach: float) -> npt.NDArray[np.bool_]:
    """Say of each row of log-probabilities, (n, n_classes), whether its likeliest class leads by no more than `reach`; bool (n,).

    >>> in_reach(np.float32([[0, -1, -5], [-4, 0, -3]]), reach=2.0).tolist()
    [True, False]
    """
    return leads(scores, scores.argmax(axis=1)) <= reach


def leads(scores: Array, ahead: npt.NDArray[np.integer]) -> Array:
    """Return how far the class `ahead`, (n,), is in front of the best of the others in each row of (n, n_classes); negative where behind.

    >>> leads(np.float32([[3, 1, 2], [0, 4, 1]]), np.array([0, 0])).tolist()
    [1.0, -4.0]
    """
    others = scores.copy()
    np.put_along_axis(others, ahead[:, None], -np.inf, axis=1)
    result: Array = np.take_along_axis(scores, ahead[:, None], axis=1)[:, 0] - others.max(axis=1)
    return result


def asked_first(texts: Sequence[str]) -> list[str]:
    """Draw the texts that tell how far opinions reach; the lot depends on the texts alone, not on their order.

    >>> asked_first(["tea", "soap", "jam"]) == asked_first(["jam", "tea", "soap"])
    True
    """
    return sorted(texts, key=text_key)[:ASKED_FIRST]


def distinct_names(taxonomy: Taxonomy) -> list[str]:
    """Return a name for every class; behind one that several share stands as much of the path above as tells them apart.

    >>> distinct_names(Taxonomy.from_paths(["Men > Shoes > Other", "Women > Shoes > Other", "Toys > Other", "Tea"]))
    ['Other (Shoes, Men)', 'Other (Shoes, Women)', 'Other (Toys)', 'Tea']
    """
    trails = [taxonomy.names_on_path(category)[::-1] for category in taxonomy.classes]
    names = [trail[0] for trail in trails]
    for above in range(1, max(map(len, trails)) + 1):
        shared = {name for name, count in Counter(names).items() if count > 1}
        names = [
            f"{trail[0]} ({', '.join(trail[1 : above + 1])})" if name in shared and trail[1:] else name
            for name, trail in zip(names, trails, strict=True)
        ]
    return names
