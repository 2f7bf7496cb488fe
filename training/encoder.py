"""Tunes the embedded sentence encoder to products by contrast: `python -m training.encoder training/.cache/pairs.jsonl --out FOLDER`.

A title is drawn to its category's words and away from all other words of its batch (multiple negatives, Henderson et al. 2017). So that
general meaning is kept, texts that are no products stay at the vectors that they had (Li and Hoiem 2016), and the result is averaged with
the original weights (Wortsman et al. 2022). The traps: words that are right for a title at another level, or of the same name, are no
negatives; and the table of word embeddings is frozen, as a few titles would move the words that they hold and leave all others where
they were.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fewtag.models.device import best_device, best_dtype
from fewtag.models.few_shot.contrast import _last_whole, loaded
from fewtag.models.source import EMBEDDED, Source, file_hash, locate
from training.data import CACHE, read
from training.general import general_texts, whole_words

if TYPE_CHECKING:
    import torch

FROZEN: Final = "word_embeddings"
TENSORS: Final = ("input_ids", "attention_mask")
SHOWN_EVERY: Final = 10
TEXTS_TOGETHER: Final = 48


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an encoder is tuned: beside each `batch` of pairs so many `general` texts, whose distance from where they were counts
    `staying` times; a text is cut at so many `tokens` while it is learnt from, and `kept_every` is the steps between checkpoints."""

    steps: int = 320
    batch: int = 96
    learning_rate: float = 2e-5
    temperature: float = 0.05
    warm_up: float = 0.1
    general: int = 32
    staying: float = 10.0
    tokens: int = 32
    seed: int = 0
    kept_every: int = 50


