"""Why a product has its tag: what each rung says, which words mattered, which labelled products are like it, and what people said.

The trap: a word that can be left out at no loss may still have mattered, where others say the same. What is told is what each one adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import regex

from fewtag.blend import Array
from fewtag.core import Label, Product, Stage, Tag
from fewtag.decide import decide
from fewtag.labels import Standing
from fewtag.ladder import Ladder
from fewtag.models.zero_shot.rung import Evidence
from fewtag.taxonomy import Taxonomy
from fewtag.verdicts import LabelFate, fates_of

WORDS: Final = 40
"""So many different words of a product are left out, one after the other; a text that is longer says the most at its beginning."""
NEIGHBOURS: Final = 5
UNSPACED: Final = r"[\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}\p{Hiragana}\p{Katakana}ー\p{Han}]"
"""Characters of scripts that write no space between words."""
LETTER: Final = rf"[[\p{{L}}\p{{M}}\p{{N}}]--{UNSPACED}]"
"""Marks stay with their letters: in Hindi they are vowels, and an accent may stand behind its letter."""
TOKEN: Final = regex.compile(rf"(?V1)(?:{UNSPACED}[\p{{M}}ﾞﾟ]*)+|{LETTER}+(?:['’.-]{LETTER}+)*")
UNSPACED_TEXT: Final = regex.compile(rf"(?V1){UNSPACED}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One category of an explanation: its probability at the end, the stages that led there, and the phrase nearest to the product.

    `voices` is what each rung says of it alone, None where that rung does not speak for it.
    """

    category: str
    path: str
    probability: float
    similarity: float
    before_calibration: float
    after_calibration: float
    nearest: str
    voices: dict[Stage, float | None]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a product's text: how likely the answer is without it, and the category of the tag that it would have then."""

    word: str
    without: float
    tag: str | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled product, which the rungs have learnt from, and the cosine of its text and another."""

    label: Label
    text: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a product has its tag: the likeliest categories, best first, and what people have said of it, the oldest first.

    `by_rungs` is the tag that the rungs alone would give it, another than `tag` only where people have said something of this very
    product, from which they may have learnt, or where labels of near ones were spread to it. The rest tells of this one.

    `way` leads to the likeliest category, each with its probability: the tag is the deepest one there that is as likely as `level`, and
    much likelier than a guess. `words` are those of the text, by how much `likely`, the probability of the answer, changes without them,
    and `neighbours` the labelled products that are nearest. `weights` are the shares of the rungs in what is said where all of them speak.
    """

    product: Product
    tag: Tag
    by_rungs: Tag
    level: float
    way: tuple[tuple[str, float], ...]
    weights: dict[Stage, float]
    candidates: tuple[Candidate, ...]
    likely: float
    words: tuple[Word, ...]
    neighbours: tuple[Neighbour, ...]
    labels: tuple[LabelFate, ...]

    @property
    def answer(self) -> str:
        """The category that the rungs give, or the likeliest one where they leave the product open."""
        return answer_of(self.by_rungs)

    @property
    def is_decided_by_people(self) -> bool:
        """Whether people have said what the product is, or that it is not what the rungs hold it for."""
        return self.tag.stage == "label" or (self.tag.category, answer_of(self.tag)) != (self.by_rungs.category, self.answer)


def answer_of(tag: Tag) -> str:
    """Return a tag's category, or the likeliest one where it is left open."""
    return tag.category or tag.alternatives[0][0]


