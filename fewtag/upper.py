"""The rungs that learn from labels, each set upon those below it, and the gate between categories with labels and those without.

The trap: whatever weighs a rung must not have seen the labels that it is weighed by; each rung here is judged by labels held out from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import Array, Mask, sureness
from fewtag.calibration import Calibration
from fewtag.climb import Held, Step, climb, stages
from fewtag.core import Product, Stage
from fewtag.course import Course, Plan
from fewtag.errors import ModelError
from fewtag.gate import SILENT, Gate, hidden_classes, join, moved
from fewtag.models.calibrate import log_softmax
from fewtag.models.encoder import Encoder
from fewtag.models.few_shot.head import HeldOut
from fewtag.models.few_shot.rung import FewShot, Tuned
from fewtag.models.fine_tune.rung import FineTune
from fewtag.models.fine_tune.settings import TrainSettings
from fewtag.models.source import locate
from fewtag.parts import Parts
from fewtag.taxonomy import Taxonomy
from fewtag.training import Heard, Training, Unseen
from fewtag.workspace import Workspace

MANY: Final = 1000
MANY_EACH: Final = 16
"""So many labels, and so many a category that has any, are worth a fine-tune, unless it is asked for or refused."""
TUNED_SURENESS: Final = 0.65
"""What is believed of a tuned blend before labels that were kept back say better."""

ZeroShot = Callable[[Sequence[Product]], Array]
"""What is said without labels: log-probabilities, (n, n_classes)."""


class Upper:
    """The few-shot rung and, where labels are many, the fine-tune rung above it. Untrained, it leaves all to the zero-shot rung."""

    def __init__(self, taxonomy: Taxonomy, parts: Parts, encoder: Encoder | None, workspace: Workspace, seed: int) -> None:
        self.taxonomy, self.parts = taxonomy, parts
        self._encoder, self._workspace, self._seed = encoder, workspace, seed
        self.steps: tuple[Step, ...] = ()
        self.gate, self.sureness, self.calibration = Gate(), 1.0, Calibration()
        self._unseen: Unseen | None = None
        self._few_shot = self._fresh_few_shot(tune=False)
        self._fine_tune: FineTune | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The rung that each class stands on, in the order of the taxonomy's classes."""
        return stages(self.steps, len(self.taxonomy.classes))

    @property
    def tuned(self) -> Tuned | None:
        """The encoder that the few-shot rung has tuned, if it has."""
        return self._few_shot.tuned

    @property
    def warm(self) -> Mask:
        """Which classes have labels, (n_classes,)."""
        return self._few_shot.warm

    def train(self, course: Course, plan: Plan, zero_shot: ZeroShot, before: Upper) -> Heard:
        """Let one rung after the other learn and climb; return what held-out labels hear. `before` is what an earlier training came to.

        Raises ModelError where the labels are too few for what the plan demands.
        """
        self._few_shot = self._taught(course, plan, before.tuned)
        heard = self._set_few_shot(course, zero_shot, before)
        if self._is_worth_a_fine_tune(course, plan):
            self._fine_tune = self._fine_tuned(course, plan)
            heard = self._set_fine_tune(course, zero_shot, before)
        return heard

    def __call__(self, products: Sequence[Product], zero_shot: Array, shift: Array) -> Array:
        """Return log-probabilities, (n, n_classes), from those of the zero-shot rung.

        `shift` says how frequent each category is, (n_classes,). It moves products among the warm ones; how many products all of these
        have, the gate says.
        """
        if not self.steps:
            return zero_shot
        few_shot, familiar = self._few_shot.heard(products)
        said = [few_shot, *(rung.log_probabilities(products) for _, rung in self._rungs[1:])]
        scores = zero_shot
        for step, each in zip(self.steps, said, strict=True):
            scores = step(scores, each, self._few_shot.warm)
        odds = self.gate(zero_shot, few_shot, familiar, self._few_shot.warm)
        joined = join(odds, scores + shift, zero_shot, self._few_shot.warm)
        return self.calibration(log_softmax(np.float32(self.sureness) * joined))

    def held_out(self, course: Course, zero_shot: ZeroShot) -> tuple[npt.NDArray[np.int64], Array]:
        """Return which of a course's positive labels heads without tuning have not seen, (n,), and the log-probabilities that they come to
        upon the zero-shot rung, (n, n_classes); a training must have been. Nothing is learnt that stays."""
        held, [first, *_] = self._few_shot.held_out(course.products, course.taught), self.steps
        said = zero_shot(course.asked(held.row))
        return held.row, self._joined(first(said, held.log_probabilities, held.known), said, held)

    def unseen(self, shift: Array) -> Unseen:
        """Return what would be said of the training's labels before calibration, had no rung learnt from them, nor an encoder."""
        assert self._unseen, "it has been trained"
        said = moved(self._unseen.scores, shift, self._unseen.known) if len(self._unseen.gold) else self._unseen.scores
        return replace(self._unseen, scores=log_softmax(np.float32(self.sureness) * said))

    def calibrate(self, unseen: Unseen, weights: npt.NDArray[np.floating]) -> None:
        """Learn how sure the likeliest class is to be from such labels, each of which counts as much as its weight, (n,)."""
        self.calibration = Calibration.fit(unseen.scores, unseen.gold, weights)

    def voices(self, product: Product) -> dict[Stage, Array]:
        """Return what each rung says of a product by itself, (n_classes,); a class that it does not speak for has NaN."""
        nothing = np.float32(np.nan)
        return {step.stage: np.where(step.speaks, rung.predict_proba([product])[0], nothing) for step, rung in self._rungs}

    @property
    def weights(self) -> dict[Stage, float]:
        """Return the share that each rung has in what is said where all of them speak, 1 in all."""
        found: dict[Stage, float] = {"zero-shot": 1.0}
        for step in self.steps:
            below, own = (step.blend.below, step.blend.rung) if any(step.speaks) else (1.0, 0.0)
            found = {stage: below * weight for stage, weight in found.items()} | {step.stage: own}
        total = sum(found.values())
        return {stage: weight / total for stage, weight in found.items()}

    def save(self, folder: Path) -> None:
        """Write what the rungs have learnt, each into a folder of its own; the rest is told by the training."""
        for step, rung in self._rungs:
            _folder(folder, step.stage).mkdir()
            rung.save(_folder(folder, step.stage))

    def load(self, folder: Path, training: Training) -> Upper:
        """Read back what `save` wrote, into one made for the same taxonomy and parts."""
        self.steps, self.gate, self.sureness, self.calibration = training.steps, training.gate, training.sureness, training.calibration
        self._few_shot = self._fresh_few_shot(bool(self.steps[0].record["tuned"]))
        self._fine_tune = self._fresh_fine_tune(TrainSettings()) if self.steps[1:] else None
        for step, rung in self._rungs:
            rung.load(_folder(folder, step.stage))
        return self

    @property
    def _rungs(self) -> tuple[tuple[Step, FewShot | FineTune], ...]:
        """The steps that were taken, each with its rung, the lowest first."""
        return tuple(zip(self.steps, filter(None, (self._few_shot, self._fine_tune)), strict=False))

    def _taught(self, course: Course, plan: Plan, before: Tuned | None) -> FewShot:
        tune = self._few_shot.can_be_judged(course.products, course.taught) if plan.tune is None else plan.tune
        everyone = [*course.catalogue, *course.products]  # what was labelled outlives the catalogue's text
        return self._fresh_few_shot(tune).fit(everyone, course.taught, before)

    def _set_few_shot(self, course: Course, zero_shot: ZeroShot, before: Upper) -> Heard:
        """Set the few-shot rung upon the zero-shot rung, behind a gate, by what heads say that have not seen all labels or classes."""
        rung, warm = self._few_shot, self._few_shot.warm
        held = rung.held_out(course.products, course.taught, hide=min(0.5, 1 - float(warm.mean())))
        said = zero_shot(course.asked(held.row)) if len(held.row) else held.log_probabilities
        hidden = hidden_classes(held.known, held.gold) & warm
        self.gate = Gate.fit(said[:, warm], held.among(warm), hidden[:, warm])
        step = climb(rung.stage, shown(said, held, hidden, warm), warm, before._spoken_for(rung.stage), {})
        self.steps = (replace(step, record=self._weigh_tuning(course, step, zero_shot, before)),)
        blended = self._joined(step(said, held.log_probabilities, held.known), said, held)
        self._unseen = self._kept_from_tuning(course, step, zero_shot) if self.tuned else Unseen(blended, held.known, held.gold)
        return Heard(said, blended, held.gold)

    def _set_fine_tune(self, course: Course, zero_shot: ZeroShot, before: Upper) -> Heard:
        """Set the fine-tune rung upon the few-shot rung, by what both say of labels that neither has seen."""
        rung, warm, [first] = self._fine_tune, self._few_shot.warm, self.steps
        assert rung
        assert rung.record, "a rung that was fitted has a record"
        held = self._kept_back(rung, course)
        asked = course.asked(held.row)
        said = zero_shot(asked)
        below, above = first(said, held.log_probabilities, held.known), rung.log_probabilities(asked)
        everything = np.ones((len(held.gold), int(warm.sum())), dtype=np.bool_)
        among = Held(below[:, warm], above[:, warm], everything, held.among(warm).gold)
        second = climb(rung.stage, among, warm, before._spoken_for(rung.stage), asdict(rung.record))
        self.steps = (first, second)
        blended = self._joined(second(below, above, warm), said, held)
        self._unseen = Unseen(blended, held.known, held.gold)
        return Heard(said, blended, held.gold)

    def _spoken_for(self, stage: Stage) -> Mask | None:
        """Return the classes that a rung speaks for, (n_classes,); None where there is no such rung."""
        return next((np.array(step.speaks) for step in self.steps if step.stage == stage), None)

    def _weigh_tuning(self, course: Course, first: Step, zero_shot: ZeroShot, before: Upper) -> dict[str, Any]:
        """Leave the encoder as it was where the labels that were kept back from its tuning say so, and return what came of that.

        The blend was fitted on heads without tuning, and a tuned one sounds surer: how sure to be, the same labels tell.
        """
        rung = self._few_shot
        found: dict[str, Any] = {"tuned": rung.tuned and asdict(rung.tuned.record), "tuned_before": "", "kept_back": 0}
        if not rung.tuned:
            return found
        self.sureness = TUNED_SURENESS
        if before.tuned and rung.starts_from(before.tuned):
            found["tuned_before"] = before.tuned.source.revision
        tuned, plain = (rung.kept_back(course.products, course.taught, each) for each in (True, False))
        if not len(tuned.row):
            return found
        said = zero_shot(course.asked(tuned.row))
        (sure, loss), (_, plain_loss) = (
            sureness(self._joined(first(said, held.log_probabilities, held.known), said, held), held.gold, believed)
            for held, believed in ((tuned, TUNED_SURENESS), (plain, 1.0))
        )
        self.sureness = sure
        if plain_loss <= loss:
            self._few_shot, self.sureness = self._fresh_few_shot(tune=False), 1.0
            self._few_shot.fit([*course.catalogue, *course.products], course.taught)
            found |= {"tuned": None, "tuned_before": ""}
        return found | {"kept_back": len(tuned.row), "log_loss_as_it_was": plain_loss, "log_loss_tuned": loss}

    def _kept_from_tuning(self, course: Course, first: Step, zero_shot: ZeroShot) -> Unseen:
        """Return what the tuned rung says of the labels that were kept back from it; where it was tuned on all, there are none."""
        held = self._few_shot.kept_back(course.products, course.taught, tuned=True)
        if not len(held.row):
            return Unseen(held.log_probabilities, held.known, held.gold)
        said = zero_shot(course.asked(held.row))
        return Unseen(self._joined(first(said, held.log_probabilities, held.known), said, held), held.known, held.gold)

    def _joined(self, blended: Array, said: Array, held: HeldOut) -> Array:
        return join(self.gate(said, held.log_probabilities, held.familiar, held.known), blended, said, held.known)

    def _is_worth_a_fine_tune(self, course: Course, plan: Plan) -> bool:
        if plan.fine_tune and not self.parts.classifier:
            problem = f"no classifier of this preset speaks '{self.taxonomy.language}'"
            raise ModelError(problem, mend="name one with `models: {classifier: ...}` in the taxonomy's file")
        warm = int(self._few_shot.warm.sum())
        many = len(course.positive) >= max(MANY, MANY_EACH * warm)
        return bool(self.parts.classifier) and (many if plan.fine_tune is None else plan.fine_tune) and warm > 1

    def _fine_tuned(self, course: Course, plan: Plan) -> FineTune:
        from fewtag.models.fine_tune.search import search

        rung = self._fresh_fine_tune(plan.settings)
        if not rung.held_out(course.products, course.labels):
            share = f"{rung.settings.held_out:.0%} of each category"
            problem = f"{share} are fewer than 10 labels to hold out, so that nothing could say whether a fine-tune helps"
            raise ModelError(problem, mend="label more products of each category, or hold more out (`--set held_out=0.3`)")
        if plan.trials:
            rung.settings = search(rung, course.products, course.labels, plan.trials)
        return rung.fit(course.products, course.labels)

    def _kept_back(self, rung: FineTune, course: Course) -> HeldOut:
        """Return what few-shot heads that saw neither say of the labels that a fine-tune has not seen."""
        texts = rung.held_out(course.products, course.labels)
        held = self._few_shot.held_out(course.products, course.taught)
        return held.of(np.flatnonzero([product.text in texts for product in course.asked(held.row)]))

    def _fresh_few_shot(self, tune: bool) -> FewShot:
        source = self.parts.encoder.source if tune and self.parts.encoder else None
        return FewShot(self.taxonomy, self._encoder, source=source, folder=_folder(self._workspace.root, FewShot.stage), seed=self._seed)

    def _fresh_fine_tune(self, settings: TrainSettings) -> FineTune:
        assert self.parts.classifier, "a rung is only made where its body has a name"
        source, folder = locate(self.parts.classifier), _folder(self._workspace.root, FineTune.stage)
        return FineTune(self.taxonomy, source, settings=settings, seed=self._seed, folder=folder)


def shown(zero_shot: Array, held: HeldOut, hidden: Mask, warm: Mask) -> Held:
    """Return what was said of the labels whose class was not hidden from the head, (n_shown, n_warm), of the classes that were not.

    `zero_shot` and `hidden` are (n, n_classes). A class without labels is never the truth here: it stays out, so that it is not learnt to
    be unlikely.
    """
    rows = ~hidden[np.arange(len(held.gold)), held.gold]
    hidden, among = hidden[rows][:, warm], held.among(warm)
    below, above = (np.where(hidden, SILENT, each) for each in (zero_shot[rows][:, warm], among.log_probabilities[rows]))
    return Held(below, above, among.known[rows] | hidden, among.gold[rows])


def _folder(root: Path, stage: Stage) -> Path:
    """Return where a rung keeps what is its own."""
    return root / stage.replace("-", "_")
