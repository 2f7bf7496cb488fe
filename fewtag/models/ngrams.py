"""Character n-grams fitted on the catalogue itself: the encoder of every language, and the only one where no other speaks it.

Two views of a text. `grams` is sparse and exact: cosines in it say which words two texts share, typos and inflections allowed.
`reduce` is the same thing in few dimensions (latent semantic analysis): words that occur together come to lie together.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_GRAMS: Final = 60_000
DIMENSIONS: Final = 256
FIT_ON: Final = 20_000
"""More texts than this change the frequent n-grams no more; the rest of a large catalogue is only transformed."""
UNSPACED: Final = frozenset({"zh", "ja", "th", "lo", "km", "my"})
"""Languages written without spaces: there one or two characters are a word."""


class CharacterNgrams:
    """TF-IDF of character n-grams, and its truncated singular value decomposition."""

    def __init__(self, language: str, seed: int = 0) -> None:
        self.language, self.seed = language, seed
        self._vectorizer = _vectorizer(language)
        self._components = np.empty((0, 0), dtype=np.float32)

    def fit(self, texts: Sequence[str], phrases: Sequence[str] = ()) -> CharacterNgrams:
        """Learn which n-grams the catalogue has, how rare each is, and which go together.

        Of many texts a sample is learnt from, but of the phrases, the categories' own words, always all.
        """
        from sklearn.utils.extmath import randomized_svd

        if len(texts) > FIT_ON:
            picked = np.sort(np.random.default_rng(self.seed).choice(len(texts), FIT_ON, replace=False))
            texts = [texts[row] for row in picked]
        self._vectorizer = _vectorizer(self.language)  # one that was loaded would keep its old vocabulary
        grams = self._vectorizer.fit_transform([*texts, *phrases])
        wanted = min(DIMENSIONS, min(grams.shape) - 1)
        if wanted < 1:  # a single text, or a single n-gram: nothing goes together
            self._components = np.zeros((1, grams.shape[1]), dtype=np.float32)
            return self
        _, _, components = randomized_svd(grams, n_components=wanted, random_state=self.seed)
        self._components = components.astype(np.float32)
        return self

    def grams(self, texts: Sequence[str]) -> Any:
        """Return the sparse view, scipy CSR float32 (n, n_grams): rows of length 1, or empty where no n-gram is known."""
        return self._vectorizer.transform(texts)

    def reduce(self, grams: Any) -> npt.NDArray[np.float32]:
        """Return the dense view of sparse rows, float32 (n, dimensions): rows of length 1, or zero where no n-gram is known."""
        dense = np.asarray(grams @ self._components.T, dtype=np.float32)
        lengths = np.linalg.norm(dense, axis=1, keepdims=True)
        result: npt.NDArray[np.float32] = dense / np.maximum(lengths, 1e-9)
        return result

    @property
    def identity(self) -> str:
        """Name the encoder, as every encoder does; its vectors are only comparable with those of the same fit."""
        return "character n-grams"

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the dense view of texts, as every encoder does."""
        return self.reduce(self.grams(texts))

    def save(self, folder: Path) -> dict[str, npt.NDArray[np.float32]]:
        """Write the vocabulary into `folder`, and return the arrays that belong to it."""
        vocabulary = sorted(self._vectorizer.vocabulary_, key=self._vectorizer.vocabulary_.__getitem__)
        about = {"language": self.language, "seed": self.seed, "vocabulary": vocabulary}
        (folder / "ngrams.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        return {"ngrams.idf": self._vectorizer.idf_.astype(np.float32), "ngrams.components": self._components}

    @classmethod
    def load(cls, folder: Path, arrays: dict[str, npt.NDArray[np.float32]]) -> CharacterNgrams:
        """Read back what `save` wrote."""
        about = json.loads((folder / "ngrams.json").read_text(encoding="utf-8"))
        ngrams = cls(about["language"], about["seed"])
        ngrams._vectorizer = _vectorizer(ngrams.language, about["vocabulary"])
        ngrams._vectorizer.idf_ = arrays["ngrams.idf"]
        ngrams._components = arrays["ngrams.components"]
        return ngrams


def fold(text: str) -> str:
    """Write a text the one way that n-grams are counted in: compatible forms unified (NFKC), lower case.

    >>> fold("ＴＥＡ  ①")
    'tea  1'
    """
    return unicodedata.normalize("NFKC", text).casefold()


def _vectorizer(language: str, vocabulary: list[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyzer, sizes = ("char", (1, 2)) if language in UNSPACED else ("char_wb", (2, 4))
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=sizes,
        preprocessor=fold,
        sublinear_tf=True,
        max_features=None if vocabulary else MAX_GRAMS,
        vocabulary=vocabulary,
        dtype=np.float32,
    )