def explain(product: Product, ladder: Ladder, level: float, shortlist: int, standing: Standing) -> Explanation:
    """Return why a ladder says what it says of a product, where a tag is decided at a level of probability, beside the labels that hold."""
    taxonomy, evidence = ladder.taxonomy, ladder.explain(product)
    by_rungs = evidence.probability[None]
    [tag] = ladder.decide([product], ladder.verdicts([product], by_rungs), level)
    [alone] = decide([product.id], by_rungs, taxonomy, level, ladder.stages)
    sums = dict(zip(taxonomy, taxonomy.subtree_sums(by_rungs)[0].tolist(), strict=True))
    answer = answer_of(alone)
    return Explanation(
        product,
        tag,
        by_rungs=alone,
        level=level,
        way=tuple((category, sums[category]) for category in taxonomy.trail(alone.alternatives[0][0])),
        weights=ladder.weights,
        candidates=candidates(evidence, ladder.voices(product), taxonomy, shortlist),
        likely=sums[answer],
        words=weighed_words(product, answer, sums[answer], ladder, level),
        neighbours=tuple(Neighbour(*each) for each in ladder.nearest_labels(product, NEIGHBOURS)),
        labels=tuple(fates_of(product, ladder.learnt, standing, taxonomy)),
    )


def candidates(evidence: Evidence, voices: Mapping[Stage, Array], taxonomy: Taxonomy, shortlist: int) -> tuple[Candidate, ...]:
    """Return the likeliest of a taxonomy's classes; `voices` are what each rung says, (n_classes,), NaN where it does not speak."""
    best = np.argsort(-evidence.probability, kind="stable")[:shortlist]
    return tuple(
        Candidate(
            category := taxonomy.classes[column],
            taxonomy.path(category),
            float(evidence.probability[column]),
            float(evidence.similarity[column]),
            float(evidence.before_calibration[column]),
            float(evidence.after_calibration[column]),
            evidence.nearest[column],
            {stage: None if np.isnan(said[column]) else float(said[column]) for stage, said in voices.items()},
        )
        for column in best
    )


def weighed_words(product: Product, answer: str, likely: float, ladder: Ladder, level: float) -> tuple[Word, ...]:
    """Return what the rungs would say without each word of a product, those first that change most how `likely` an answer is."""
    said = words_of(product.text)[:WORDS]
    if not said:
        return ()
    taxonomy = ladder.taxonomy
    probabilities = ladder.by_rungs([replace(product, text=without(product.text, word)) for word in said])
    shares = taxonomy.subtree_sums(probabilities)[:, list(taxonomy).index(answer)].tolist()
    tags = decide([product.id] * len(said), probabilities, taxonomy, level)
    found = [Word(word, share, each.category) for word, share, each in zip(said, shares, tags, strict=True)]
    return tuple(sorted(found, key=lambda each: -abs(each.without - likely)))


def words_of(text: str) -> list[str]:
    """Return the different words of a text in their order; where no spaces are written, each two neighbouring characters.

    >>> words_of("Earl Grey tea, decaf tea 20-ct")
    ['Earl', 'Grey', 'tea', 'decaf', '20-ct']
    >>> words_of("西湖绿茶 250g"), words_of("हिंदी चाय"), words_of("น้ำชา")
    (['西湖', '湖绿', '绿茶', '250g'], ['हिंदी', 'चाय'], ['น้ำช', 'ชา'])
    """
    found: dict[str, str] = {}
    for token in TOKEN.findall(text):
        for word in pairs_of(token) if UNSPACED_TEXT.match(token) else [token]:
            found.setdefault(word.casefold(), word)
    return list(found.values())


def pairs_of(text: str) -> list[str]:
    """Return each two neighbouring characters, as people count them, or the text where it has only one.

    >>> pairs_of("绿茶叶"), pairs_of("茶")
    (['绿茶', '茶叶'], ['茶'])
    """
    characters = regex.findall(r"\X", text)
    return ["".join(pair) for pair in pairwise(characters)] or [text]


def without(text: str, word: str) -> str:
    """Return a text without a word of its own, wherever it stands.

    >>> without("Earl Grey tea, teapot and TEA", "tea"), without("西湖绿茶 250g", "绿茶")
    ('Earl Grey , teapot and', '西湖 250g')
    >>> without("tea tea-pot", "tea")
    'tea-pot'
    """
    if UNSPACED_TEXT.match(word):
        return " ".join(text.replace(word, " ").split())
    return " ".join(TOKEN.sub(lambda found: " " if found[0].casefold() == word.casefold() else found[0], text).split())
