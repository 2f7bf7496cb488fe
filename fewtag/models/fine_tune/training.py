"""Runs transformers' Trainer over examples so that it prints nothing, goes on behind its last whole checkpoint, and ends as if undisturbed.

The trap: a checkpoint folder exists before it is whole. `trainer_state.json` is written last, so a folder counts from there on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import DataCollatorWithPadding, EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from fewtag.errors import ModelError
from fewtag.metrics import hierarchical_f1, macro_f1
from fewtag.models.device import best_device, best_dtype
from fewtag.models.encoder import MAX_TOKENS
from fewtag.models.fine_tune.adapt import WAYS, orthogonality, prepare
from fewtag.models.fine_tune.adversarial import perturbed
from fewtag.models.fine_tune.batches import EpochSampler
from fewtag.models.fine_tune.examples import Examples, Rows, rarity
from fewtag.models.fine_tune.hierarchy_loss import HierarchyLoss
from fewtag.models.fine_tune.probe import fit_head
from fewtag.models.fine_tune.settings import Method, TrainSettings
from fewtag.progress import bar
from fewtag.taxonomy import Taxonomy

STATE: Final = "trainer_state.json"
EVALUATION_BATCH: Final = 64
FIGURES: Final = ("log_loss", "accuracy", "macro_f1", "hierarchical_f1")

Watch = Callable[[int, dict[str, float]], bool]
"""Is told the number of an evaluation and its figures, and says whether to give the run up."""


@dataclass(frozen=True, slots=True)
class Run:
    """All that a training run depends on, the model apart: `learn` and `held` are rows of the examples; checkpoints go into `folder`."""

    taxonomy: Taxonomy
    examples: Examples
    learn: Rows
    held: Rows
    settings: TrainSettings
    seed: int
    folder: Path

    @property
    def steps(self) -> int:
        """How many times the optimiser steps, if nothing stops it."""
        batches = -(-len(self.learn) // self.settings.batch_size)
        return self.settings.epochs * -(-batches // self.settings.accumulate)

    @property
    def keeps_best(self) -> bool:
        """Whether the best checkpoint is kept, by the held-out log-loss; else the last state is."""
        return len(self.held) > 0 and WAYS[self.settings.method].checkpoints


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trained model, the step that it began at and ended at, and the held-out figures of what was kept."""

    model: Any
    resumed_at: int
    steps: int
    figures: dict[str, float]


