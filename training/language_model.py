"""Makes the embedded language model: `python -m training.language_model training/.cache/pairs.jsonl --upon ENCODER --out FOLDER`.

A prefix language model whose body is a tuned encoder's. It learns to write a category's name behind a title, and to find that name likelier
than those of the categories it could be mistaken for, each by as much as the title adds to it (pointwise mutual information), which is
what scoring asks of it. A tenth of the titles say nothing, so that it knows what a name is worth without one. The traps: a name that is
right for a title at another level is no rival; and a sum over the whole vocabulary is most of the work, so a sample stands for it.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer, PrinterCallback, Trainer, TrainingArguments

from fewtag.models.encoder import SentenceEncoder
from fewtag.models.few_shot.contrast import _last_whole, loaded
from fewtag.models.lm.label_trie import Tokens
from fewtag.models.lm.prefix import PrefixConfig, PrefixLM, additive
from fewtag.models.source import Source, file_hash, locate
from fewtag.prompts import CONTENT_FREE
from training.data import CACHE, read
from training.encoder import FROZEN, SHOWN_EVERY, shows

POOL: Final = 512
"""So many pairs in a row give each other rivals, as the categories of one made-up shop."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the model is trained; `sampled` words of the vocabulary stand for all that a step does not name."""

    steps: int = 1500
    batch: int = 32
    rivals: int = 5
    learning_rate: float = 1e-4
    head_rate: float = 1e-3
    warm_up: float = 0.06
    empty: float = 0.1
    sampled: int = 4000
    tokens: int = 28
    seed: int = 0
    kept_every: int = 100


@dataclass(frozen=True, slots=True)
class Special:
    """The numbers of the tokens that open a text, open an answer and end it (one for both), and fill a row up."""

    start: int
    opener: int
    padding: int


def rivals(
    rows: Sequence[dict[str, Any]], titles: npt.NDArray[np.float32], names: dict[str, npt.NDArray[np.float32]], count: int
) -> list[list[str]]:
    """Return for each pair the names that its title is nearest to among those of its pool, without any that is right for it.

    `titles` are unit vectors, (n, dimensions), `names` that of each name.
    """
    found: list[list[str]] = []
    for start in range(0, len(rows), POOL):
        chunk = rows[start : start + POOL]
        numbers = {number: name for row in chunk for number, name in zip(row["label"], (row["name"], row["other"]), strict=False)}
        pool = np.array(list(numbers))
        cosines = titles[start : start + POOL] @ np.stack([names[numbers[number]] for number in pool.tolist()]).T
        for row, near in zip(chunk, cosines, strict=True):
            near[np.isin(pool, [row["label"][0], *row["label"][2:]])] = -np.inf
            order = np.argsort(-near, kind="stable")[:count]
            found.append([numbers[number] for number in pool[order].tolist() if np.isfinite(near).sum() >= count])
    return found


@dataclass(frozen=True, slots=True)
class Packed:
    """Titles with several answers each, in one pass: each answer sees the title and itself, and no other answer.

    ids, positions  (n, width): tokens, and where each stands in its text
    visible         bool (n, 1, width, width): which token sees which
    source, target  (predictions, 2) row and place of each token that predicts, (predictions,) what comes next
    answer          (predictions,): the number of the answer, over all rows
    answers         how many there are
    """

    ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    visible: npt.NDArray[np.bool_]
    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    answer: npt.NDArray[np.int64]
    answers: int

    @classmethod
    def of(cls, titles: Sequence[Tokens], answers: Sequence[Sequence[Tokens]], special: Special) -> Packed:
        """Pack rows of a title and its answers.

        >>> packed = Packed.of([(7,)], [[(8, 9), (8,)]], Special(start=1, opener=2, padding=0))
        >>> packed.ids.tolist(), packed.positions.tolist()
        ([[1, 7, 2, 8, 9, 8]], [[0, 1, 2, 3, 4, 3]])
        >>> packed.source[:, 1].tolist(), packed.target.tolist(), packed.answer.tolist()
        ([2, 3, 4, 2, 5], [8, 9, 2, 8, 2], [0, 0, 0, 1, 1])
        """
        width = max(len(title) + 2 + sum(map(len, row)) for title, row in zip(titles, answers, strict=True))
        ids = np.full((len(titles), width), special.padding, dtype=np.int64)
        positions, part = np.zeros_like(ids), np.full_like(ids, -1)  # -1 padding, 0 title, 1 opener, then one for each answer
        source: list[tuple[int, int]] = []
        target: list[int] = []
        answer: list[int] = []
        number = 0
        for row, (title, names) in enumerate(zip(titles, answers, strict=True)):
            at = len(title) + 1
            ids[row, : at + 1] = (special.start, *title, special.opener)
            positions[row, : at + 1] = np.arange(at + 1)
            part[row, :at], part[row, at] = 0, 1
            end = at + 1
            for place, name in enumerate(names):
                ids[row, end : end + len(name)] = name
                positions[row, end : end + len(name)] = at + 1 + np.arange(len(name))
                part[row, end : end + len(name)] = place + 2
                source += [(row, at), *((row, end + offset) for offset in range(len(name)))]
                target += [*name, special.opener]
                answer += [number] * (len(name) + 1)
                end, number = end + len(name), number + 1
        order = np.arange(width)
        before = order[None, :, None] >= order[None, None, :]
        question = part[:, None, :] == 0
        seen = question | (part[:, None, :] == 1) | (part[:, :, None] == part[:, None, :])
        visible = np.where(part[:, :, None] == 0, question, seen & before & (part[:, None, :] >= 0)) | (order[:, None] == order)
        return cls(ids, positions, visible[:, None], np.array(source), np.array(target), np.array(answer), number)


