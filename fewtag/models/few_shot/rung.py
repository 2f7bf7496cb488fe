"""The rung for categories with a few labels: a linear head on what encoder and n-grams see and, once tuned, a SetFit model of its own.

The trap: a head gives nothing to a category that it has no label of. `warm` says which categories it can speak of; nothing else is a no.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.catalogue import unique_texts
from fewtag.core import Label, Product, Stage
from fewtag.models import Probabilities
from fewtag.models.calibrate import log_softmax
from fewtag.models.encoder import CachedEncoder, Encoder, SentenceEncoder
from fewtag.models.few_shot.contrast import ContrastRecord, ContrastSettings, Lesson, loaded, tune
from fewtag.models.few_shot.familiar import ENOUGH, NOBODY, SAMPLE, Familiar
from fewtag.models.few_shot.head import TEMPERATURE, Head, HeldOut, Mask, sums, unit
from fewtag.models.few_shot.held_back import keep_back
from fewtag.models.ngrams import CharacterNgrams
from fewtag.models.source import Source, file_hash, loading_quietly
from fewtag.models.vectors import text_key
from fewtag.models.verbalise import Phrases, sentences
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint64]

FOLDS: Final = 4
HELD_CELLS: Final = 2**24
"""Held-out labels times categories that one matrix may hold, 64 MB; of more labels only so many are judged."""
DEFAULT: Final = ContrastSettings()
RECORD: Final = "tuning.json"


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned encoder and its source, how it came about, and a key of each text and category that it has learnt or was stopped by.

    `learnt` says which of the keys, (n,) and sorted, were learnt rather than kept back.
    """

    source: Source
    encoder: Encoder
    record: ContrastRecord
    keys: Keys
    learnt: Mask


