"""Which rung speaks for which category: zero-shot for all, and above it few-shot and fine-tune where their word gains on held-out labels.

The trap: labels are given category by category, and say nothing of how frequent each is; the catalogue does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import Array, Mask
from fewtag.catalogue import sampled, unique_texts
from fewtag.climb import Held, Step, climb, right, stages
from fewtag.core import Label, Product, Stage, Tag
from fewtag.errors import ModelError
from fewtag.models import Probabilities
from fewtag.models.calibrate import TINY, log_softmax, proportions
from fewtag.models.encoder import CachedEncoder, Encoder
from fewtag.models.few_shot.rung import FewShot
from fewtag.models.fine_tune.rung import FineTune
from fewtag.models.fine_tune.settings import TrainSettings
from fewtag.models.neighbours.rung import Neighbours
from fewtag.models.source import locate
from fewtag.models.zero_shot.rung import Evidence, ZeroShot
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.parts import Parts
from fewtag.store import ModelIdentity
from fewtag.tagger_folder import TRAINING
from fewtag.taxonomy import Taxonomy
from fewtag.training import Heard, Judged, Training
from fewtag.verdicts import Verdicts
from fewtag.workspace import Workspace

COUNTED: Final = 4096
"""How many products tell how frequent each category is."""
ENOUGH_TO_COUNT: Final = 200
COUNT_BELIEF: Final = 0.7
CELLS: Final = 2**28
"""Products times categories that one matrix may hold, 1 GB of float32."""
MANY: Final = 1000
MANY_EACH: Final = 8
"""So many labels, and so many a category that has any, are worth a fine-tune, unless it is asked for or refused."""
FOLDERS: Final[dict[Stage, str]] = {"few-shot": "few_shot", "fine-tune": "fine_tune"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to learn from labels, and how.

    With `tune` the encoder learns too. `fine_tune` is whether a classifier does; None: where labels are many. `settings` are for that, or
    what a search of so many `trials` starts from. Labels of a `weight` below 1 teach the classifier alone.
    """

    tune: bool = True
    fine_tune: bool | None = None
    settings: TrainSettings = TrainSettings()  # noqa: RUF009  it is frozen
    trials: int = 0

    @classmethod
    def of(cls, tune: bool, fine_tune: bool | TrainSettings | None, trials: int = 0) -> Plan:
        """Make a plan of fewer words; settings, or trials, are a demand, and where nothing is tuned, nothing is fine-tuned unasked.

        >>> Plan.of(False, None).fine_tune, Plan.of(True, None, trials=20).fine_tune
        (False, True)
        """
        settings = fine_tune if isinstance(fine_tune, TrainSettings) else TrainSettings()
        if fine_tune is None:
            fine_tune = True if trials else None if tune else False
        return cls(tune, bool(fine_tune) if fine_tune is not None else None, settings, trials)


Climbed = tuple[Step, FewShot | FineTune]


