"""Tunes a sentence encoder on a few labels: a title is drawn to its category's words and to its fellows, and away from the siblings' words.

Supervised contrast within each batch (Khosla et al. 2020), with the category's own words as anchors. The trap: all pairs of n titles are
n * n / 2; here a batch is drawn at a time, so that memory grows with the labels and not with their square.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.models.device import best_device, best_dtype
from fewtag.models.encoder import MAX_TOKENS, SentenceEncoder
from fewtag.models.few_shot.held_back import Exam
from fewtag.models.source import Source, loading_quietly
from fewtag.progress import bar

if TYPE_CHECKING:
    import torch

Rows = npt.NDArray[np.int64]

NONE: Final[Rows] = np.empty(0, dtype=np.int64)
WHOLE: Final = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state*.pth", "trainer_state.json")
"""What a checkpoint holds once all of it is written."""
COLUMNS: Final = ("title", "word", "sibling")
MEASURED: Final = 8
"""How many times a run is measured and written down."""


@dataclass(frozen=True, slots=True)
class ContrastSettings:
    """How long and how hard an encoder is tuned; `steps` are bounds on the number of batches, whatever the number of labels.

    `patience` is how many measurements without a gain end it; `replay_epochs` are those of an encoder that has been tuned before.
    """

    epochs: int = 8
    batch: int = 64
    learning_rate: float = 3e-5
    temperature: float = 0.07
    warm_up: float = 0.1
    steps: tuple[int, int] = (24, 2000)
    patience: int = 3
    replay_epochs: int = 3

    def steps_for(self, titles: int) -> int:
        """Return how many batches so many titles are learnt in, if nothing stops it."""
        per_epoch = -(-titles // self.batch)
        return min(max(self.epochs * per_epoch, self.steps[0]), self.steps[1])


@dataclass(frozen=True, slots=True)
class Lesson:
    """What there is to learn: titles with the class of each, every class's phrases, and the family of each: siblings share one."""

    titles: Sequence[str]
    classes: Rows
    phrases: Sequence[Sequence[str]]
    families: Rows

    def without(self, rows: Rows) -> Lesson:
        """Leave titles out."""
        kept = np.setdiff1d(np.arange(len(self.titles)), rows)
        return replace(self, titles=[self.titles[row] for row in kept.tolist()], classes=self.classes[kept])

    def drawn(self, count: int, seed: int) -> dict[str, list[Any]]:
        """Draw so many titles, none twice before each was drawn once, with a phrase of the class of each and one of a sibling.

        `label` names the two classes; a class without siblings stands beside itself.
        """
        rng = np.random.default_rng(seed)
        rounds = -(-count // len(self.titles))
        order = np.concatenate([rng.permutation(len(self.titles)) for _ in range(rounds)])[:count]
        own = self.classes[order]
        by_family = np.argsort(self.families, kind="stable")
        start = np.searchsorted(self.families[by_family], self.families)
        size = np.bincount(self.families)[self.families]
        place = np.empty_like(start)
        place[by_family] = np.arange(len(start))
        # A step of 1 to size - 1 around the family never ends where it began.
        step = 1 + (rng.random(count) * np.maximum(size[own] - 1, 0)).astype(np.int64)
        beside = by_family[start[own] + (place[own] - start[own] + step) % size[own]]
        words, others = (self._phrases_of(each, rng.random(count)) for each in (own, beside))
        label = np.stack([own, beside], axis=1).tolist()
        return dict(zip((*COLUMNS, "label"), ([self.titles[row] for row in order.tolist()], words, others, label), strict=True))

    def _phrases_of(self, classes: Rows, lots: npt.NDArray[np.float64]) -> list[str]:
        return [self.phrases[each][int(lot * len(self.phrases[each]))] for each, lot in zip(classes.tolist(), lots.tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class ContrastRecord:
    """What a tuning came to: the weights that it started from, how many titles it learnt and kept back, how many steps it took, after
    which of them it was best (0: none did any good, and the weights are as they were), and what the titles that were kept back say then:
    the share whose nearest category is right and the log-loss, each before and after. Where none were, those are 0."""

    started_from: str
    titles: int
    held_out: int
    steps: int
    best_step: int
    accuracy_before: float = 0.0
    log_loss_before: float = 0.0
    accuracy: float = 0.0
    log_loss: float = 0.0


def tune(
    source: Source, lesson: Lesson, folder: Path, settings: ContrastSettings, seed: int, held: Rows = NONE
) -> tuple[Any, ContrastRecord]:
    """Return a SentenceTransformer that starts from `source` and has learnt the lesson; killed, it goes on from its last checkpoint.

    `held` are the lesson's titles that are kept back from it: what they say now and then ends it early, and the weights at which they said
    the best are returned. `folder` keeps the checkpoints while it learns, and is gone afterwards.
    """
    place = folder / _digest(source, lesson, settings, seed, held)
    body = loaded(source)
    taught = lesson.without(held)
    before: dict[str, float] = {}
    exam: Exam | None = None
    if len(held):
        exam = Exam.of(
            ([lesson.titles[row] for row in held.tolist()], lesson.classes[held]), (taught.titles, taught.classes), lesson.phrases
        )
        before = exam.figures(SentenceEncoder(source, model=body).encode)
    state = _train(body, source, taught, place, settings, seed, exam)
    best = state.best_global_step if exam else state.global_step
    after = next(({name: line[f"eval_{name}"] for name in before} for line in state.log_history if exam and line["step"] == best), {})
    if exam and not after.get("log_loss", np.nan) < before["log_loss"]:
        body, best, after = loaded(source), 0, before
    shutil.rmtree(folder, ignore_errors=True)
    figures = {f"{name}_before": figure for name, figure in before.items()} | after
    return body.eval(), ContrastRecord(source.identity, len(taught.titles), len(held), state.global_step, best or 0, **figures)


def loaded(source: Source) -> Any:
    """Load a SentenceTransformer as it is tuned, with no word of the shop's in its model card."""
    from sentence_transformers import SentenceTransformer

    with loading_quietly():
        body = SentenceTransformer(source.place, device=best_device(), **source.arguments)
    body.model_card_data.widget = [{"text": "a product's title"}]  # else some of the shop's own would go into the model card
    body.max_seq_length = min(body.max_seq_length or MAX_TOKENS, MAX_TOKENS)
    return body


def _train(body: Any, source: Source, lesson: Lesson, place: Path, settings: ContrastSettings, seed: int, exam: Exam | None) -> Any:
    """Train the body in place, and return the trainer's state."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import EarlyStoppingCallback, PrinterCallback, TrainerState

    steps = settings.steps_for(len(lesson.titles))
    checkpoint = _last_whole(place)
    with bar("tuning the encoder", steps) as done, loading_quietly():
        trainer = SentenceTransformerTrainer(
            model=body,
            args=_arguments(place, settings, steps, seed, measured=exam is not None),
            train_dataset=Dataset.from_dict(lesson.drawn(steps * settings.batch, seed)),
            loss=_loss(body, settings.temperature),
            evaluator=[_examiner(exam, source)] if exam else None,
            callbacks=[_shows(done), *([EarlyStoppingCallback(settings.patience)] if exam else [])],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, where data goes
        state = TrainerState.load_from_json(f"{checkpoint}/trainer_state.json") if checkpoint else trainer.state
        if checkpoint and exam and _was_stopped(state):
            trainer.state = state
            trainer.state.best_model_checkpoint = str(place / f"checkpoint-{state.best_global_step}")
            trainer._load_best_model()  # `train` would take one more step
        else:
            trainer.train(resume_from_checkpoint=checkpoint)
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)  # else the body would round to bfloat16 for good
    return trainer.state


def _arguments(place: Path, settings: ContrastSettings, steps: int, seed: int, measured: bool) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments

    device, interval = best_device(), max(1, steps // MEASURED)
    return SentenceTransformerTrainingArguments(
        output_dir=str(place),
        max_steps=steps,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        warmup_steps=int(settings.warm_up * steps),
        bf16=str(best_dtype(device)) == "torch.bfloat16",
        use_cpu=device == "cpu",
        eval_strategy="steps" if measured else "no",
        eval_steps=interval,
        save_steps=interval,
        save_total_limit=2,  # the best and the last; with 1, the last would go before the best is taken
        load_best_model_at_end=measured,
        metric_for_best_model="log_loss" if measured else None,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )


def _was_stopped(state: Any) -> bool:
    """Say whether early stopping came to its end at a checkpoint."""
    return bool(state.stateful_callbacks["TrainerControl"]["args"]["should_training_stop"])


def _last_whole(place: Path) -> str | None:
    """Return the newest checkpoint that was written to its end, and delete those that were not."""
    found = sorted(place.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    whole = [folder for folder in found if all(list(folder.glob(name)) for name in WHOLE)]
    for folder in found:
        if folder not in whole:
            shutil.rmtree(folder)
    return str(whole[-1]) if whole else None


def supervised_contrast(vectors: torch.Tensor, classes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the mean over texts of -log p(a text of the same class | this one), among all others of the batch (Khosla et al. 2020).

    `vectors` are (n, dimensions), of any length; `classes` (n,). A text that is alone in its class counts for nothing.
    """
    import torch

    unit = torch.nn.functional.normalize(vectors.float(), dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    fellows = (classes[:, None] == classes[None]) & ~itself
    log_p = logits.log_softmax(dim=1).masked_fill(~fellows, 0.0)
    count = fellows.sum(dim=1)
    return -(log_p.sum(dim=1) / count.clamp(min=1))[count > 0].mean()


def _loss(body: Any, temperature: float) -> Any:
    """Wrap `supervised_contrast` as sentence-transformers asks for it."""
    import torch

    class Contrast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = body

        def forward(self, features: Sequence[dict[str, torch.Tensor]], label: torch.Tensor) -> torch.Tensor:
            vectors = torch.cat([self.model(each)["sentence_embedding"] for each in features])
            return supervised_contrast(vectors, torch.cat([label[:, 0], label[:, 0], label[:, 1]]), temperature)

    return Contrast()


def _examiner(exam: Exam, source: Source) -> Any:
    """Put an exam in the form in which sentence-transformers asks an evaluator."""
    return lambda model, *_: exam.figures(SentenceEncoder(source, model=model).encode)


def _shows(done: Any) -> Any:
    """Make a callback of the trainer that moves fewtag's bar."""
    from transformers import TrainerCallback

    class Shows(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            done.update(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            done.update(1)

    return Shows()


def _digest(source: Source, lesson: Lesson, settings: ContrastSettings, seed: int, held: Rows) -> str:
    """Name what is learnt, so that no checkpoint of another lesson is gone on from."""
    said = [
        source.identity,
        list(lesson.titles),
        lesson.classes.tolist(),
        list(map(list, lesson.phrases)),
        lesson.families.tolist(),
        asdict(settings),
        seed,
        held.tolist(),
    ]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:16]
