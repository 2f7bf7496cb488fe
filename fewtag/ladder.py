"""Which rung speaks for which category: zero-shot for all, and above it few-shot and fine-tune where their word gains on held-out labels.

The trap: labels are given category by category, and say nothing of how frequent each is; the catalogue does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from fewtag.blend import Array
from fewtag.catalogue import sampled, unique_texts
from fewtag.climb import right
from fewtag.core import Label, Product, Stage, Tag
from fewtag.course import Course, Plan
from fewtag.decide import decide
from fewtag.errors import ModelError
from fewtag.label_errors import TOP, Opinions, SecondOpinion
from fewtag.models import Probabilities
from fewtag.models.calibrate import TINY, log_softmax, proportions
from fewtag.models.encoder import CachedEncoder, Encoder
from fewtag.models.neighbours.rung import Neighbours
from fewtag.models.zero_shot.rung import Evidence, ZeroShot
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.parts import Parts
from fewtag.promise import Holding, Promise
from fewtag.proof import Proof, frequencies
from fewtag.status import Consulted
from fewtag.store import ModelIdentity
from fewtag.tagger_folder import SPOKEN, TRAINING
from fewtag.taxonomy import Taxonomy
from fewtag.training import Heard, Judged, Training
from fewtag.upper import Upper
from fewtag.verdicts import Verdicts
from fewtag.workspace import Workspace

COUNTED: Final = 4096
"""How many products tell how frequent each category is."""
ENOUGH_TO_COUNT: Final = 200
COUNT_BELIEF: Final = 0.7
CELLS: Final = 2**28
"""Products times categories that one matrix may hold, 1 GB of float32."""
CELLS_PER_BATCH: Final = 2**24
"""Entries of one batch's matrix, 64 MB of float32; a wide taxonomy gets smaller batches."""
HEAD_CELLS: Final = 2**20
"""Labels times their categories up to which a few heads are fitted for a second opinion: a quarter of a minute at most on one core."""