def train(fresh: Any, tokenizer: Any, run: Run, watch: Watch | None = None) -> Outcome:
    """Train a fresh classifier, from the last whole checkpoint in the run's folder if there is one; prints nothing.

    Raises ModelError for an optimiser or a service to report to that transformers does not have.
    """
    checkpoint = last_checkpoint(run.folder)
    state = _state(checkpoint) if checkpoint else None
    with bar("fine-tuning", run.steps) as done:
        trainer = _trainer(fresh, tokenizer, run, _Progress(done, run.settings.method, watch), probe=not state)
        if state and _was_stopped(state):
            best = run.folder / Path(state["best_model_checkpoint"]).name
            trainer._load_from_checkpoint(str(best))  # `train` would take one more step
            ended, history = state["global_step"], state["log_history"]
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            ended, history = trainer.state.global_step, trainer.state.log_history
    trained = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    evaluations = _evaluations(history)
    if run.keeps_best:
        evaluations.sort(key=lambda figures: -figures["log_loss"])
    return Outcome(trained, state["global_step"] if state else 0, ended, evaluations[-1] if evaluations else {})


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the highest step that is whole, or None."""
    steps = {int(found[1]): path for path in folder.glob("checkpoint-*") if (found := re.fullmatch(r"checkpoint-(\d+)", path.name))}
    return next((steps[step] for step in sorted(steps, reverse=True) if _state(steps[step])), None)


class _Trainer(Trainer):
    """The Trainer with batches in an order of its own, adversarial steps, and AdaLoRA's penalty."""

    def __init__(self, run: Run, sampler: EpochSampler, **arguments: Any) -> None:
        self.run, self.sampler = run, sampler
        super().__init__(**arguments)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Add up the gradients of the batch as it is and, where settings ask for it, as it is worst."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.run.settings.adversarial:
            with perturbed(model.get_input_embeddings().weight, self.run.settings.adversarial):
                super().training_step(model, inputs, num_items_in_batch)
        return loss

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Return the loss, and while AdaLoRA trains, its penalty."""
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.run.settings.method == "adalora" and not return_outputs:
            return result + orthogonality(model) / self.current_gradient_accumulation_steps
        return result


class _Progress(TrainerCallback):
    """Moves the bar, hands evaluations on, and lets AdaLoRA share its budget out anew after each step."""

    def __init__(self, done: Any, method: Method, watch: Watch | None) -> None:
        self.done, self.method, self.watch = done, method, watch
        self.evaluations = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Start the bar, and the count of evaluations, where the checkpoint stands."""
        self.done.update(state.global_step)
        self.evaluations = len(_evaluations(state.log_history))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Run between the step and the end of its gradients, which AdaLoRA judges by."""
        if self.method == "adalora":
            given["model"].base_model.update_and_allocate(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Move the bar by one."""
        self.done.update(1)

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Let the watch see the figures."""
        self.evaluations += 1
        if self.watch and self.watch(self.evaluations, _evaluations([given["metrics"]])[0]):
            control.should_training_stop = True


def _trainer(fresh: Any, tokenizer: Any, run: Run, progress: _Progress, *, probe: bool) -> _Trainer:
    """Put all together; `probe` is False where a checkpoint will replace the head anyway."""
    examples, settings, arguments = run.examples, run.settings, _arguments(run)
    features = tokenizer(list(examples.texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
    learn, held = ([{"input_ids": features[row], "labels": row} for row in rows.tolist()] for rows in (run.learn, run.held))
    rare = rarity(examples, run.learn)
    weight = examples.weight.copy()
    if settings.balance == "weights":
        weight[run.learn] *= rare
    lengths = [len(row["input_ids"]) for row in learn]
    collate = DataCollatorWithPadding(tokenizer)
    loss = HierarchyLoss(run.taxonomy, examples, weight, hierarchy=settings.hierarchy, smoothing=settings.label_smoothing)
    if probe and settings.probe:
        fit_head(fresh.to(best_device()), collate, learn, loss)
    prepared = prepare(fresh, settings, run.steps)
    with _accepted():
        trainer = _Trainer(
            run,
            EpochSampler(lengths, settings.batch_size, run.seed, rare if settings.balance == "sampling" else None),
            model=prepared,
            args=arguments,
            data_collator=collate,
            train_dataset=learn,
            eval_dataset=held,
            compute_loss_func=loss,
            compute_metrics=_measure(run),
            callbacks=[progress, *([EarlyStoppingCallback(settings.patience)] if run.keeps_best and settings.patience else [])],
        )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    return trainer


def _arguments(run: Run) -> TrainingArguments:
    settings, device = run.settings, best_device()
    interval = "steps" if settings.checkpoint_steps else "epoch"
    with _accepted():
        return TrainingArguments(
            output_dir=str(run.folder),
            learning_rate=settings.learning_rate or WAYS[settings.method].learning_rate,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=EVALUATION_BATCH,
            gradient_accumulation_steps=settings.accumulate,
            optim=settings.optim,
            weight_decay=settings.weight_decay,
            warmup_steps=round(settings.warmup * run.steps),
            bf16=best_dtype(device) == torch.bfloat16,
            use_cpu=device == "cpu",
            seed=run.seed,
            save_strategy=interval if WAYS[settings.method].checkpoints else "no",
            save_steps=settings.checkpoint_steps or 1,
            save_total_limit=2,  # the best and the last; with 1, the last would go before the best is taken out
            eval_strategy=interval if len(run.held) else "no",
            eval_steps=settings.checkpoint_steps or 1,
            load_best_model_at_end=run.keeps_best,
            metric_for_best_model="log_loss" if run.keeps_best else None,
            greater_is_better=False,
            restore_callback_states_from_checkpoint=True,
            label_names=["labels"],
            remove_unused_columns=False,
            dataloader_pin_memory=device != "cpu",
            disable_tqdm=True,
            report_to=settings.report_to,
        )


@contextmanager
def _accepted() -> Iterator[None]:
    """Say what transformers has against the settings without a traceback."""
    try:
        yield
    except (ValueError, ImportError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"transformers refuses these settings: {reason}", mend="see its TrainingArguments: optim, report_to") from error


def _measure(run: Run) -> Callable[[Any], dict[str, float]]:
    """Return the function that turns logits, (n, n_classes), and numbers of examples, (n,), into the held-out figures."""
    gold = run.examples.gold

    def measure(evaluated: Any) -> dict[str, float]:
        logits = torch.from_numpy(np.asarray(evaluated.predictions, dtype=np.float32))
        truth = gold[np.asarray(evaluated.label_ids)]
        logs = torch.log_softmax(logits, dim=-1).numpy()
        tags, names = ([run.examples.classes[column] for column in columns] for columns in (logs.argmax(axis=1), truth))
        return {
            "log_loss": -float(logs[np.arange(len(truth)), truth].mean()),
            "accuracy": float(np.mean(logs.argmax(axis=1) == truth)),
            "macro_f1": macro_f1(tags, names),
            "hierarchical_f1": hierarchical_f1(tags, names, run.taxonomy),
        }

    return measure


def _evaluations(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: entry[f"eval_{name}"] for name in FIGURES} for entry in history if "eval_log_loss" in entry]


def _state(checkpoint: Path) -> dict[str, Any] | None:
    """Return what a checkpoint says of itself, or None where it is not whole."""
    try:
        content: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return content
    except (OSError, ValueError):
        return None


def _was_stopped(state: Mapping[str, Any]) -> bool:
    """Say whether early stopping came to its end at this checkpoint."""
    return (
        bool(state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]) and state["best_model_checkpoint"] is not None
    )
