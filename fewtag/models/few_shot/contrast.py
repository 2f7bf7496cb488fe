"""Tunes a sentence encoder on a few labels: a title is drawn to its category's words and to its fellows, and away from the siblings' words.

Supervised contrast within each batch (Khosla et al. 2020), with the category's own words as anchors. The trap: all pairs of n titles are
n * n / 2; here a batch is drawn at a time, so that memory grows with the labels and not with their square.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.models.device import best_device, best_dtype
from fewtag.models.encoder import MAX_TOKENS
from fewtag.models.source import Source, loading_quietly
from fewtag.progress import bar

if TYPE_CHECKING:
    import torch

Rows = npt.NDArray[np.int64]

WHOLE: Final = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state*.pth", "trainer_state.json")
"""What a checkpoint holds once all of it is written."""
COLUMNS: Final = ("title", "word", "sibling")


@dataclass(frozen=True, slots=True)
class ContrastSettings:
    """How long and how hard an encoder is tuned; `steps` are bounds on the number of batches, whatever the number of labels."""

    epochs: int = 8
    batch: int = 64
    learning_rate: float = 3e-5
    temperature: float = 0.07
    warm_up: float = 0.1
    steps: tuple[int, int] = (24, 2000)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What there is to learn: titles with the class of each, every class's phrases, and the classes beside it."""

    titles: Sequence[str]
    classes: Rows
    phrases: Sequence[Sequence[str]]
    siblings: Sequence[Sequence[int]]

    def drawn(self, epochs: int, seed: int) -> dict[str, list[Any]]:
        """Draw for every title and epoch a phrase of its class and one of a sibling, in random order; `label` names the two classes."""
        rng = np.random.default_rng(seed)
        order = np.concatenate([rng.permutation(len(self.titles)) for _ in range(epochs)])
        own = self.classes[order]
        beside = [int(rng.choice(self.siblings[each])) if self.siblings[each] else int(each) for each in own]
        words, others = ([str(rng.choice(self.phrases[each])) for each in column] for column in (own, beside))
        label = [[int(one), other] for one, other in zip(own, beside, strict=True)]
        return dict(zip((*COLUMNS, "label"), ([self.titles[row] for row in order], words, others, label), strict=True))


def tune(source: Source, lesson: Lesson, folder: Path, settings: ContrastSettings, seed: int) -> Any:
    """Return a SentenceTransformer that starts from `source` and has learnt the lesson; killed, it goes on from its last checkpoint.

    `folder` keeps the checkpoints while it learns, and is gone afterwards.
    """
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers import PrinterCallback

    device = best_device()
    per_epoch = -(-len(lesson.titles) // settings.batch)
    epochs = max(settings.epochs, -(-settings.steps[0] // per_epoch))
    steps = min(per_epoch * epochs, settings.steps[1])
    place = folder / _digest(source, lesson, settings, seed)
    with loading_quietly():
        body = SentenceTransformer(source.place, device=device, **source.arguments)
    body.model_card_data.widget = [{"text": "a product's title"}]  # else some of the shop's own would go into the model card
    body.max_seq_length = min(body.max_seq_length or MAX_TOKENS, MAX_TOKENS)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(place),
        max_steps=steps,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        warmup_steps=int(settings.warm_up * steps),
        bf16=str(best_dtype(device)) == "torch.bfloat16",
        use_cpu=device == "cpu",
        save_steps=max(per_epoch, steps // 8),
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )
    with bar("tuning the encoder", steps) as done, loading_quietly():
        trainer = SentenceTransformerTrainer(
            model=body,
            args=arguments,
            train_dataset=Dataset.from_dict(lesson.drawn(epochs, seed)),
            loss=_loss(body, settings.temperature),
            callbacks=[_shows(done)],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, where data goes
        trainer.train(resume_from_checkpoint=_last_whole(place))
    shutil.rmtree(folder, ignore_errors=True)
    return body.eval()


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


def _shows(done: Any) -> Any:
    """Make a callback of the trainer that moves fewtag's bar."""
    from transformers import TrainerCallback

    class Shows(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            done.update(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            done.update(1)

    return Shows()


def _digest(source: Source, lesson: Lesson, settings: ContrastSettings, seed: int) -> str:
    """Name what is learnt, so that no checkpoint of another lesson is gone on from."""
    said = [
        source.identity,
        list(lesson.titles),
        lesson.classes.tolist(),
        list(map(list, lesson.phrases)),
        list(map(list, lesson.siblings)),
        asdict(settings),
        seed,
    ]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:16]
