"""The rung for categories with many labels: a standard BERT sequence classifier over those that have any, trained by transformers.

The trap: a class without a label is not less likely for being unlabelled. It gets probability 0 here, which the ladder must read as
"not my say", never as "not there".
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.catalogue import unique_texts
from fewtag.core import Label, Product, Stage
from fewtag.errors import ModelError
from fewtag.models import Probabilities
from fewtag.models.calibrate import NEVER, TINY
from fewtag.models.device import best_device, best_dtype
from fewtag.models.encoder import MAX_TOKENS
from fewtag.models.fine_tune.examples import Examples, examples_of, split
from fewtag.models.fine_tune.settings import TrainRecord, TrainSettings
from fewtag.models.source import WORKS_OFFLINE, Source
from fewtag.progress import bar
from fewtag.taxonomy import Taxonomy

if TYPE_CHECKING:
    from fewtag.models.fine_tune.training import Watch

Mask = npt.NDArray[np.bool_]

RECORD: Final = "training.json"
DONE: Final = "done"
BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Trained:
    """A classifier that answers: the transformers model, its tokenizer, and the classes that its outputs stand for, in order."""

    model: Any
    tokenizer: Any
    classes: tuple[str, ...]


class FineTune:
    """The fine-tune rung. `source` is where the body comes from, `folder` is for checkpoints and must be this rung's own.

    On a CPU the same examples, settings and seed give the same probabilities, interrupted or not.
    """

    stage: Final[Stage] = "fine-tune"

    def __init__(self, taxonomy: Taxonomy, source: Source, *, settings: TrainSettings | None = None, seed: int = 0, folder: Path) -> None:
        self.taxonomy, self.source, self.settings, self.seed, self.folder = taxonomy, source, settings or TrainSettings(), seed, folder
        self.classes_ = taxonomy.classes
        self.record: TrainRecord | None = None
        self._trained: Trained | None = None

    def fit(self, products: Sequence[Product], labels: Sequence[Label], watch: Watch | None = None) -> FineTune:
        """Train on the products that have a label, or take up what an earlier call with the same examples and settings has left.

        A kill loses what came after the last checkpoint. `watch` is told of each evaluation, and ends the training by returning True.
        Raises ModelError where no label names a class, the body cannot be loaded, or peft is missing that the method needs.
        """
        examples = examples_of(self.taxonomy, products, labels)
        run = self.folder / f"run-{self._fingerprint(examples)[:16]}"
        for other in self.folder.glob("run-*"):
            if other != run:
                shutil.rmtree(other)
        if (run / DONE / RECORD).is_file():
            return self.load(run / DONE)
        self._trained, self.record = self._train(examples, run, watch)
        if watch is None:  # a run that is watched may have been given up
            self.save(run / f"{DONE}.part")
            (run / f"{DONE}.part").rename(run / DONE)
        for checkpoint in run.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        return self

    @property
    def warm(self) -> Mask:
        """Which classes the rung has labels of, (n_classes,)."""
        return np.isin(self.classes_, self._trained.classes if self._trained else ())

    def held_out(self, products: Sequence[Product], labels: Sequence[Label]) -> frozenset[str]:
        """Return the texts that `fit` keeps from learning, to measure by; none where labels are few."""
        examples = examples_of(self.taxonomy, products, labels)
        return frozenset(examples.texts[row] for row in split(examples, self.settings.held_out, self.seed)[1])

    def log_probabilities(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes), from `NEVER` up."""
        return np.maximum(np.log(np.maximum(self.predict_proba(products), np.float32(TINY))), np.float32(NEVER))

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow `classes_`; classes that had no label get 0.

        Computed in float32 whatever it was trained in: in bfloat16 a row would depend on which others share its batch.
        """
        import torch

        trained = self._ready()
        texts, place = unique_texts(products)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        columns = [self.taxonomy.index[category] for category in trained.classes]
        found = np.zeros((len(texts), len(self.classes_)), dtype=np.float32)
        with torch.inference_mode(), bar("classifying", len(texts)) as done:
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                batch = trained.tokenizer(
                    [texts[row] for row in rows], truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"
                )
                logits = trained.model(**batch.to(trained.model.device)).logits
                found[np.ix_(rows, columns)] = torch.softmax(logits.float(), dim=-1).cpu().numpy()
                done.update(len(rows))
        return found[place]

    def save(self, folder: Path) -> None:
        """Write the classifier, its tokenizer and the record: a folder for `AutoModelForSequenceClassification.from_pretrained`.

        Its `id2label` are category ids. LoRA and AdaLoRA are merged into the weights. Prefix tuning cannot be: it is
        `PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(folder), folder / "adapter")`, and the folder alone
        is the body without the prefix.
        """
        from fewtag.models.fine_tune.adapt import save_adapted
        from fewtag.models.fine_tune.conditions import quietly

        trained = self._ready()
        assert self.record is not None, "a model that is trained or loaded has its record"
        folder.mkdir(parents=True, exist_ok=True)
        with quietly():
            save_adapted(trained.model, folder)
            trained.tokenizer.save_pretrained(folder)
        self.record.save(folder / RECORD)

    def load(self, folder: Path) -> FineTune:
        """Read back what `save` wrote, into a rung made for the same taxonomy; raises ModelError where it is not there or does not fit."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from fewtag.models.fine_tune.adapt import load_adapter
        from fewtag.models.fine_tune.conditions import quietly

        record = TrainRecord.load(folder / RECORD)
        try:
            with quietly():
                base = AutoModelForSequenceClassification.from_pretrained(str(folder), local_files_only=True)
                tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
                model = load_adapter(base, folder)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"the classifier cannot be loaded: {_reason(error)}", mend="train again", where=folder) from error
        classes = tuple(name for _, name in sorted(base.config.id2label.items()))
        unknown = next((category for category in classes if category not in self.taxonomy.index), None)
        if unknown is not None:
            raise ModelError(f"the classifier knows a category '{unknown}' that cannot be assigned", mend="train again", where=folder)
        self._trained, self.record = Trained(model.eval().to(best_device()), tokenizer, classes), record
        return self

    def _train(self, examples: Examples, folder: Path, watch: Watch | None) -> tuple[Trained, TrainRecord]:
        from fewtag.models.fine_tune.adapt import merged
        from fewtag.models.fine_tune.conditions import quietly, seeded
        from fewtag.models.fine_tune.probe import open_pooler
        from fewtag.models.fine_tune.training import Run, train

        began = time.perf_counter()
        learn, held = split(examples, self.settings.held_out, self.seed)
        with quietly(), seeded(self.seed):
            fresh, tokenizer = self._fresh(examples.classes)
            open_pooler(fresh, self.source)
            outcome = train(fresh, tokenizer, Run(self.taxonomy, examples, learn, held, self.settings, self.seed, folder), watch)
            model = merged(outcome.model, self.settings.method)
        record = TrainRecord(
            data=examples.hash,
            source=self.source.identity,
            settings=self.settings,
            seed=self.seed,
            classes=len(examples.classes),
            examples=len(learn),
            held_out=len(held),
            steps=outcome.steps,
            resumed_at=outcome.resumed_at,
            seconds=round(time.perf_counter() - began, 1),
            figures=outcome.figures,
        )
        return Trained(model.eval(), tokenizer, examples.classes), record

    def _fresh(self, classes: Sequence[str]) -> tuple[Any, Any]:
        """Load the body under a new head, and the tokenizer."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        names = dict(enumerate(classes))
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.source.place, **self.source.arguments)
            model = AutoModelForSequenceClassification.from_pretrained(
                self.source.place,
                num_labels=len(classes),
                id2label=names,
                label2id={name: number for number, name in names.items()},
                ignore_mismatched_sizes=True,  # the source may be a classifier of other categories
                dtype=torch.float32,
                **self.source.arguments,
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"the classifier '{self.source.name}' cannot be loaded: {_reason(error)}", mend=WORKS_OFFLINE) from error
        if self.settings.dropout is not None:
            for part in model.modules():
                if isinstance(part, torch.nn.Dropout):
                    part.p = self.settings.dropout
        return model, tokenizer

    def _fingerprint(self, examples: Examples) -> str:
        """Return the SHA-256 of all that decides what comes out."""
        number_format = str(best_dtype(best_device()))
        content = [self.source.identity, self.taxonomy.version, examples.hash, asdict(self.settings), self.seed, number_format]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _ready(self) -> Trained:
        if self._trained is None:
            raise ModelError("the fine-tune rung has not learnt anything yet", mend="call `fit` or `load` first")
        return self._trained


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
