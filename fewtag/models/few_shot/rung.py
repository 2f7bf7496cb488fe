"""The rung for categories with a few labels: a linear head on what encoder and n-grams see and, once tuned, a SetFit model of its own.

The trap: a head gives nothing to a category that it has no label of. `warm` says which categories it can speak of; nothing else is a no.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.catalogue import unique_texts
from fewtag.core import Label, Product
from fewtag.models import Probabilities
from fewtag.models.calibrate import log_softmax
from fewtag.models.encoder import CachedEncoder, Encoder, SentenceEncoder
from fewtag.models.few_shot.contrast import ContrastSettings, Lesson, tune
from fewtag.models.few_shot.familiar import ENOUGH, NOBODY, SAMPLE, Familiar
from fewtag.models.few_shot.head import TEMPERATURE, Head, HeldOut, Mask, sums, unit
from fewtag.models.ngrams import CharacterNgrams
from fewtag.models.source import Source, loading_quietly, weights_hash
from fewtag.models.verbalise import Phrases, sentences
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]

FOLDS: Final = 4
DEFAULT: Final = ContrastSettings()


class FewShot:
    """The few-shot rung. `encoder` is None where none speaks the taxonomy's language; `source`, where it is to be tuned, its weights.

    `folder` keeps checkpoints and the tuned model until `save` copies it.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        encoder: Encoder | None,
        *,
        source: Source | None = None,
        folder: Path,
        seed: int = 0,
        settings: ContrastSettings = DEFAULT,
    ) -> None:
        self.taxonomy, self.encoder, self.source, self.folder = taxonomy, encoder, source, folder
        self.seed, self.settings = seed, settings
        self.classes_ = taxonomy.classes
        self._ngrams = CharacterNgrams(taxonomy.language, seed)
        self._tuned: Encoder | None = None
        self._prototypes: Array | None = None
        self._head = Head(np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=np.float32), np.zeros(len(self.classes_), dtype=np.bool_))
        self._strangers = np.empty((0, 1), dtype=np.float32)
        self._familiar = NOBODY

    @property
    def warm(self) -> Mask:
        """Which classes the rung has labels of, (n_classes,)."""
        return self._head.warm

    @property
    def setfit(self) -> Path:
        """The folder of the tuned model, as `SetFitModel.from_pretrained` reads it."""
        return self.folder / "setfit"

    def fit(self, products: Sequence[Product], labels: Sequence[Label]) -> FewShot:
        """Learn from positive labels; products without one say which n-grams the catalogue has, and what else there is beside the warm."""
        texts, classes, weights = self._lessons(products, labels)
        self._ngrams.fit(unique_texts(products)[0], [text for category in self.classes_ for text in _phrases(self.taxonomy, category)])
        self._tuned, self._prototypes = None, None
        if self.source and len(texts):
            self._tune(texts, classes, weights)
        if len(texts):
            self._head = Head.fit(self._features(texts), classes, weights, len(self.classes_))
        labelled = set(texts)
        self._meet([text for text in unique_texts(products)[0] if text not in labelled])
        self._familiar = self._familiar_among(self._features(texts, tuned=False), classes, self._strangers[:0])
        return self

    def log_probabilities(self, products: Sequence[Product]) -> Array:
        """Return float32 (n, n_classes), normalised over the warm classes, far below for the others."""
        return self.heard(products)[0]

    def heard(self, products: Sequence[Product]) -> tuple[Array, Array]:
        """Return log-probabilities, float32 (n, n_classes), as above, and how familiar each text looks, (n,): 0 where that is not known."""
        texts, place = unique_texts(products)
        features = self._features(texts)
        scores = self._head.log_probabilities(features)
        if self._prototypes is not None and self.warm.any():
            cosines = features[:, : self._prototypes.shape[1]] @ self._prototypes[self.warm].T
            scores[:, self.warm] = log_softmax(scores[:, self.warm] + log_softmax(cosines / np.float32(TEMPERATURE)))
        return scores[place], self._familiar(features)[place]

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow `classes_`; a class that is not warm has next to nothing."""
        if not products:
            return np.empty((0, len(self.classes_)), dtype=np.float32)
        return np.exp(log_softmax(self.log_probabilities(products)))

    def held_out(self, products: Sequence[Product], labels: Sequence[Label], hide: float = 0.0) -> HeldOut:
        """Return what heads without tuning say of labels that they have not seen, in `FOLDS` parts, for whoever weighs this rung's word.

        `hide` is the share of classes that each head sees no label of at all: how the rung fares with cold classes beside warm ones.
        """
        texts, classes, weights = self._lessons(products, labels)
        features = self._features(texts, tuned=False)
        rng = np.random.default_rng(self.seed)
        fold = np.empty(len(classes), dtype=np.int64)
        for each in np.unique(classes):
            mine = np.flatnonzero(classes == each)
            fold[mine] = (rng.permutation(len(mine)) + rng.integers(FOLDS)) % FOLDS
        none = np.empty(0, dtype=np.float32)
        nothing = np.empty(0, dtype=np.int64), np.empty((0, len(self.classes_)), dtype=np.float32), self.warm, none
        parts = [nothing, *self._folds(features, classes, weights, fold, hide, rng)]
        row, scores, familiar = (np.concatenate([part[place] for part in parts]) for place in (0, 1, 3))
        known = np.concatenate([np.broadcast_to(warm, (len(held), len(warm))) for held, _, warm, _ in parts])
        return HeldOut(row, scores, known, classes[row], familiar)

    def _folds(
        self, features: Array, classes: npt.NDArray[np.int64], weights: Array, fold: npt.NDArray[np.int64], hide: float, rng: Any
    ) -> Iterator[tuple[npt.NDArray[np.int64], Array, Mask, Array]]:
        for number in range(FOLDS):
            hidden = np.isin(classes, [each for each in np.unique(classes) if rng.random() < hide])
            seen, held = ~hidden & (fold != number), np.flatnonzero(fold == number)
            if len(held) and seen.any():
                head = Head.fit(features[seen], classes[seen], weights[seen], len(self.classes_))
                familiar = self._familiar_among(features[seen], classes[seen], features[~seen])(features[held])
                yield held, head.log_probabilities(features[held]), head.warm, familiar

    def _meet(self, strangers: Sequence[str]) -> None:
        """Look at the catalogue's texts without a label, where there are cold classes and enough of them to tell."""
        useful = len(strangers) >= ENOUGH and self.warm.any() and not self.warm.all()
        some = strangers[:: max(1, -(-len(strangers) // SAMPLE))] if useful else []  # a catalogue is often sorted by category
        self._strangers = self._features(some, tuned=False)

    def _familiar_among(self, features: Array, classes: npt.NDArray[np.int64], more: Array) -> Familiar:
        """Learn how labelled texts differ from the strangers and `more`; each counts for as many strangers as its class seems to have."""
        if not len(self._strangers):
            return NOBODY
        counts = np.bincount(classes, minlength=len(self.classes_))
        means = Head.of_means(features, classes, np.ones(len(classes), dtype=np.float32), counts > 0)
        frequent = np.exp(means.log_probabilities(self._strangers)).sum(axis=0)
        return Familiar.fit(features, np.vstack([self._strangers, more]), (np.maximum(frequent, 1) / np.maximum(counts, 1))[classes])

    def _lessons(self, products: Sequence[Product], labels: Sequence[Label]) -> tuple[list[str], npt.NDArray[np.int64], Array]:
        """Return the texts that have a positive label, the class of each and how much it counts."""
        texts = {product.id: product.text for product in products}
        index = self.taxonomy.index
        taken = [each for each in labels if not each.negative and each.product_id in texts and each.category in index]
        classes = np.array([index[each.category] for each in taken], dtype=np.int64)
        return [texts[each.product_id] for each in taken], classes, np.array([each.weight for each in taken], dtype=np.float32)

    def _features(self, texts: Sequence[str], tuned: bool = True) -> Array:
        """Return what is seen of texts side by side, float32 (n, dimensions): by the tuned encoder, by the encoder, by n-grams."""
        encoders = [self._tuned if tuned else None, self.encoder]
        views = [encoder.encode(texts) for encoder in encoders if encoder and len(texts)]
        return np.hstack([*views, self._ngrams.reduce(self._ngrams.grams(texts))]) if len(texts) else np.empty((0, 1), dtype=np.float32)

    def _tune(self, texts: Sequence[str], classes: npt.NDArray[np.int64], weights: Array) -> None:
        """Tune the encoder, and write it as a SetFit model whose head is the classes' prototypes: their labels and their own words."""
        assert self.source
        phrases = [_phrases(self.taxonomy, category) for category in self.classes_]
        index = self.taxonomy.index
        siblings = [[index[each] for each in self.taxonomy.siblings(category) if each in index] for category in self.classes_]
        body = tune(self.source, Lesson(texts, classes, phrases, siblings), self.folder / "checkpoints", self.settings, self.seed)
        shutil.rmtree(self.setfit, ignore_errors=True)
        with loading_quietly():
            body.save_pretrained(str(self.setfit))
        self._tuned = self._tuned_encoder()
        words = unit(sums(self._tuned.encode([text for each in phrases for text in each]), _owners(phrases), None, len(phrases)))
        said = sums(self._tuned.encode(texts), classes, weights, len(phrases))
        self._prototypes = unit(words + said)
        self._save_setfit(body, np.unique(classes))

    def _save_setfit(self, body: Any, warm: npt.NDArray[np.int64]) -> None:
        from setfit import SetFitModel
        from sklearn.linear_model import LogisticRegression

        assert self._prototypes is not None
        head = LogisticRegression()
        rows = self._prototypes[warm].astype(np.float64) / TEMPERATURE
        head.classes_ = np.arange(len(warm))
        head.coef_ = rows[1:] - rows[:1] if len(warm) == 2 else rows
        head.intercept_ = np.zeros(len(head.coef_))
        head.n_features_in_ = rows.shape[1]
        labels = [self.classes_[each] for each in warm]
        with loading_quietly():
            SetFitModel(model_body=body, model_head=head, labels=labels, normalize_embeddings=True).save_pretrained(str(self.setfit))

    def _tuned_encoder(self) -> Encoder:
        assert self.source
        source = Source(f"{self.source.name}, tuned", str(self.setfit), weights_hash(self.setfit))
        return CachedEncoder(SentenceEncoder(source), self.folder / "vectors")

    def save(self, folder: Path) -> None:
        """Write what was learnt into a folder: JSON, safetensors, and the tuned model as a SetFit folder."""
        from safetensors.numpy import save

        arrays: dict[str, npt.NDArray[Any]] = dict(self._ngrams.save(folder))
        arrays |= {"head.weights": self._head.weights, "head.bias": self._head.bias, "head.warm": self._head.warm}
        arrays |= {"familiar.weights": self._familiar.weights, "familiar.bias": np.array([self._familiar.bias])}
        if self._prototypes is not None:
            arrays |= {"prototypes": self._prototypes}
            shutil.copytree(self.setfit, folder / "setfit")
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        (folder / "few_shot.safetensors").write_bytes(content)

    def load(self, folder: Path) -> FewShot:
        """Read back what `save` wrote, into a rung made for the same taxonomy and encoder."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / "few_shot.safetensors")
        self._ngrams = CharacterNgrams.load(folder, arrays)
        self._head = Head(arrays["head.weights"], arrays["head.bias"], arrays["head.warm"].astype(np.bool_))
        self._familiar = Familiar(arrays["familiar.weights"], float(arrays["familiar.bias"][0]))
        self._prototypes = arrays.get("prototypes")
        if self._prototypes is not None:
            shutil.rmtree(self.setfit, ignore_errors=True)
            shutil.copytree(folder / "setfit", self.setfit)
            self._tuned = self._tuned_encoder()
        return self


def _phrases(taxonomy: Taxonomy, category: str) -> tuple[str, ...]:
    said: Phrases = sentences(taxonomy, category)
    return said.whole + said.parts


def _owners(phrases: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(phrases)), [len(each) for each in phrases])