def likelihoods(model: PrefixLM, packed: Packed, words: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probability of each answer, (answers,), and its number of tokens.

    `words` (m,) are the vocabulary's words that the sum is taken over, those that are predicted first; each of the rest of them stands for
    1 / `share` words (Jean et al. 2015).
    """
    place = torch.from_numpy
    hidden = model.bert(
        place(packed.ids),
        attention_mask=additive(place(packed.visible), model.dtype),
        position_ids=place(packed.positions),
        use_cache=False,
    ).last_hidden_state
    rows, at = place(packed.source).T
    head = model.cls.predictions
    logits = head.transform(hidden[rows, at]) @ head.decoder.weight[words].T + head.decoder.bias[words]
    named = len(np.unique(packed.target))
    logits[:, named:] -= float(np.log(share))
    found = torch.searchsorted(words[:named], place(packed.target))
    log_probs = logits.log_softmax(dim=1).gather(1, found[:, None])[:, 0]
    answer = place(packed.answer)
    summed = torch.zeros(packed.answers).index_add(0, answer, log_probs)
    return summed, torch.bincount(answer, minlength=packed.answers)


def sampled_words(targets: npt.NDArray[np.int64], vocabulary: int, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
    """Return the words that a step names, in order, then others at random, and how large a share of all others these are."""
    named = np.unique(targets)
    others = np.setdiff1d(np.arange(vocabulary), named)
    drawn = rng.choice(others, min(count, len(others)), replace=False)
    return torch.from_numpy(np.concatenate([named, drawn])), len(drawn) / len(others)


def losses(
    conditional: torch.Tensor, prior: torch.Tensor, lengths: torch.Tensor, speaks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean loss a token of writing each title's own name, and that of choosing it among its rivals.

    `conditional`, `prior` and `lengths` are (n, answers), the own name first; `speaks` says which titles say something, bool (n,).
    """
    written = -(conditional[:, 0] / lengths[:, 0]).mean()
    gain = (conditional - prior)[speaks]
    chosen = torch.nn.functional.cross_entropy(gain, torch.zeros(len(gain), dtype=torch.int64))
    return written, chosen


def fresh(upon: Source) -> tuple[PrefixLM, Any]:
    """Return a language model with the body of a sentence encoder and a head that knows nothing, and its tokenizer."""
    body = loaded(upon)[0].auto_model
    tokenizer = AutoTokenizer.from_pretrained(upon.place)
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.sep_token
    settings = {**body.config.to_dict(), "is_decoder": True, "tie_word_embeddings": True, "architectures": ["PrefixLM"]}
    settings |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings |= {
        "decoder_start_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "bos_token_id": tokenizer.sep_token_id,
    }
    settings.pop("model_type", None)
    model = PrefixLM(PrefixConfig(**settings))
    own = {name: weights for name, weights in body.state_dict().items() if not name.startswith("pooler")}
    model.bert.load_state_dict(own)
    model.tie_weights()
    return model, tokenizer


class _Trainer(Trainer):
    """Trains on packed rows; what a step draws at random comes of its number, so that a resumed training draws the same."""

    recipe: Recipe
    special: Special
    nothing: list[Tokens]

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        rng = np.random.default_rng((self.recipe.seed, self.state.global_step))
        titles, answers = inputs["titles"], inputs["answers"]
        speaks = rng.random(len(titles)) >= self.recipe.empty
        said = [title if says else self.nothing[rng.integers(len(self.nothing))] for title, says in zip(titles, speaks, strict=True)]
        asked, bare = (
            Packed.of(each, answers, self.special) for each in (said, [self.nothing[rng.integers(len(self.nothing))]] * len(titles))
        )
        words, share = sampled_words(asked.target, model.config.vocab_size, self.recipe.sampled, rng)
        conditional, lengths = likelihoods(model, asked, words, share)
        with torch.no_grad():
            prior, _ = likelihoods(model, bare, words, share)
        conditional, prior, lengths = (each.reshape(len(titles), -1) for each in (conditional, prior, lengths))
        written, chosen = losses(conditional, prior, lengths, torch.from_numpy(speaks))
        return written + chosen


def train(upon: Source, rows: list[dict[str, Any]], folder: Path, recipe: Recipe) -> tuple[PrefixLM, Any, list[float]]:
    """Return the model, its tokenizer, and the mean loss of every `SHOWN_EVERY` steps; killed, it goes on from its last checkpoint."""
    rows = rows[: recipe.steps * recipe.batch]
    torch.manual_seed(recipe.seed)  # the head is drawn before the trainer sets a seed
    model, tokenizer = fresh(upon)
    for name, weights in model.named_parameters():
        weights.requires_grad = FROZEN not in name
    place = folder / hashlib.sha256(repr((upon.identity, rows, asdict(recipe))).encode()).hexdigest()[:16]
    head = {id(weights) for weights in model.cls.parameters()}
    taught = [weights for weights in model.parameters() if weights.requires_grad]
    rates = ((True, recipe.head_rate), (False, recipe.learning_rate))
    groups = [{"params": [each for each in taught if (id(each) in head) == own], "lr": rate} for own, rate in rates]
    arguments = TrainingArguments(
        output_dir=str(place),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        warmup_steps=int(recipe.warm_up * recipe.steps),
        use_cpu=True,
        save_steps=recipe.kept_every,
        save_total_limit=1,
        logging_steps=SHOWN_EVERY,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=recipe.seed,
    )
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_lessons(upon, rows, tokenizer, recipe),
        data_collator=lambda batch: {key: [each[key] for each in batch] for key in ("titles", "answers")},
        optimizers=(torch.optim.AdamW(groups, weight_decay=0.01), None),
        callbacks=[shows()],
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, where data goes
    trainer.recipe = recipe
    trainer.special = Special(tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    trainer.nothing = [_tokens(tokenizer, text, recipe.tokens) for text in CONTENT_FREE]
    trainer.train(resume_from_checkpoint=_last_whole(place))
    return cast(PrefixLM, model.train(False)), tokenizer, [line["loss"] for line in trainer.state.log_history if "loss" in line]


def _lessons(upon: Source, rows: list[dict[str, Any]], tokenizer: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """Return each pair's title and the names that could be its category's, the right one first, as tokens."""
    encoder = SentenceEncoder(upon)
    names = list(dict.fromkeys(row[key] for row in rows for key in ("name", "other")))
    vectors = dict(zip(names, encoder.encode(names), strict=True))
    wrong = rivals(rows, encoder.encode([row["title"] for row in rows]), vectors, recipe.rivals)
    tokens = {name: _tokens(tokenizer, name, recipe.tokens) for name in names}
    return [
        {"titles": _tokens(tokenizer, row["title"], recipe.tokens), "answers": [tokens[name] for name in (row["name"], *others)]}
        for row, others in zip(rows, wrong, strict=True)
        if len(others) == recipe.rivals
    ]


def _tokens(tokenizer: Any, text: str, most: int) -> Tokens:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"][:most])


def main() -> None:
    """Train on a file of pairs, and write the model as a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--upon", type=Path, required=True, help="the folder of a sentence encoder, whose body it gets")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write the model to")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recipe = Recipe(arguments.steps, seed=arguments.seed)
    model, tokenizer, _ = train(locate(str(arguments.upon)), read(arguments.pairs), CACHE / "checkpoints", recipe)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    print(f"{arguments.out}: model.safetensors has SHA-256 {file_hash(arguments.out / 'model.safetensors')}")


if __name__ == "__main__":
    main()
