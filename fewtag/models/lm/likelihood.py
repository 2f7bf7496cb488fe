"""Three ways to the same log-likelihoods of labels: a token tree over a shared prompt cache, a shared encoder, and no sharing at all.

The trap: sharing is exact only where a model's state is its keys and values, one entry per token. `way_of` proves that before it is used.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fewtag.models.lm.label_trie import LabelTrie, Tokens, tries

if TYPE_CHECKING:
    import torch

Way = Literal["tree", "seq2seq", "plain"]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Budget:
    """What one forward pass may hold: `tokens` read, and `predictions` (rows of logits, each as wide as the vocabulary)."""

    tokens: int
    predictions: int


def tree_scores(model: Any, prompts: Sequence[Tokens], labels: Sequence[tuple[Tokens, ...]], budget: Budget) -> Scores:
    """Read each prompt once, then all its labels in one packed pass: every token attends to the prompt and to its own ancestors.

    `labels[row]` are the labels of `prompts[row]`, as many for each; returns their summed log-probabilities, (n_prompts, n_labels).
    """
    cache, width = _read_all_but_last(model, prompts)
    room = max(1, budget.predictions // len(prompts))
    scores = np.empty((len(prompts), len(labels[0])), dtype=np.float32)
    for column in zip_longest(*(tries(row, room) for row in labels), fillvalue=LabelTrie.build([])):
        log_probs = _read_tries(model, (cache, width), prompts, column)
        for row, trie in enumerate(column):
            parents, tokens = (_on(model, side) for side in trie.edges.T)
            edges = log_probs[row, parents, tokens].cpu().numpy()
            scores[row, trie.labels] = np.append(edges, np.float32(0))[trie.label_edges].sum(1)
    return scores


def _read_all_but_last(model: Any, prompts: Sequence[Tokens]) -> tuple[Any, int]:
    """Fill a key/value cache with the prompts but for their last tokens, padded on the right; return it and its width.

    The mask hides the padding from a model that reads a prompt from both sides; a first token is always shown, as a row that sees
    nothing gives NaN.
    """
    tokens = _padded([prompt[:-1] for prompt in prompts], at_least=1)
    real = np.arange(tokens.shape[1]) < np.array([max(1, len(prompt) - 1) for prompt in prompts])[:, None]
    read = model(input_ids=_on(model, tokens), attention_mask=_on(model, real.astype(np.int64)), use_cache=True, logits_to_keep=1)
    return getattr(read, "past_key_values", None), tokens.shape[1]


def _read_tries(model: Any, read: tuple[Any, int], prompts: Sequence[Tokens], column: Sequence[LabelTrie]) -> torch.Tensor:
    """Return the log-probabilities after every node of each prompt's trie, (n_prompts, nodes, vocabulary); the cache is left as it was."""
    import torch

    cache, width = read
    size = max(map(len, column))
    tokens = np.zeros((len(prompts), size), dtype=np.int64)
    positions = np.zeros_like(tokens)
    visible = np.zeros((len(prompts), 1, size, width + size), dtype=np.bool_)
    visible[..., width] = True  # node 0 is everybody's ancestor, also of the padding, for a row that sees nothing gives NaN
    for row, (prompt, trie) in enumerate(zip(prompts, column, strict=True)):
        nodes = len(trie)
        tokens[row, :nodes] = trie.nodes
        tokens[row, 0] = prompt[-1]
        positions[row, :nodes] = len(prompt) - 1 + trie.depth
        visible[row, 0, :, : len(prompt) - 1] = True
        visible[row, 0, :nodes, width : width + nodes] = trie.sees
    hidden = torch.zeros(visible.shape, dtype=model.dtype, device=model.device)
    hidden.masked_fill_(~_on(model, visible), torch.finfo(model.dtype).min)
    ids, places = _on(model, tokens), _on(model, positions)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=hidden, position_ids=places, past_key_values=cache, use_cache=True).logits
    cache.crop(-size)
    return logits.float().log_softmax(-1)