class FewShot:
    """The few-shot rung. `encoder` is None where none speaks the taxonomy's language; `source`, where it is to be tuned, its weights.

    `folder` keeps checkpoints and the tuned model until `save` copies it.
    """

    stage: Final[Stage] = "few-shot"

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
        self.tuned: Tuned | None = None
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
        """The folder of the tuned model, as `SetFitModel.from_pretrained` reads it; each has one of its own, named by its weights."""
        assert self.tuned
        return Path(self.tuned.source.place)

    def fit(self, products: Sequence[Product], labels: Sequence[Label], before: Tuned | None = None) -> FewShot:
        """Learn from positive labels; products without one say which n-grams the catalogue has, and what else there is beside the warm.

        `before` is what an earlier training has tuned, here in `folder`: where nothing is to be tuned, that encoder stays. A tuning starts
        from it if all that it has learnt is still said, learning old and new together, and from the original otherwise.
        """
        texts, classes, weights = self._lessons(products, labels)
        self._ngrams.fit(unique_texts(products)[0], [text for category in self.classes_ for text in _phrases(self.taxonomy, category)])
        self.tuned, self._prototypes = None, None
        if len(texts) and (self.source or before):
            keys, last = self._keys(texts, classes), before
            if before and self.source and not np.isin(before.keys[before.learnt], keys).all():
                before = None
            kept = before and (not self.source or np.array_equal(before.keys, np.unique(keys)))  # a lesson that is known teaches nothing
            body, self.tuned = (loaded(before.source), before) if before and kept else self._tune(texts, classes, keys, before)
            self._anchor(body, texts, classes, weights)
            self._clear({self.setfit, Path(last.source.place)} if last else {self.setfit})  # whoever has the last may yet come back to it
        if len(texts):
            self._head = Head.fit(self._features(texts), classes, weights, len(self.classes_))
        labelled = set(texts)
        self._meet([text for text in unique_texts(products)[0] if text not in labelled])
        self._familiar = self._familiar_among(self._features(texts, tuned=False), classes, self._strangers[:0])
        return self

    def starts_from(self, before: Tuned) -> bool:
        """Return whether what is tuned here is what was tuned before, or has started from it."""
        return self.tuned is not None and (self.tuned is before or self.tuned.record.started_from == before.source.identity)

    def log_probabilities(self, products: Sequence[Product]) -> Array:
        """Return float32 (n, n_classes), normalised over the warm classes, far below for the others."""
        return self.heard(products)[0]

    def heard(self, products: Sequence[Product]) -> tuple[Array, Array]:
        """Return log-probabilities, float32 (n, n_classes), as above, and how familiar each text looks, (n,): 0 where that is not known."""
        texts, place = unique_texts(products)
        features = self._features(texts)
        return _spoken(self._head, self._prototypes, features)[place], self._familiar(features)[place]

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
        judged = max(1, HELD_CELLS // len(self.classes_))
        if len(classes) > judged:
            fold[rng.permutation(len(classes))[judged:]] = FOLDS  # learnt from by every head, and judged by none
        none = np.empty(0, dtype=np.float32)
        nothing = np.empty(0, dtype=np.int64), np.empty((0, len(self.classes_)), dtype=np.float32), self.warm, none
        parts = [nothing, *self._folds(features, classes, weights, fold, hide, rng)]
        row, scores, familiar = (np.concatenate([part[place] for part in parts]) for place in (0, 1, 3))
        known = np.concatenate([np.broadcast_to(warm, (len(held), len(warm))) for held, _, warm, _ in parts])
        return HeldOut(row, scores, known, classes[row], familiar)

    def can_be_judged(self, products: Sequence[Product], labels: Sequence[Label]) -> bool:
        """Return whether labels are enough to keep some back from a tuning, by which it is seen whether it helps."""
        texts, classes, _ = self._lessons(products, labels)
        return len(keep_back(texts, classes, self.seed)) > 0

    def kept_back(self, products: Sequence[Product], labels: Sequence[Label], tuned: bool) -> HeldOut:
        """Return what the rung, tuned or as it would be without, says of labels that its encoder, a head and prototypes have not learnt.

        There are none where nothing was tuned, or too few labels to keep some back.
        """
        texts, classes, weights = self._lessons(products, labels)
        rows = np.empty(0, dtype=np.int64)
        if self.tuned:
            known = np.isin(self._keys(texts, classes), self.tuned.keys[self.tuned.learnt])
            rows = keep_back(texts, classes, self.seed, {texts[row] for row in np.flatnonzero(known).tolist()})
        nothing = np.empty((0, len(self.classes_)), dtype=np.float32)
        if not len(rows):
            return HeldOut(rows, nothing, nothing.astype(np.bool_), rows, nothing[:, 0])
        seen = np.setdiff1d(np.arange(len(texts)), rows)
        features = self._features(texts, tuned)
        head = Head.fit(features[seen], classes[seen], weights[seen], len(self.classes_))
        prototypes = self._anchors([texts[row] for row in seen.tolist()], classes[seen], weights[seen]) if tuned else None
        scores = _spoken(head, prototypes, features[rows])
        return HeldOut(rows, scores, np.broadcast_to(head.warm, scores.shape), classes[rows], self._familiar(features[rows]))

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
        encoders = [self.tuned.encoder if tuned and self.tuned else None, self.encoder]
        views = [encoder.encode(texts) for encoder in encoders if encoder and len(texts)]
        return np.hstack([*views, self._ngrams.reduce(self._ngrams.grams(texts))]) if len(texts) else np.empty((0, 1), dtype=np.float32)

    def _keys(self, texts: Sequence[str], classes: npt.NDArray[np.int64]) -> Keys:
        said = (f"{self.classes_[each]}\0{text}" for text, each in zip(texts, classes.tolist(), strict=True))
        return np.fromiter(map(text_key, said), dtype=np.uint64, count=len(texts))

    def _tune(self, texts: Sequence[str], classes: npt.NDArray[np.int64], keys: Keys, before: Tuned | None) -> tuple[Any, Tuned]:
        """Tune the encoder, or one that was tuned before, and return its body and what is known of it."""
        assert self.source
        families: dict[str, int] = {}
        family = [families.setdefault((self.taxonomy.parents(each) or ("",))[0], len(families)) for each in self.classes_]
        lesson = Lesson(texts, classes, [_phrases(self.taxonomy, each) for each in self.classes_], np.array(family))
        known = np.isin(keys, before.keys[before.learnt]) if before else np.zeros(len(keys), dtype=np.bool_)
        held = keep_back(texts, classes, self.seed, {texts[row] for row in np.flatnonzero(known).tolist()})
        settings = replace(self.settings, epochs=self.settings.replay_epochs) if before else self.settings
        source = before.source if before else self.source
        body, record = tune(source, lesson, self.folder / "checkpoints", settings, self.seed, held)
        unique = np.unique(keys)
        return body, self._made(body, record, unique, ~np.isin(unique, keys[held]))

    def _made(self, body: Any, record: ContrastRecord, keys: Keys, learnt: Mask) -> Tuned:
        """Name a tuned encoder by its weights; `body` is None where `_part` holds it."""
        assert self.source
        if body is not None:
            shutil.rmtree(self._part, ignore_errors=True)
            with loading_quietly():
                body.save_pretrained(str(self._part))
        weights = hashlib.sha256("".join(file_hash(file) for file in sorted(self._part.rglob("*.safetensors"))).encode()).hexdigest()
        source = Source(f"{self.source.name}, tuned", str(self.folder / f"setfit-{weights[:16]}"), weights)
        return Tuned(source, CachedEncoder(SentenceEncoder(source, model=body), self.folder / "vectors"), record, keys, learnt)

    def _anchor(self, body: Any, texts: Sequence[str], classes: npt.NDArray[np.int64], weights: Array) -> None:
        """Make the classes' prototypes of their labels and their own words, and write them as the head of a SetFit model."""
        from setfit import SetFitModel
        from sklearn.linear_model import LogisticRegression

        self._prototypes = self._anchors(texts, classes, weights)
        warm = np.unique(classes)
        head = LogisticRegression()
        rows = self._prototypes[warm].astype(np.float64) / TEMPERATURE
        head.classes_ = np.arange(len(warm))
        head.coef_ = rows[1:] - rows[:1] if len(warm) == 2 else rows
        head.intercept_ = np.zeros(len(head.coef_))
        head.n_features_in_ = rows.shape[1]
        model = SetFitModel(model_body=body, model_head=head, labels=[self.classes_[each] for each in warm], normalize_embeddings=True)
        shutil.rmtree(self._part, ignore_errors=True)
        with loading_quietly():
            model.save_pretrained(str(self._part))
        self._take_part()

    def _anchors(self, texts: Sequence[str], classes: npt.NDArray[np.int64], weights: Array) -> Array:
        """Return each class's prototype, (n_classes, dimensions): of its own words and of texts, as the tuned encoder sees them."""
        assert self.tuned
        encode, phrases = self.tuned.encoder.encode, [_phrases(self.taxonomy, category) for category in self.classes_]
        words = unit(sums(encode([text for each in phrases for text in each]), _owners(phrases), None, len(phrases)))
        return unit(words + sums(encode(texts), classes, weights, len(phrases)))

    @property
    def _part(self) -> Path:
        return self.folder / f"setfit.part-{os.getpid()}"

    def _take_part(self) -> None:
        shutil.rmtree(self.setfit, ignore_errors=True)
        self._part.replace(self.setfit)

    def _clear(self, kept: Collection[Path]) -> None:
        for folder in self.folder.glob("setfit*"):
            if folder not in kept:
                shutil.rmtree(folder)

    def save(self, folder: Path) -> None:
        """Write what was learnt into a folder: JSON, safetensors, and the tuned model as a SetFit folder."""
        from safetensors.numpy import save

        arrays: dict[str, npt.NDArray[Any]] = dict(self._ngrams.save(folder))
        arrays |= {"head.weights": self._head.weights, "head.bias": self._head.bias, "head.warm": self._head.warm}
        arrays |= {"familiar.weights": self._familiar.weights, "familiar.bias": np.array([self._familiar.bias])}
        if self._prototypes is not None:
            assert self.tuned
            arrays |= {"prototypes": self._prototypes, "tuned.keys": self.tuned.keys, "tuned.learnt": self.tuned.learnt}
            (folder / RECORD).write_text(json.dumps(asdict(self.tuned.record)), encoding="utf-8")
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
            shutil.rmtree(self._part, ignore_errors=True)
            shutil.copytree(folder / "setfit", self._part)
            record = ContrastRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
            self.tuned = self._made(None, record, arrays["tuned.keys"], arrays["tuned.learnt"].astype(np.bool_))
            self._take_part()  # and clear nothing: who only reads holds no lock
        return self


def _spoken(head: Head, prototypes: Array | None, features: Array) -> Array:
    """Return what a head says of features and, where there are prototypes, what these say of the first of them, float32 (n, n_classes)."""
    scores = head.log_probabilities(features)
    if prototypes is not None and head.warm.any():
        cosines = features[:, : prototypes.shape[1]] @ prototypes[head.warm].T
        scores[:, head.warm] = log_softmax(scores[:, head.warm] + log_softmax(cosines / np.float32(TEMPERATURE)))
    return scores


def _phrases(taxonomy: Taxonomy, category: str) -> tuple[str, ...]:
    said: Phrases = sentences(taxonomy, category)
    return said.whole + said.parts


def _owners(phrases: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(phrases)), [len(each) for each in phrases])