class Ladder:
    """The rungs of one taxonomy, each column of whose matrices is one of its assignable categories, in order."""

    def __init__(self, taxonomy: Taxonomy, parts: Parts, workspace: Workspace, seed: int = 0) -> None:
        """Take the rungs' parts; the workspace keeps vectors, what a language model has said, and checkpoints."""
        self.parts, self.taxonomy = parts, taxonomy
        self._workspace, self._seed = workspace, seed
        self._encoder = CachedEncoder(parts.encoder, workspace.vectors) if parts.encoder else None
        self._lm = ShortlistScorer(parts.lm, parts.prompt, taxonomy, workspace.vectors) if parts.lm and parts.prompt else None
        self.speak(taxonomy)
        self._upper = self._fresh_upper()
        self._shift: Array = np.zeros(len(taxonomy.classes), dtype=np.float32)
        self.verdicts = Verdicts()
        """What people have said of single products, as of the last training."""
        self.training: Training | None = None
        """What the last training came to; None where there was none."""
        self._proof = Proof.nothing()
        self.learnt: list[tuple[Label, str]] = []
        """The labels of the last training, each with its product's text, so that a saved tagger can add to them."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The rung that each class stands on, in the order of the taxonomy's classes."""
        return self._upper.stages

    @property
    def identity(self) -> ModelIdentity:
        """Name the models as the ledger keeps them."""
        found = self.parts.identity
        classified = "fine-tune" in self.stages
        return replace(found, name=f"{found.name} + {self.parts.classifier}, fine-tuned") if classified else found

    @property
    def consulted(self) -> Consulted | None:
        """How the language model is heeded; None where there is none."""
        return self._zero_shot.consulted

    def speak(self, spoken: Taxonomy) -> None:
        """Give the zero-shot rung more words of the same categories; what it has learnt with others goes."""
        self.spoken = spoken
        self._zero_shot = ZeroShot(spoken, self._encoder, lm=self._lm, seed=self._seed)

    def fit(self, products: Sequence[Product]) -> Ladder:
        """Let the zero-shot rung learn from products; of labels that were learnt before it takes the weight of the language model."""
        self._prepare(products)
        self._zero_shot.fit(products, [label for label, _ in self.learnt])
        return self

    def train(
        self, products: Sequence[Product], labels: Sequence[Label], catalogue: Sequence[Product], plan: Plan | None = None
    ) -> Training | None:
        """Let the rungs learn from labelled products, and say how far that helped; `catalogue` tells how frequent each category is.

        Denials alone teach no rung: they are heeded for the very products, and None is returned.
        Raises ModelError where there is nothing to learn from, or too little for what the plan demands.
        """
        if not labels:
            mend = "say what some products are: `fewtag label import FILE`, or labels other than None"
            raise ModelError("there are no labels to learn from", mend=mend)
        start, plan = time.monotonic(), plan or Plan()
        course, upper = Course(products, labels, catalogue), self._fresh_upper()
        training, shift, proof = None, np.zeros_like(self._shift), Proof.nothing()
        if course.positive:
            self._zero_shot.heed(catalogue, course.positive)
            heard = upper.train(course, plan, self._log_zero_shot, self._upper)
            sample = sampled(catalogue, COUNTED) or products
            zero_shot = self._log_zero_shot(sample)
            if len(catalogue) >= ENOUGH_TO_COUNT:
                shift = proportions(upper(sample, zero_shot, shift), COUNT_BELIEF)
            share = np.exp(upper(sample, zero_shot, shift)).mean(axis=0)
            unseen = upper.unseen(shift)
            upper.calibrate(unseen, (frequencies(unseen, share, upper.warm) + 1) / 2)  # half believed, as the shares are guesses
            proof = Proof.of(replace(unseen, scores=upper.calibration(unseen.scores)), share, upper.warm, self.taxonomy)
            training = self._told(course, upper, heard, share, round(time.monotonic() - start, 1))
        self._upper, self._shift, self.training, self._proof = upper, shift, training, proof
        self.verdicts = Verdicts.of(products, course.taught, self.taxonomy)
        texts = {product.id: product.text for product in products}
        self.learnt = [(label, texts[label.product_id]) for label in course.taught]
        return training

    def forget(self, catalogue: Sequence[Product]) -> None:
        """Unlearn what labels have taught; of the zero-shot rung that is the weight of the language model."""
        self._zero_shot.heed(catalogue, ())
        self._upper, self.training, self.verdicts, self.learnt = self._fresh_upper(), None, Verdicts(), []
        self._shift, self._proof = np.zeros_like(self._shift), Proof.nothing()

    def promise(self, precision: float) -> Promise:
        """Return whether labels that no rung has seen prove a precision, and from which level of probability on."""
        return self._proof.promise(precision)

    def holding(self, share: float) -> Holding:
        """Return how much probability sets of classes are to hold so that the right one is among a share of them."""
        return self._proof.holding(share)

    def propagate(self, catalogue: Sequence[Product], products: Sequence[Product], labels: Sequence[Label], precision: float) -> list[Tag]:
        """Return tags for the unlabelled products of a catalogue that labels of near ones speak for.

        The zero-shot rung must not contradict, up to a size at which what it says of all products still fits in memory.
        Raises ModelError where there are no labels.
        """
        if not any(not label.negative for label in labels):
            raise ModelError("there are no labels to spread", mend="`fewtag label import FILE` brings some")
        there = {product.id for product in catalogue}
        everyone = [*catalogue, *(product for product in products if product.id not in there)]
        encoder: Encoder = self._encoder or self._zero_shot.ngrams
        rung = Neighbours(self.taxonomy, encoder, seed=self._seed).fit(everyone, labels)
        # The zero-shot rung alone: one that has seen the labels agrees with each of them, and would hold nothing back.
        fits = len(everyone) * len(self.taxonomy.classes) <= CELLS
        spreads = rung.spread(self._zero_shot.predict_proba(everyone) if fits else None, precision=precision)
        return [
            Tag(
                each.product_id,
                each.category,
                each.confidence,
                "neighbours",
                ((each.category, each.confidence),),
                each.confidence,
                each.sources,
            )
            for each in spreads
        ]

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow the taxonomy's classes; labels of the very products outweigh all."""
        return self.verdicts(products, self.by_rungs(products))

    def by_rungs(self, products: Sequence[Product]) -> Probabilities:
        """Return what `predict_proba` does of products that people have said nothing of."""
        self._prepare(products)
        if not self.learnt:
            return self._zero_shot.predict_proba(products)
        return np.exp(log_softmax(self._upper(products, self._log_zero_shot(products), self._shift)))

    def decide(self, products: Sequence[Product], probabilities: Probabilities, level: float) -> list[Tag]:
        """Return one tag per product from probabilities of its classes, (n, n_classes); its stage is a rung, or a person's label."""
        tags = decide([product.id for product in products], probabilities, self.taxonomy, level, self.stages)
        return [replace(tag, stage="label") if self.verdicts.settle(product) else tag for product, tag in zip(products, tags, strict=True)]

    def second_opinion(self, products: Sequence[Product], labels: Sequence[Label], top: int = TOP) -> SecondOpinion:
        """Return what is said of labelled products by what has not seen their labels, of the `top` likeliest classes of each.

        Products without a positive label are left out.

        Where labels were learnt from and are few enough for that to take seconds, few-shot heads upon the zero-shot rung say it, each of
        labels held out from it; where not, or where labels are too few to hold any out, the zero-shot rung alone.
        """
        course, index = Course(products, labels, ()), self.taxonomy.index
        given = np.array([index[label.category] for label in course.positive], dtype=np.int64)
        rows, parts = given[:0], []
        if self._upper.steps and len(given) * len(np.unique(given)) <= HEAD_CELLS:
            rows, scores = self._upper.held_out(course, self._log_zero_shot)
            parts = [Opinions.of(np.exp(scores), given[rows], top)]
        if not (by_heads := len(rows) > 0):
            rows, size = np.arange(len(given)), max(1, CELLS_PER_BATCH // len(index))
            batches = (rows[start : start + size] for start in range(0, len(rows), size))
            parts = [Opinions.of(self._zero_shot.predict_proba(course.asked(some)), given[some], top) for some in batches]
        told = [(course.positive[row], course.labelled[course.positive[row].product_id].text) for row in rows.tolist()]
        return SecondOpinion("few-shot" if by_heads else "zero-shot", told, Opinions.joined(parts) if told else None)

    def explain(self, product: Product) -> Evidence:
        """Return what the rungs say of every class of one product, and why."""
        evidence = self._zero_shot.explain(product)
        return replace(evidence, probability=self.by_rungs([product])[0])

    def voices(self, product: Product) -> dict[Stage, Probabilities]:
        """Return what each rung says of a product by itself, (n_classes,); a class that it does not speak for has NaN."""
        return {"zero-shot": self._zero_shot.predict_proba([product])[0], **self._upper.voices(product)}

    @property
    def weights(self) -> dict[Stage, float]:
        """Return the share that each rung has in what is said where all of them speak; the gate and calibration come on top."""
        return self._upper.weights

    def nearest_labels(self, product: Product, count: int) -> list[tuple[Label, str, float]]:
        """Return the labels of other products whose texts are nearest to a product's, each with its text and the cosine, nearest first."""
        known = [(label, text) for label, text in self.learnt if not label.negative and label.product_id != product.id]
        if not known:
            return []
        encoder: Encoder = self._encoder or self._zero_shot.ngrams
        cosines = encoder.encode([text for _, text in known]) @ encoder.encode([product.text])[0]
        return [(*known[row], float(cosines[row])) for row in np.argsort(-cosines, kind="stable")[:count].tolist()]

    def _told(self, course: Course, upper: Upper, heard: Heard, share: Array, seconds: float) -> Training:
        index = self.taxonomy.index
        labels = np.bincount([index[label.category] for label in course.positive], minlength=len(index))
        return Training(
            len(course.positive),
            int((labels > 0).sum()),
            upper.steps,
            upper.gate,
            upper.sureness,
            upper.calibration,
            len(heard.gold),
            right(heard.zero_shot, heard.gold),
            right(heard.blended, heard.gold),
            Judged(heard, labels, share).branches(self.taxonomy, upper.stages),
            seconds,
        )

    def _log_zero_shot(self, products: Sequence[Product]) -> Array:
        return np.asarray(np.log(self._zero_shot.predict_proba(products) + np.float32(TINY)), dtype=np.float32)

    def _prepare(self, products: Sequence[Product]) -> None:
        """Embed the texts that are new, all at once rather than rung by rung."""
        if self._encoder:
            self._encoder.prepare(unique_texts(products)[0], "embedding products")

    def save(self, folder: Path) -> None:
        """Write what the rungs have learnt, each into a folder of its own."""
        (folder / "zero_shot").mkdir()
        if self.spoken is not self.taxonomy:
            (folder / SPOKEN).write_text(self.spoken.to_json(), encoding="utf-8")
        self._zero_shot.save(folder / "zero_shot")
        self._upper.save(folder)
        if self.learnt:
            training = asdict(self.training) if self.training else None
            about = {"training": training, "shift": self._shift.tolist(), "verdicts": asdict(self.verdicts)}
            about["learnt"] = [[asdict(label), text] for label, text in self.learnt]
            self._proof.save(folder)
            (folder / TRAINING).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> Ladder:
        """Read back what `save` wrote, into a ladder of the same taxonomy and parts."""
        spoken = folder / SPOKEN
        self.speak(Taxonomy.from_json(spoken.read_text(encoding="utf-8")) if spoken.is_file() else self.taxonomy)
        self._zero_shot.load(folder / "zero_shot")
        return self.load_training(folder)

    def load_training(self, folder: Path) -> Ladder:
        """Read back the rungs that have learnt from labels alone; the zero-shot rung stays as it is."""
        if (folder / TRAINING).is_file():
            about = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
            self.training = Training.of_json(about["training"]) if about["training"] else None
            if self.training:
                self._upper = self._fresh_upper().load(folder, self.training)
            self._proof = Proof.load(folder)
            self._shift = np.array(about["shift"], dtype=np.float32)
            self.verdicts = Verdicts(**about["verdicts"])
            self.learnt = [(Label(**label), text) for label, text in about["learnt"]]
        return self

    def _fresh_upper(self) -> Upper:
        return Upper(self.taxonomy, self.parts, self._encoder, self._workspace, self._seed)