def seq2seq_scores(model: Any, prompts: Sequence[Tokens], labels: Sequence[tuple[Tokens, ...]], budget: Budget) -> Scores:
    """Encode each prompt once and share it, with the decoder's first step, between its labels, which the decoder reads side by side.

    The labels are not packed into a tree, since relative position biases (T5) come from the order of the tokens in the pass.
    """
    tokens = _padded(prompts)
    ids = _on(model, tokens)
    mask = _on(model, np.array([[place < len(prompt) for place in range(tokens.shape[1])] for prompt in prompts], dtype=np.int64))
    encoded = model.get_encoder()(input_ids=ids, attention_mask=mask)
    start = ids.new_full((len(prompts), 1), model.config.decoder_start_token_id)
    first = model(encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=start, use_cache=True)
    longest = max(len(label) for row in labels for label in row)
    step = max(1, min(budget.tokens // (tokens.shape[1] + longest), budget.predictions // longest) // len(prompts))
    parts = []
    for at in range(0, len(labels[0]), step):
        asked = [row[at : at + step] for row in labels]
        flat, repeats = [label for row in asked for label in row], len(asked[0])
        cache = copy.deepcopy(first.past_key_values)
        cache.batch_repeat_interleave(repeats)
        encoded_again = type(encoded)(last_hidden_state=encoded.last_hidden_state.repeat_interleave(repeats, 0))
        rest = model(
            encoder_outputs=encoded_again,
            attention_mask=mask.repeat_interleave(repeats, 0),
            decoder_input_ids=_on(model, _padded([label[:-1] for label in flat])),
            past_key_values=cache,
            use_cache=True,
        )
        opening = _summed(first.logits.repeat_interleave(repeats, 0), [label[:1] for label in flat], np.zeros(len(flat), dtype=np.int64))
        parts.append(opening + _summed(rest.logits, [label[1:] for label in flat], np.zeros(len(flat), dtype=np.int64)))
    return np.concatenate([part.reshape(len(prompts), -1) for part in parts], axis=1)


def plain_scores(model: Any, prompts: Sequence[Tokens], labels: Sequence[tuple[Tokens, ...]], budget: Budget) -> Scores:
    """Read every prompt and label together from the start, in batches padded on the right: right for any causal model, and the slowest."""
    pairs = [(prompt, label) for prompt, row in zip(prompts, labels, strict=True) for label in row]
    width = max(len(prompt) + len(label) - 1 for prompt, label in pairs)
    keep = width - min(map(len, prompts)) + 1
    narrow = "logits_to_keep" in inspect.signature(model.forward).parameters
    step = max(1, min(budget.tokens // width, budget.predictions // (keep if narrow else width)))
    parts = []
    for at in range(0, len(pairs), step):
        chunk = pairs[at : at + step]
        tokens = _padded([prompt + label[:-1] for prompt, label in chunk], at_least=width)
        ids = _on(model, tokens)
        logits = model(input_ids=ids, attention_mask=ids.new_ones(ids.shape), **({"logits_to_keep": keep} if narrow else {})).logits
        starts = np.array([len(prompt) - 1 - (width - keep) for prompt, _ in chunk], dtype=np.int64)
        parts.append(_summed(logits[:, -keep:], [label for _, label in chunk], starts))
    return np.concatenate(parts).reshape(len(prompts), -1)


WAYS: Final[dict[Way, Callable[[Any, Sequence[Tokens], Sequence[tuple[Tokens, ...]], Budget], Scores]]] = {
    "tree": tree_scores,
    "seq2seq": seq2seq_scores,
    "plain": plain_scores,
}


def way_of(model: Any) -> Way:
    """Return the fastest way that is exact for this model."""
    if model.config.is_encoder_decoder:
        return "seq2seq"
    return "tree" if _takes_trees(model) else "plain"


def _takes_trees(model: Any) -> bool:
    """Say whether a causal model takes a tree mask, own positions and a cache that is cut back, and gives the plain answer then.

    Recurrent and hybrid models (Mamba, RWKV, Qwen3-Next) and sliding windows fail by the type of their cache, position schemes
    that are drawn from the mask (ALiBi) by the signature; what the two do not show, a trial on a few tokens does.
    """
    import torch
    from transformers.cache_utils import DynamicLayer

    accepted = inspect.signature(model.forward).parameters
    if not (getattr(model, "_supports_attention_backend", False) and {"position_ids", "logits_to_keep"} <= accepted.keys()):
        return False
    opener = getattr(model.config, "decoder_start_token_id", None)  # where a model has one, its prompts end with it
    opens = () if opener is None else (opener,)
    prompts = [(*(token % model.config.vocab_size for token in range(length)), *opens) for length in (7, 3)]
    labels = tuple(tuple(token % model.config.vocab_size for token in label) for label in ((8, 9, 10), (8, 9, 11), (8, 12), (13,)))
    with torch.inference_mode():
        cache, _ = _read_all_but_last(model, prompts)
        layers = getattr(cache, "layers", ())
        if not layers or any(type(layer) is not DynamicLayer for layer in layers):
            return False
        trial = (model, prompts, [labels, labels], Budget(tokens=64, predictions=64))
        tolerance = 1e-3 if model.dtype == torch.float32 else 0.25
        return bool(np.allclose(tree_scores(*trial), plain_scores(*trial), rtol=0, atol=tolerance))


def _padded(rows: Sequence[Tokens], at_least: int = 0) -> npt.NDArray[np.int64]:
    """Return token rows as one matrix, padded on the right with token 0, which nobody gets to see."""
    matrix = np.zeros((len(rows), max(at_least, *map(len, rows), 0)), dtype=np.int64)
    for row, tokens in enumerate(rows):
        matrix[row, : len(tokens)] = tokens
    return matrix


def _on(model: Any, array: npt.NDArray[Any]) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(model.device)


def _summed(logits: torch.Tensor, labels: Sequence[Tokens], starts: npt.NDArray[np.int64]) -> Scores:
    """Return per row the summed log-probability of its label, whose first token is predicted by the logits at `starts`."""
    import torch

    targets = _padded(labels)
    offsets = np.arange(targets.shape[1])
    places = np.minimum(starts[:, None] + offsets, logits.shape[1] - 1)
    real = offsets < np.array([len(label) for label in labels])[:, None]
    rows, at, wanted = (torch.from_numpy(index).to(logits.device) for index in (np.arange(len(labels))[:, None], places, targets))
    log_probs = logits.float().log_softmax(-1)[rows, at, wanted].cpu().numpy()
    summed: Scores = np.where(real, log_probs, 0).sum(1).astype(np.float32)
    return summed
