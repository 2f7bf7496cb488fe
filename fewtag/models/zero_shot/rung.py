"""The rung for categories without a label: category words against product words, the model's bias taken out, then self-training.

Four voices add up, as log-scores. An encoder compares the product with each category's phrases; character n-grams do the same letter
by letter; a language model, where one is configured, weighs the shortlist where the likeliest category is not far ahead; a discriminant
learns from what these believe of the whole catalogue. The trap: the voices repeat each other, so their sum would be far too sure of
itself: the discriminant may change which category is the likeliest, and how sure each product is beside the others, but not how sure
all of them are on average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.catalogue import unique_texts
from fewtag.core import Label, Product
from fewtag.models import Probabilities
from fewtag.models.calibrate import TINY, batch_prior, log_softmax, remove_prior, sharpness
from fewtag.models.encoder import Encoder
from fewtag.models.ngrams import CharacterNgrams
from fewtag.models.verbalise import Phrases, keywords, sentences
from fewtag.models.zero_shot.discriminant import Discriminant, Moments
from fewtag.models.zero_shot.shortlist_lm import ENOUGH_LABELS, ShortlistScorer, asked_first, in_reach
from fewtag.progress import bar
from fewtag.status import Consulted
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]

# Chosen on the sets of benchmarks/cold_start.py, where LOG.md has the table; each is flat around its value.
TEMPERATURE: Final = 0.06
"""A cosine difference of this much makes a category e times as likely: the embedded encoder is then as often right where it is sure as the
original was at .05, which a lower temperature is not."""
LETTERS_TEMPERATURE: Final = 0.02
"""The same where letters stand alone: their cosines are small, as a title shares few n-grams with a category's words."""
PRIOR_STRENGTH: Final = 0.5
"""How much of the catalogue's mean is taken for the model's bias; the other half is taken for the catalogue's real proportions."""
LETTERS: Final = 0.2
"""The weight of the letter-by-letter cosine beside the encoder's."""
SHRINKAGE: Final = 0.9
DISCRIMINANT: Final = 0.75
"""The discriminant's share in the geometric mean with what it learned from; a mean, as the voices are anything but independent."""
MAX_SCALE: Final = 0.25
"""The discriminant is scaled to the spread of what it learnt from: by .03 to .16 on real catalogues, by more where it is noise."""
ENOUGH: Final = 50
"""Of a catalogue with so many texts, half of what it teaches is believed: a handful of products, or one kind of them, is no catalogue."""
DOUBT: Final = 1e-6
"""This share goes to all categories alike: without a label nothing is certain, however a probability is rounded."""

SAMPLE: Final = 2048
"""How many texts tell how sure the voices are on average."""
BATCH: Final = 4096
SCORES_PER_BATCH: Final = 2**25


