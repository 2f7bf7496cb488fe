"""Mines the words that a category's products use and its siblings' do not, out of tags alone: a suggestion for aliases, read by no rung.

The trap: what is mined from guesses repeats their mistakes. Read back as the category's own words it made tags no better on average
(benchmarks/LOG.md), so it is shown to people, who know which of it is true.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.models.ngrams import UNSPACED, fold
from fewtag.taxonomy import Taxonomy

Vector = npt.NDArray[np.float64]

WORDS: Final = 8
LEAST: Final = 3
"""So many products must use a word: what one or two say is their brand."""
PRIOR: Final = 0.1
"""Both sides are thought to have so much of the whole catalogue's words besides their own, so that a rare word proves little."""
SURE: Final = 1.64
"""A word is told where its log-odds are so many standard errors above zero: by chance alone one in twenty is."""

_GLUED: Final = re.compile(r"\w*\d\w*")


def mine(texts: Sequence[str], categories: Sequence[str | None], taxonomy: Taxonomy, most: int = WORDS) -> dict[str, tuple[str, ...]]:
    """Return for each assignable category the words and word pairs that tell its products from its siblings', the surest first.

    `categories` has the category of each text, or None where that is not known well enough. Where no sibling has products, those of
    the next branch above are the rivals. What the category's own path and aliases say already is left out.
    The measure is log-odds with the catalogue as an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008).
    """
    counts, terms = _counts(texts, categories, taxonomy)
    if not terms:
        return {}
    families = taxonomy.reach @ counts
    rows = {category: row for row, category in enumerate(taxonomy)}
    total = _row(counts.sum(axis=0))
    background = PRIOR * total
    mined = {}
    for category, column in taxonomy.index.items():
        own = _row(counts[[column]])
        circles = (_row(families[[rows[above]]]) - own for above in reversed(taxonomy.trail(category)[:-1]))
        rivals = next((circle for circle in circles if circle.any()), total - own)
        if own.any() and rivals.any():
            sureness = np.where(own >= LEAST, log_odds(own, rivals, background), 0)
            told = [terms[place] for place in np.argsort(-sureness, kind="stable") if sureness[place] > SURE]
            if words := _fresh(told, [taxonomy.path(category), *taxonomy[category].aliases])[:most]:
                mined[category] = words
    return mined


def log_odds(own: Vector, rivals: Vector, background: Vector) -> Vector:
    """Return by how many standard errors each word is likelier here than among the rivals; counts of words, three times (n_words,).

    >>> log_odds(np.array([4.0, 1.0]), np.array([1.0, 4.0]), np.array([0.5, 0.5])).round(2).tolist()
    [2.33, -2.33]
    """
    here, there = own + background, rivals + background
    gap = np.log(here / (here.sum() - here)) - np.log(there / (there.sum() - there))
    return np.asarray(gap / np.sqrt(1 / here + 1 / there))


def terms_of(text: str, language: str = "en") -> list[str]:
    """Return the words and pairs of words of a text, or, in a language without spaces, its runs of two to four characters.

    Whatever holds a digit is no word, and no pair spans it or a punctuation mark.

    >>> terms_of("Olive-oil soap, 250g bar")
    ['olive-oil', 'soap', 'olive-oil soap', 'bar']
    >>> terms_of("绿茶叶 Tea 50g", "zh")
    ['绿茶', '茶叶', '绿茶叶', 'tea']
    """
    text = _GLUED.sub(",", fold(text)).replace("’", "'")
    pieces = "".join(letter if unicodedata.category(letter)[0] in "LM" or letter in "-' " else "," for letter in text).split(",")
    found = []
    for piece in pieces:
        words = [word for each in piece.split() if len(word := each.strip("-'")) > 1]
        if language in UNSPACED:
            for word in words:
                sizes = range(2, 5) if not word.isascii() else (len(word),)
                found += [word[at : at + size] for size in sizes for at in range(len(word) - size + 1)]
        else:
            found += [*words, *(f"{one} {other}" for one, other in pairwise(words))]
    return found


def _counts(texts: Sequence[str], categories: Sequence[str | None], taxonomy: Taxonomy) -> tuple[Any, list[str]]:
    """Count in how many products of each class each term is, CSR (n_classes, n_terms), and return the terms."""
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer

    known = [(text, taxonomy.index[each]) for text, each in zip(texts, categories, strict=True) if each in taxonomy.index]
    vectorizer = CountVectorizer(analyzer=lambda text: set(terms_of(text, taxonomy.language)), min_df=LEAST)
    try:
        uses = vectorizer.fit_transform([text for text, _ in known])
    except ValueError:  # no term is that frequent
        return None, []
    columns = [column for _, column in known]
    belongs = sparse.csr_matrix((np.ones(len(known)), (columns, np.arange(len(known)))), shape=(len(taxonomy.classes), len(known)))
    return sparse.csr_matrix(belongs @ uses), vectorizer.get_feature_names_out().tolist()


def _fresh(words: Sequence[str], said: Sequence[str]) -> tuple[str, ...]:
    """Drop words that repeat a part of what is said of the category, its plural apart, or of a word before them."""
    known = fold(" | ".join(said))
    kept: list[str] = []
    for word in words:
        stem = re.sub(r"(?<=...)(es|s|y|ies)$", "", word)
        if stem not in known and not any(word in other or other in word for other in kept):
            kept.append(word)
    return tuple(kept)


def _row(matrix: Any) -> Vector:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64).ravel()