def in_batch_softmax(
    titles: torch.Tensor, words: torch.Tensor, owners: torch.Tensor, paths: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return the mean over titles of -log p(its own word | the title), among all words of the batch that are not right for it too.

    `titles` and `words` are (n, dimensions) of any length, row by row a pair; `owners` (n,) number each word's category, `paths`
    (n, depth) all that are right for a title.
    """
    import torch

    unit = torch.nn.functional.normalize
    logits = unit(titles.float(), dim=1) @ unit(words.float(), dim=1).T / temperature
    right = (paths[:, None, :] == owners[None, :, None]).any(dim=2)
    own = torch.eye(*logits.shape, dtype=torch.bool, device=logits.device)
    return torch.nn.functional.cross_entropy(logits.masked_fill(right & ~own, -torch.inf), torch.arange(len(titles), device=logits.device))


def stayed(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return how far vectors, (n, dimensions), have turned from where they were: the mean of 1 less their cosine."""
    import torch

    return 1 - torch.nn.functional.cosine_similarity(now.float(), before.float(), dim=1).mean()


def train(source: Source, rows: list[dict[str, Any]], general: Sequence[str], folder: Path, recipe: Recipe) -> tuple[Any, list[float]]:
    """Return the tuned SentenceTransformer, and the mean loss of every `SHOWN_EVERY` steps; killed, it goes on from its last checkpoint.

    `rows` are what `data.read` returns, `general` the texts that are to stay where they are. `folder` keeps the checkpoints, apart
    for each recipe and lesson.
    """
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import PrinterCallback

    body = loaded(source)
    longest, body.max_seq_length = body.max_seq_length, recipe.tokens
    for name, weights in body.named_parameters():
        weights.requires_grad = FROZEN not in name
    place = folder / _digest(source, rows, general, recipe)
    columns = {name: [row[name] for row in rows] for name in ("title", "word", "label")}
    columns["general"] = [general[place % len(general)] for place in range(len(rows))]
    trainer = SentenceTransformerTrainer(
        model=body,
        args=_arguments(place, recipe),
        train_dataset=Dataset.from_dict(columns),
        loss=_loss(body, source, recipe),
        callbacks=[shows()],
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, where data goes
    trainer.train(resume_from_checkpoint=_last_whole(place))
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)  # else the body would round to bfloat16 for good
    body.max_seq_length = longest
    return body.eval(), [line["loss"] for line in trainer.state.log_history if "loss" in line]


def mixed(source: Source, tuned: str | Path, weight: float) -> Any:
    """Return a SentenceTransformer whose weights are `weight` parts of the tuned ones' and the rest the original's."""
    from safetensors.torch import load_file

    body = loaded(source)
    weights = load_file(Path(tuned) / "model.safetensors")
    own = body[0].auto_model.state_dict()
    for name in own:
        if own[name].is_floating_point() and name in weights:
            own[name].lerp_(weights[name].to(own[name]), weight)
    return body.eval()


def save(body: Any, folder: Path) -> None:
    """Write a folder that `fewtag.models.source.locate` finds."""
    folder.mkdir(parents=True, exist_ok=True)
    body.save_pretrained(str(folder), create_model_card=False)


def _arguments(place: Path, recipe: Recipe) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments

    device = best_device()
    return SentenceTransformerTrainingArguments(
        output_dir=str(place),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        warmup_steps=int(recipe.warm_up * recipe.steps),
        bf16=str(best_dtype(device)) == "torch.bfloat16",
        use_cpu=device == "cpu",
        save_steps=recipe.kept_every,
        save_total_limit=1,
        logging_steps=SHOWN_EVERY,
        report_to="none",
        disable_tqdm=True,
        seed=recipe.seed,
    )


def embedded(model: Any, features: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Embed columns of texts one after the other, texts of like length together: two thirds of a column are padding otherwise."""
    import torch

    widest = max(each["input_ids"].shape[1] for each in features)
    texts = {
        name: torch.cat([torch.nn.functional.pad(each[name], (0, widest - each[name].shape[1])) for each in features]) for name in TENSORS
    }
    lengths = texts["attention_mask"].sum(dim=1)
    order = lengths.argsort(stable=True)
    vectors = []
    for start in range(0, len(order), TEXTS_TOGETHER):
        rows = order[start : start + TEXTS_TOGETHER]
        chunk = {name: each[rows, : int(lengths[rows].max())] for name, each in texts.items()}
        vectors.append(model(chunk)["sentence_embedding"])
    return torch.cat(vectors)[order.argsort()]


def _loss(body: Any, source: Source, recipe: Recipe) -> Any:
    """Wrap `in_batch_softmax` and `stayed` as sentence-transformers asks for it."""
    import torch

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = body
            self.original = [loaded(source).eval().requires_grad_(False)]  # in a list, so that no checkpoint keeps it

        def forward(self, features: Sequence[dict[str, torch.Tensor]], label: torch.Tensor) -> torch.Tensor:
            *pair, general = features
            few = {name: general[name][: recipe.general] for name in TENSORS}
            vectors = embedded(self.model, [*pair, few])
            count = len(label)
            drawn = in_batch_softmax(vectors[:count], vectors[count : 2 * count], label[:, 0], label[:, 2:], recipe.temperature)
            with torch.no_grad():
                before = embedded(self.original[0], [few])
            return drawn + recipe.staying * stayed(vectors[2 * count :], before)

    return Loss()


def shows() -> Any:
    """Make a callback of the trainer that tells the loss and the pace on stderr."""
    from transformers import TrainerCallback

    class Shows(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.start, self.first = time.perf_counter(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs and state.global_step > self.first:
                pace = (time.perf_counter() - self.start) / (state.global_step - self.first)
                said = f"step {state.global_step} of {state.max_steps}: loss {float(logs['loss']):.3f}, {pace:.2f} s a step"
                print(said, file=sys.stderr, flush=True)

    return Shows()


def _digest(source: Source, rows: list[dict[str, Any]], general: Sequence[str], recipe: Recipe) -> str:
    """Name what is learnt and how, so that no checkpoint of another training is gone on from."""
    return hashlib.sha256(repr((source.identity, rows, general, asdict(recipe))).encode()).hexdigest()[:16]


def main() -> None:
    """Train on a file of pairs, and write the tuned weights and their mixes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write the encoder to")
    parser.add_argument("--mix", type=float, default=0.7, help="the tuned weights' share in it")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--staying", type=float, default=Recipe().staying, help="what keeps texts that are no products where they are")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recipe = Recipe(arguments.steps, staying=arguments.staying, seed=arguments.seed)
    source, rows = locate(EMBEDDED), read(arguments.pairs)
    general = general_texts(whole_words(list(loaded(source).tokenizer.get_vocab())), len(rows), arguments.seed)
    body, _ = train(source, rows, general, CACHE / "checkpoints", recipe)
    tuned = arguments.out.with_name(f"{arguments.out.name}-unmixed")
    save(body, tuned)
    save(mixed(source, tuned, arguments.mix), arguments.out)
    print(f"{arguments.out}: model.safetensors has SHA-256 {file_hash(arguments.out / 'model.safetensors')}")


if __name__ == "__main__":
    main()