@dataclass(frozen=True, slots=True)
class Prototypes:
    """The vectors of all categories' phrases: `whole` (n_classes, dimensions), and `parts`, those of class c from `starts[c]` on."""

    whole: Any
    parts: Any
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, phrases: Sequence[Phrases], encode: Any) -> Prototypes:
        """Encode phrases with a function from texts to rows of unit length, dense or sparse."""
        from scipy import sparse
        from sklearn.preprocessing import normalize

        owner = np.repeat(np.arange(len(phrases)), [len(each.whole) for each in phrases])
        average = sparse.csr_matrix((np.ones(len(owner), dtype=np.float32), (owner, np.arange(len(owner)))))
        whole = normalize(average @ encode([text for each in phrases for text in each.whole]))
        parts = encode([text for each in phrases for text in each.parts])
        return cls(whole, parts, starts_of([len(each.parts) for each in phrases]))

    def similarity(self, vectors: Any) -> Array:
        """Return the mean of the cosine with the whole and with the nearest part, float32 (n, n_classes)."""
        parts = np.maximum.reduceat(_dense(vectors @ self.parts.T), self.starts, axis=1)
        return np.asarray((_dense(vectors @ self.whole.T) + parts) / 2, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class View:
    """One batch of texts as the voices see it: sparse n-grams, the encoder's vectors (n-grams where there is no encoder), and the
    discriminant's features, float32 (n, dimensions)."""

    texts: Sequence[str]
    grams: Any
    vectors: Any
    features: Array


@dataclass(frozen=True, slots=True)
class Evidence:
    """What each voice says of one product and each class, for `explain`: arrays (n_classes,), and each class's nearest phrase."""

    similarity: Array
    before_calibration: Array
    after_calibration: Array
    probability: Array
    nearest: tuple[str, ...]


class ZeroShot:
    """The zero-shot rung; `encoder` is None where no encoder speaks the taxonomy's language, `lm` where none is configured."""

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder | None, *, lm: ShortlistScorer | None = None, seed: int = 0) -> None:
        self.taxonomy, self.encoder, self.lm = taxonomy, encoder, lm
        self.classes_ = taxonomy.classes
        self.ngrams = CharacterNgrams(taxonomy.language, seed)
        self._meaning: Prototypes | None = None
        self._letters: Prototypes
        self._log_prior: Array
        self._discriminant: Discriminant
        self._sharpness = 1.0
        self._trust = 0.0
        self._reach = np.inf
        self.consulted: Consulted | None = None
        """How the language model is heeded, and about how much of the catalogue it was asked; None where there is none."""

    def fit(self, products: Sequence[Product], labels: Sequence[Label] = ()) -> ZeroShot:
        """Learn the catalogue's n-grams, the voices' bias and the discriminant from products.

        Labels name some of these by id; they tell how much the language model's opinion is worth, and nothing else.
        """
        texts, _ = unique_texts(products)
        phrases = [keywords(self.taxonomy, category) for category in self.classes_]
        self.ngrams.fit(texts, [text for each in phrases for text in (*each.whole, *each.parts)])
        self._letters = Prototypes.of(phrases, self.ngrams.grams)
        if self.encoder:
            self._meaning = Prototypes.of([sentences(self.taxonomy, category) for category in self.classes_], self.encoder.encode)
        self._trust = len(texts) / (len(texts) + ENOUGH)
        self._log_prior = self._bias(texts)
        self._consult(texts, products, labels)
        self._discriminant = self._self_train(texts)
        self._sharpness = self._sharpen(_sample(texts))
        return self

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow `classes_`; a text without any known feature gives a uniform row."""
        texts, place = unique_texts(products)
        rows = [self._probabilities(view) for view in self._views(texts)]
        return np.concatenate(rows)[place] if rows else np.empty((0, len(self.classes_)), dtype=np.float32)

    def explain(self, product: Product) -> Evidence:
        """Return what was said of one product and why."""
        view = self._view([product.text])
        raw, calibrated = log_softmax(self._scores(view)), self._calibrated(view)
        return Evidence(self._similarity(view)[0], np.exp(raw)[0], np.exp(calibrated)[0], self._probabilities(view)[0], self._nearest(view))

    def _bias(self, texts: Sequence[str]) -> Array:
        """Return the log of the mean distribution over classes, as the cosines alone see the catalogue."""
        total = np.zeros(len(self.classes_))
        for view in self._views(texts):
            total += len(view.texts) * np.exp(batch_prior(self._scores(view)))
        return np.log(total / len(texts) + TINY).astype(np.float32)

    def heed(self, products: Sequence[Product], labels: Sequence[Label]) -> None:
        """Weigh the language model by labels, as `fit` does, and learn anew from the products where that changes its weight."""
        if self.consulted:
            weight = self._weight_by(labels, products)
            if weight != (self._weight if self.consulted.by_labels else None):
                self.fit(products, labels)

    def _weight_by(self, labels: Sequence[Label], products: Sequence[Product]) -> float | None:
        """Return the weight of the language model's opinion by labels, which name products by id; None where these are too few to say."""
        classes = {label.product_id: self.taxonomy.index[label.category] for label in labels if not label.negative}
        known = {product.text: classes[product.id] for product in products if product.id in classes}
        if not self.lm or len(known) < ENOUGH_LABELS:
            return None
        texts = asked_first(list(known))  # so many say enough, and asking about all of them could take hours
        return self.lm.fitted_weight(texts, self._all_believed(texts), np.array([known[text] for text in texts]))

    def _consult(self, texts: Sequence[str], products: Sequence[Product], labels: Sequence[Label]) -> None:
        """Find the weight of the language model's opinion, and the lead beyond which it need not be asked, by asking about some texts."""
        if not self.lm or len(self.classes_) == 1:
            return
        first = asked_first(texts)
        believed = self._all_believed(first)
        fitted = self._weight_by(labels, products)
        weight = self.lm.weight(first, believed) if fitted is None else fitted
        self._reach = np.inf if len(first) == len(texts) else self.lm.reach(first, believed, weight)
        self.consulted = Consulted(len(first), len(texts), weight, fitted is not None)

    def _all_believed(self, texts: Sequence[str]) -> Array:
        return np.concatenate([self._believed(view) for view in self._views(texts)])

    def _self_train(self, texts: Sequence[str]) -> Discriminant:
        """Fit the discriminant on what the other voices believe, and put its scores on their scale."""
        moments: Moments | None = None
        spread, asked, first = 0.0, 0, set(asked_first(texts))
        with bar("self-training", len(texts)) as done:
            for view in self._views(texts):
                believed = self._believed(view)
                beliefs = self._heard(view.texts, believed)
                if self._weight:
                    asked += sum(near or text in first for text, near in zip(view.texts, in_reach(believed, self._reach), strict=True))
                moments = moments or Moments(view.features.shape[1], len(self.classes_))
                moments.add(view.features, np.exp(beliefs))
                spread += float(beliefs.std(axis=1).sum()) / len(texts)
                done.update(len(view.texts))
        assert moments is not None, "a catalogue has at least one product"
        if self.consulted and self._weight:
            self.consulted = replace(self.consulted, texts=int(asked))
        discriminant = moments.discriminant(SHRINKAGE)
        own = float(np.concatenate([discriminant(view.features).std(axis=1) for view in self._views(_sample(texts))]).mean())
        return discriminant.scaled(min(spread / max(own, 1e-9), MAX_SCALE))

    def _sharpen(self, texts: Sequence[str]) -> float:
        """Return the factor that makes the blend, on average, as sure as the voices that the discriminant learnt from."""
        pairs = [(self._calibrated(view), view) for view in self._views(texts)]
        confidence = np.concatenate([np.exp(scores).max(axis=1) for scores, _ in pairs]).mean()
        return sharpness(np.concatenate([self._blend(scores, view) for scores, view in pairs]), float(confidence))

    def _blend(self, scores: Array, view: View) -> Array:
        share = np.float32(self._trust * DISCRIMINANT)
        return (1 - share) * scores + share * log_softmax(self._discriminant(view.features))

    def _probabilities(self, view: View) -> Probabilities:
        scores = np.float32(self._sharpness) * self._blend(self._calibrated(view), view)
        scores[~view.features.any(axis=1)] = 0
        probabilities: Probabilities = np.exp(log_softmax(scores))
        probabilities += np.float32(DOUBT) * (np.float32(1 / len(self.classes_)) - probabilities)
        return probabilities

    def _calibrated(self, view: View) -> Array:
        """Return log-probabilities with the bias taken out, and the language model's opinion added where it can change the likeliest."""
        return self._heard(view.texts, self._believed(view))

    def _believed(self, view: View) -> Array:
        """Return log-probabilities with the bias taken out."""
        return log_softmax(remove_prior(log_softmax(self._scores(view)), self._log_prior, self._trust * PRIOR_STRENGTH))

    def _heard(self, texts: Sequence[str], believed: Array) -> Array:
        return self.lm.reweigh(texts, believed, self._weight, self._reach) if self.lm and self._weight else believed

    @property
    def _weight(self) -> float:
        return self.consulted.weight if self.consulted else 0.0

    def _similarity(self, view: View) -> Array:
        letters = self._letters.similarity(view.grams)
        if self._meaning is None:
            return letters
        return self._meaning.similarity(view.vectors) + np.float32(LETTERS) * letters

    def _scores(self, view: View) -> Array:
        """Return the cosines as unnormalised log-probabilities."""
        return self._similarity(view) / np.float32(TEMPERATURE if self._meaning else LETTERS_TEMPERATURE)

    def _views(self, texts: Sequence[str]) -> Iterator[View]:
        widest = max(len(self._letters.starts), self._letters.parts.shape[0], self._meaning.parts.shape[0] if self._meaning else 0)
        size = max(1, min(BATCH, SCORES_PER_BATCH // widest))
        for start in range(0, len(texts), size):
            yield self._view(texts[start : start + size])

    def _view(self, texts: Sequence[str]) -> View:
        grams = self.ngrams.grams(texts)
        features = self.ngrams.reduce(grams)
        if self.encoder is None:
            return View(texts, grams, grams, features)
        vectors = self.encoder.encode(texts)
        return View(texts, grams, vectors, np.hstack([vectors, features]))

    def _nearest(self, view: View) -> tuple[str, ...]:
        """Return each class's phrase that lies nearest to the product, by the voice that weighs most."""
        phrase_of, prototypes = (sentences, self._meaning) if self._meaning else (keywords, self._letters)
        cosines = _dense(view.vectors @ prototypes.parts.T)[0]
        nearest = []
        for category, start in zip(self.classes_, prototypes.starts, strict=True):
            parts = phrase_of(self.taxonomy, category).parts
            nearest.append(parts[int(np.argmax(cosines[start : start + len(parts)]))])
        return tuple(nearest)

    def save(self, folder: Path) -> None:
        """Write what was learnt into a folder, as JSON and safetensors; the encoder and the language model stay where they are."""
        from safetensors.numpy import save

        arrays = self.ngrams.save(folder)
        arrays |= {
            "log_prior": self._log_prior,
            "discriminant.weights": self._discriminant.weights,
            "discriminant.bias": self._discriminant.bias,
            "sharpness_trust_reach": np.array([self._sharpness, self._trust, self._reach]),
        }
        if self.consulted:
            arrays["consulted"] = np.array(astuple(self.consulted), dtype=np.float64)
        if self._meaning:
            arrays |= {"meaning.whole": self._meaning.whole, "meaning.parts": self._meaning.parts}
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        (folder / "zero_shot.safetensors").write_bytes(content)  # `save_file` would hide a full disk in an error of its own

    def load(self, folder: Path) -> ZeroShot:
        """Read back what `save` wrote, into a rung made for the same taxonomy and encoder."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / "zero_shot.safetensors")
        self.ngrams = CharacterNgrams.load(folder, arrays)
        self._letters = Prototypes.of([keywords(self.taxonomy, category) for category in self.classes_], self.ngrams.grams)
        if "meaning.whole" in arrays:
            counts = [len(sentences(self.taxonomy, category).parts) for category in self.classes_]
            self._meaning = Prototypes(arrays["meaning.whole"], arrays["meaning.parts"], starts_of(counts))
        self._log_prior = arrays["log_prior"]
        self._discriminant = Discriminant(arrays["discriminant.weights"], arrays["discriminant.bias"])
        self._sharpness, self._trust, self._reach = map(float, arrays["sharpness_trust_reach"])
        if "consulted" in arrays:
            texts, of, weight, by_labels = arrays["consulted"].tolist()
            self.consulted = Consulted(int(texts), int(of), weight, bool(by_labels))
        return self


def starts_of(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return where each of several runs starts in their concatenation.

    >>> starts_of([2, 1, 3]).tolist()
    [0, 2, 3]
    """
    return np.cumsum([0, *counts[:-1]])


def _sample(texts: Sequence[str]) -> Sequence[str]:
    """Take every so many-th text: a catalogue is often sorted by category."""
    return texts[:: -(-len(texts) // SAMPLE)]


def _dense(matrix: Any) -> Array:
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
