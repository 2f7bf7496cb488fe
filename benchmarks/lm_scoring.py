"""Times the label-likelihood engine beside one forward pass per label: `python benchmarks/lm_scoring.py` (under three minutes on 2 cores).

The model is a Llama of about 25M parameters with random weights, the tokenizer is trained here: nothing is downloaded. What is timed
is the same work in four ways, in one process, the ways taking turns; each figure is the median over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fewtag.models.lm.likelihood import Scores
from fewtag.models.lm.model import LanguageModel

KINDS = ["Fresh", "Frozen", "Dried", "Canned", "Organic", "Baby", "Kids", "Outdoor", "Garden", "Kitchen", "Office", "Pet", "Travel"]
GOODS = [
    "Tea", "Coffee", "Bread", "Fruit", "Vegetables", "Cheese", "Fish", "Snacks", "Juice", "Pasta", "Sauces", "Soap", "Candles", "Lamps",
    "Chairs", "Shelves", "Towels", "Shoes", "Jackets", "Gloves", "Bags", "Toys", "Puzzles", "Notebooks", "Pens",
]  # fmt: skip
ADDED = ["", " Sets", " & Accessories", " Storage"]
PROMPT_TOKENS = 100
LABEL_COUNTS = (8, 64, 512)


def category_names(count: int) -> list[str]:
    """Draw category names with the shared words that real taxonomies have: "Garden Lamps", "Garden Lamps Storage"."""
    every = [f"{kind} {goods}{added}" for kind, goods, added in product(KINDS, GOODS, ADDED)]
    return [str(name) for name in np.random.default_rng(0).permutation(every)[:count]]


def build_model(folder: str, hidden: int = 384, layers: int = 8) -> LanguageModel:
    names = category_names(len(KINDS) * len(GOODS) * len(ADDED))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [f" {name} Product: Category:" for name in names]
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, special_tokens=["<eos>"], initial_alphabet=alphabet))
    words: Any = PreTrainedTokenizerFast
    words(tokenizer_object=bpe, eos_token="<eos>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=hidden,
        intermediate_size=8 * hidden // 3,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return LanguageModel.load(folder, device="cpu", dtype="float32")


def prompt_of(tokenizer: PreTrainedTokenizerFast) -> str:
    """Write a prompt of exactly `PROMPT_TOKENS` tokens: a wordy product text, then the question."""
    words = " Fresh Tea Garden Lamps Kitchen Towels Travel Bags" * 40
    room = PROMPT_TOKENS - len(tokenizer("Product:")["input_ids"]) - len(tokenizer("\nCategory:")["input_ids"])
    text = f"Product:{tokenizer.decode(tokenizer(words)['input_ids'][:room])}\nCategory:"
    if len(tokenizer(text)["input_ids"]) != PROMPT_TOKENS:
        raise ValueError(f"the prompt has {len(tokenizer(text)['input_ids'])} tokens instead of {PROMPT_TOKENS}")
    return text


@torch.inference_mode()
def naive(lm: LanguageModel, prompt: str, labels: list[str]) -> Scores:
    """One forward pass per label, with logits for the label's tokens only."""
    before, scores = lm.tokenizer(prompt)["input_ids"], []
    for label in labels:
        wanted = [*lm.tokenizer(label)["input_ids"], lm.tokenizer.eos_token_id]
        read = lm.model(torch.tensor([before + wanted[:-1]]), logits_to_keep=len(wanted), use_cache=False)
        scores.append(read.logits[0].log_softmax(-1)[range(len(wanted)), wanted].sum().item())
    return np.array([scores], dtype=np.float32)


@torch.inference_mode()
def prompt_alone(lm: LanguageModel, prompt: str) -> None:
    lm.model(torch.tensor([lm.tokenizer(prompt)["input_ids"]]), logits_to_keep=1)


def measure(ways: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Return per way its seconds and its answer: the median over the repeats, after a warm-up, the ways taking turns against noise."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, Any] = {}
    for repeat in range(repeats + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            answers[way] = run()
            if repeat:
                taken[way].append(time.perf_counter() - start)
    return {way: statistics.median(seconds) for way, seconds in taken.items()}, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats", type=int, default=5, help="timed runs of each way at 8 and 64 labels; at 512 labels it is a third of them"
    )
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        lm = build_model(folder)
    prompt = prompt_of(lm.tokenizer)
    parameters = sum(weights.numel() for weights in lm.model.parameters()) / 1e6
    print(
        f"Llama, {parameters:.1f}M parameters, float32, {torch.get_num_threads()} threads, a prompt of {PROMPT_TOKENS} tokens; milliseconds"
    )
    print(f"{'labels':>6} {'tokens':>6} {'naive':>8} {'batched':>8} {'engine':>8} {'prompt':>8} {'naive/engine':>13} {'batched/engine':>15}"
          f" {'engine/prompt':>14} {'max |diff|':>11}")  # fmt: skip
    for count in LABEL_COUNTS:
        labels = [f" {name}" for name in category_names(count)]
        # One more label, which another begins but nobody scores, makes sure of the end token, the dearer case, at every count.
        asked, shortlist = [*labels, labels[0] + labels[1]], np.arange(count)[None]
        counts = lm.token_counts(asked)[:-1]
        ways: dict[str, Callable[[], object]] = {
            "naive": partial(naive, lm, prompt, labels),
            "batched": partial(replace(lm, way="plain").score_shortlists, [prompt], asked, shortlist),
            "engine": partial(lm.score_shortlists, [prompt], asked, shortlist),
            "prompt": partial(prompt_alone, lm, prompt),
        }
        took, answers = measure(ways, repeats if count < 512 else max(1, repeats // 3))
        difference = float(np.abs(answers["engine"] - answers["naive"]).max())
        print(f"{count:>6} {counts.mean():>6.1f} " + " ".join(f"{1000 * took[way]:>8.0f}" for way in ways)
              + f" {took['naive'] / took['engine']:>12.1f}x {took['batched'] / took['engine']:>14.1f}x"
              + f" {took['engine'] / took['prompt']:>13.2f}x {difference:>11.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