class Ladder:
    """The rungs of one taxonomy, each column of whose matrices is one of its assignable categories, in order."""

    def __init__(self, taxonomy: Taxonomy, parts: Parts, workspace: Workspace, seed: int = 0) -> None:
        """Take the rungs' parts; the workspace keeps vectors, what a language model has said, and checkpoints."""
        self.parts, self.taxonomy = parts, taxonomy
        self._workspace, self._seed = workspace, seed
        self._encoder = CachedEncoder(parts.encoder, workspace.vectors) if parts.encoder else None
        lm = ShortlistScorer(parts.lm, parts.prompt, taxonomy, workspace.vectors) if parts.lm and parts.prompt else None
        self._zero_shot = ZeroShot(taxonomy, self._encoder, lm=lm, seed=seed)
        self._above: tuple[Climbed, ...] = ()
        self._shift: Array = np.zeros(len(taxonomy.classes), dtype=np.float32)
        self._verdicts = Verdicts()
        self.training: Training | None = None
        """What the last training came to; None where there was none."""
        self.learnt: list[tuple[Label, str]] = []
        """The labels of the last training, each with its product's text, so that a saved tagger can add to them."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The rung that each class stands on, in the order of the taxonomy's classes."""
        return stages([step for step, _ in self._above], len(self.taxonomy.classes))

    @property
    def identity(self) -> ModelIdentity:
        """Name the models as the ledger keeps them."""
        record = next((step.record for step in self.training.steps if step.stage == "fine-tune"), None) if self.training else None
        found = self.parts.identity
        return replace(found, name=f"{found.name} + {self.parts.classifier}, fine-tuned") if record else found

    def fit(self, products: Sequence[Product]) -> Ladder:
        """Let the zero-shot rung learn from products without labels."""
        self._prepare(products)
        self._zero_shot.fit(products)
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
        course = _Course(products, labels, catalogue)
        above: tuple[Climbed, ...] = ()
        training, shift = None, np.zeros_like(self._shift)
        if course.positive:
            above, heard = self._climb(course, plan)
            shift = self._frequencies(catalogue, above)
            sample = sampled(catalogue, COUNTED) or products
            share = np.exp(log_softmax(self._blended(sample, above) + shift)).mean(axis=0)
            training = self._told(course, above, heard, share, round(time.monotonic() - start, 1))
        self._above, self._shift, self.training = above, shift, training
        self._verdicts = Verdicts.of(products, course.taught, self.taxonomy)
        self.learnt = [(label, course.labelled[label.product_id].text) for label in course.taught]
        return training

    def forget(self) -> None:
        """Unlearn what labels have taught; the zero-shot rung stays."""
        self._above, self.training, self._verdicts, self.learnt = (), None, Verdicts(), []
        self._shift = np.zeros_like(self._shift)

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
        """Return float32 (n, n_classes): rows sum to 1, columns follow the taxonomy's classes."""
        self._prepare(products)
        if not self.learnt:
            return self._zero_shot.predict_proba(products)
        return np.exp(log_softmax(self._verdicts(products, log_softmax(self._blended(products, self._above) + self._shift))))

    def explain(self, product: Product) -> Evidence:
        """Return what is said of every class of one product, and why."""
        evidence = self._zero_shot.explain(product)
        return replace(evidence, probability=self.predict_proba([product])[0])

    def voices(self, product: Product) -> dict[Stage, Probabilities]:
        """Return what each rung says of a product by itself, (n_classes,); a class that it does not speak for has NaN."""
        said: dict[Stage, Probabilities] = {"zero-shot": self._zero_shot.predict_proba([product])[0]}
        for step, rung in self._above:
            said[step.stage] = np.where(step.speaks, rung.predict_proba([product])[0], np.float32(np.nan))
        return said

    def _climb(self, course: _Course, plan: Plan) -> tuple[tuple[Climbed, ...], Heard]:
        """Let one rung after the other learn, and set each upon those below it."""
        spoke = {step.stage: np.array(step.speaks) for step, _ in self._above}
        few_shot = self._fresh_few_shot(plan.tune)
        before = next((rung.tuned for _, rung in self._above if isinstance(rung, FewShot)), None)
        few_shot.fit([*course.catalogue, *course.products], course.taught, before)  # what was labelled outlives the catalogue's text
        cold = 1 - float(few_shot.warm.mean())
        held = few_shot.held_out(course.products, course.taught, hide=min(0.5, cold))
        zero_shot = self._log_zero_shot(course.asked(held.row)) if len(held.row) else held.log_probabilities
        heard = Held(zero_shot, held.log_probabilities, held.known, held.gold)
        started = before.source.revision if before and few_shot.starts_from(before) else ""
        record = {"tuned": few_shot.tuned and asdict(few_shot.tuned.record), "tuned_before": started}
        first = climb("few-shot", heard, few_shot.warm, spoke.get("few-shot"), record)
        if not self._is_worth_a_fine_tune(course, plan, few_shot.warm):
            return ((first, few_shot),), Heard(zero_shot, first(heard.below, heard.above, heard.known), heard.gold)
        fine_tune, record = self._fine_tuned(course, plan)
        kept_back = fine_tune.held_out(course.products, course.labels)
        held = few_shot.held_out(course.products, course.taught)
        rows = [row for row, product in enumerate(course.asked(held.row)) if product.text in kept_back]
        asked, gold = course.asked(held.row[rows]), held.gold[rows]
        zero_shot = self._log_zero_shot(asked)
        below = first(zero_shot, held.log_probabilities[rows], held.known[rows])
        known = np.broadcast_to(fine_tune.warm, below.shape)
        heard = Held(below, fine_tune.log_probabilities(asked), known, gold)
        second = climb("fine-tune", heard, fine_tune.warm, spoke.get("fine-tune"), record)
        return ((first, few_shot), (second, fine_tune)), Heard(zero_shot, second(heard.below, heard.above, known), gold)

    def _is_worth_a_fine_tune(self, course: _Course, plan: Plan, warm: Mask) -> bool:
        many = len(course.positive) >= max(MANY, MANY_EACH * int(warm.sum()))
        if plan.fine_tune and not self.parts.classifier:
            problem = f"no classifier of this preset speaks '{self.taxonomy.language}'"
            raise ModelError(problem, mend="name one with `models: {classifier: ...}` in the taxonomy's file")
        return bool(self.parts.classifier) and (many if plan.fine_tune is None else plan.fine_tune) and int(warm.sum()) > 1

    def _fine_tuned(self, course: _Course, plan: Plan) -> tuple[FineTune, dict[str, Any]]:
        from fewtag.models.fine_tune.search import search

        rung = self._fresh_fine_tune(plan.settings)
        if not rung.held_out(course.products, course.labels):
            problem = "the labels are too few to hold some out, so that nothing could say whether a fine-tune helps"
            raise ModelError(problem, mend="label more products, or `fewtag train --rung few-shot`")
        if plan.trials:
            rung.settings = search(rung, course.products, course.labels, plan.trials)
        rung.fit(course.products, course.labels)
        assert rung.record
        return rung, asdict(rung.record)

    def _frequencies(self, catalogue: Sequence[Product], above: Sequence[Climbed]) -> Array:
        """Return what to add to log-probabilities, (n_classes,), for the categories to be as frequent as the catalogue says."""
        if len(catalogue) < ENOUGH_TO_COUNT:
            return np.zeros(len(self.taxonomy.classes), dtype=np.float32)
        return proportions(self._blended(sampled(catalogue, COUNTED), above), COUNT_BELIEF)

    def _told(self, course: _Course, above: Sequence[Climbed], heard: Heard, share: Array, seconds: float) -> Training:
        index = self.taxonomy.index
        labels = np.bincount([index[label.category] for label in course.positive], minlength=len(index))
        training = Training(
            len(course.positive),
            int((labels > 0).sum()),
            tuple(step for step, _ in above),
            len(heard.gold),
            right(heard.zero_shot, heard.gold),
            right(heard.blended, heard.gold),
            (),
            seconds,
        )
        branches = Judged(heard, labels, share).branches(self.taxonomy, stages(training.steps, len(index)), self._seed)
        return replace(training, branches=branches)

    def _blended(self, products: Sequence[Product], above: Sequence[Climbed]) -> Array:
        scores = self._log_zero_shot(products)
        for step, rung in above:
            scores = step(scores, rung.log_probabilities(products))
        return scores

    def _log_zero_shot(self, products: Sequence[Product]) -> Array:
        return np.asarray(np.log(self._zero_shot.predict_proba(products) + np.float32(TINY)), dtype=np.float32)

    def _fresh_few_shot(self, tune: bool) -> FewShot:
        source = self.parts.encoder.source if tune and self.parts.encoder else None
        return FewShot(self.taxonomy, self._encoder, source=source, folder=self._workspace.root / "few_shot", seed=self._seed)

    def _fresh_fine_tune(self, settings: TrainSettings) -> FineTune:
        assert self.parts.classifier, "a rung is only made where its body has a name"
        return FineTune(
            self.taxonomy, locate(self.parts.classifier), settings=settings, seed=self._seed, folder=self._workspace.root / "fine_tune"
        )

    def _prepare(self, products: Sequence[Product]) -> None:
        """Embed the texts that are new, all at once rather than rung by rung."""
        if self._encoder:
            self._encoder.prepare(unique_texts(products)[0], "embedding products")

    def save(self, folder: Path) -> None:
        """Write what the rungs have learnt, each into a folder of its own."""
        (folder / "zero_shot").mkdir()
        self._zero_shot.save(folder / "zero_shot")
        for step, rung in self._above:
            (folder / FOLDERS[step.stage]).mkdir()
            rung.save(folder / FOLDERS[step.stage])
        if self.learnt:
            training = asdict(self.training) if self.training else None
            about = {"training": training, "shift": self._shift.tolist(), "verdicts": asdict(self._verdicts)}
            about["learnt"] = [[asdict(label), text] for label, text in self.learnt]
            (folder / TRAINING).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> Ladder:
        """Read back what `save` wrote, into a ladder of the same taxonomy and parts."""
        self._zero_shot.load(folder / "zero_shot")
        return self.load_training(folder)

    def load_training(self, folder: Path) -> Ladder:
        """Read back the rungs that have learnt from labels alone; the zero-shot rung stays as it is."""
        if (folder / TRAINING).is_file():
            about = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
            self.training = Training.of_json(about["training"]) if about["training"] else None
            steps = self.training.steps if self.training else ()
            self._above = tuple((step, self._loaded(step, folder / FOLDERS[step.stage])) for step in steps)
            self._shift = np.array(about["shift"], dtype=np.float32)
            self._verdicts = Verdicts(**about["verdicts"])
            self.learnt = [(Label(**label), text) for label, text in about["learnt"]]
        return self

    def _loaded(self, step: Step, folder: Path) -> FewShot | FineTune:
        if step.stage == "few-shot":
            return self._fresh_few_shot(bool(step.record["tuned"])).load(folder)
        return self._fresh_fine_tune(TrainSettings()).load(folder)


@dataclass(frozen=True, slots=True)
class _Course:
    """What is learnt from: labels and their products, and a catalogue without labels."""

    products: Sequence[Product]
    labels: Sequence[Label]
    catalogue: Sequence[Product]

    @property
    def taught(self) -> list[Label]:
        """What people have said; tags that are learnt from, which weigh less, are not that."""
        return [label for label in self.labels if label.weight >= 1]

    @property
    def positive(self) -> list[Label]:
        return [label for label in self.taught if not label.negative]

    @property
    def labelled(self) -> dict[str, Product]:
        return {product.id: product for product in self.products}

    def asked(self, rows: npt.NDArray[np.int64]) -> list[Product]:
        """Return the products of some of the positive labels."""
        positive, labelled = self.positive, self.labelled
        return [labelled[positive[row].product_id] for row in rows]
