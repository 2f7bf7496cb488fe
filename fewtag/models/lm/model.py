"""The label-likelihood engine: how likely a language model finds each label after each prompt, exactly, and each prompt read once.

The trap is the seam: the space between prompt and label belongs to the label (" tea"), since tokenizers glue it to the word that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fewtag.errors import ModelError
from fewtag.models.device import best_device, best_dtype
from fewtag.models.lm.label_trie import Tokens, one_begins_another
from fewtag.models.lm.likelihood import WAYS, Budget, Scores, Way, way_of
from fewtag.models.source import WORKS_OFFLINE, Source, loading_quietly, locate

TOKENS_PER_PASS: Final = 4096
PREDICTIONS_PER_PASS: Final = 1024
LOGITS_PER_PASS: Final = 2**26
"""Floats, so 256 MB: a vocabulary of 150,000 leaves room for 447 predictions."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal or sequence-to-sequence model of transformers with its tokenizer; `way` is how label likelihoods are computed.

    A label's score is the sum of the log-probabilities of its tokens after the prompt. An end token closes every label, and is scored
    with it, where the model has a token of its own that opens an answer (sequence-to-sequence, prefix), or where the tokens of one label
    begin another's ("tea", "tea bags"): without an end the shorter could never score below the longer. That is decided on the whole list
    of labels, so give the same list in every call.
    """

    source: Source
    model: Any
    tokenizer: Any
    way: Way
    budget: Budget
    _tokenized: dict[tuple[str, ...], list[Tokens]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, source: Source | str, *, device: str | None = None, dtype: str | None = None) -> LanguageModel:
        """Load a model that was located, or find it by hub id or local folder first.

        Device and dtype (`float32`, `bfloat16`) default to the best that the machine has.

        Raises ModelError where the model cannot be had or has no language-model head.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        from fewtag.models.lm import prefix

        prefix.register()
        source = locate(source) if isinstance(source, str) else source
        device = device or best_device()
        number_format = getattr(torch, dtype) if dtype else best_dtype(device)
        try:
            with loading_quietly():
                config = AutoConfig.from_pretrained(source.place, **source.arguments)
                kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
                tokenizer = AutoTokenizer.from_pretrained(source.place, **source.arguments)
                loaded: Any = kind.from_pretrained(source.place, dtype=number_format, output_loading_info=True, **source.arguments)
        except (OSError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ModelError(f"the language model '{source.name}' cannot be loaded: {reason}", mend=WORKS_OFFLINE) from error
        model, loading = loaded
        if loading["missing_keys"]:
            lacking = ", ".join(sorted(loading["missing_keys"])[:3])
            raise ModelError(
                f"'{source.name}' is no language model, its weights lack {lacking}", mend="name a causal or sequence-to-sequence model"
            )
        model = model.to(device).eval()
        predictions = min(PREDICTIONS_PER_PASS, LOGITS_PER_PASS // model.config.get_text_config().vocab_size)
        budget = Budget(TOKENS_PER_PASS, predictions)
        return cls(source, model, tokenizer, way_of(model), budget)

    @property
    def name(self) -> str:
        """The name that the model was asked for by."""
        return self.source.name

    def score(self, prompts: Sequence[str], labels: Sequence[str], *, chat: bool = False) -> Scores:
        """Return the summed log-probability of every label after every prompt, float32 (n_prompts, n_labels).

        With `chat` each prompt is the user's turn of a conversation, put into the tokenizer's chat template.
        """
        every = np.broadcast_to(np.arange(len(labels)), (len(prompts), len(labels)))
        return self.score_shortlists(prompts, labels, every, chat=chat)

    def score_shortlists(
        self, prompts: Sequence[str], labels: Sequence[str], shortlists: npt.NDArray[np.integer], *, chat: bool = False
    ) -> Scores:
        """Score for each prompt a shortlist of the labels, given as places in `labels`, (n_prompts, k); returns float32 (n_prompts, k)."""
        import torch

        scores = np.empty(shortlists.shape, dtype=np.float32)
        if not scores.size:
            return scores
        label_tokens = self._label_tokens(labels)
        prompt_tokens = self._prompt_tokens(self._turns(prompts) if chat else prompts, self._room(labels, label_tokens))
        asked = {row.tobytes(): row for row in shortlists}
        wanted = {key: tuple(label_tokens[place] for place in row) for key, row in asked.items()}
        order = sorted(range(len(prompts)), key=lambda row: -len(prompt_tokens[row]))
        with torch.inference_mode():
            while order:
                size = max(1, self.budget.tokens // len(prompt_tokens[order[0]]))
                batch, order = order[:size], order[size:]
                rows = [wanted[shortlists[row].tobytes()] for row in batch]
                scores[batch] = WAYS[self.way](self.model, [prompt_tokens[row] for row in batch], rows, self.budget)
        return scores

    def write(self, prompt: str, most: int, *, chat: bool = False) -> str:
        """Return what the model writes after a prompt: the likeliest token each time, `most` of them, or up to a blank line.

        Raises ModelError where the model cannot write.
        """
        import copy

        import torch

        if not getattr(self.model, "can_generate", bool)():
            raise ModelError(f"'{self.name}' cannot write text", mend="leave out `models: {enrich: true}`, or name a causal model as lm")
        limit: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        most = min(most, limit // 2) if limit else most
        [tokens] = self._prompt_tokens(self._turns([prompt]) if chat else [prompt], limit and limit - most)
        settings = copy.deepcopy(self.model.generation_config)
        end = settings.eos_token_id if settings.eos_token_id is not None else self.tokenizer.eos_token_id
        pad = self.tokenizer.pad_token_id
        settings.update(do_sample=False, num_beams=1, temperature=1.0, top_p=1.0, top_k=50, max_length=None, max_new_tokens=most)
        settings.update(eos_token_id=end, pad_token_id=0 if pad is None else pad, stop_strings=["\n\n"])
        read = torch.tensor([tokens], device=self.model.device)
        with torch.inference_mode():
            said = self.model.generate(read, attention_mask=torch.ones_like(read), generation_config=settings, tokenizer=self.tokenizer)[0]
        return str(self.tokenizer.decode(said if self.way == "seq2seq" else said[len(tokens) :], skip_special_tokens=True))

    def token_counts(self, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the number of tokens that each label's score sums over, its end token included, (n_labels,)."""
        return np.array([len(tokens) for tokens in self._label_tokens(labels)], dtype=np.int64)

    def _label_tokens(self, labels: Sequence[str]) -> list[Tokens]:
        """Tokenize labels, the same list only once: ten thousand of them take half a second."""
        key = tuple(labels)
        if key not in self._tokenized:
            self._tokenized.clear()
            self._tokenized[key] = self._tokenize_labels(labels)
        return self._tokenized[key]

    def _tokenize_labels(self, labels: Sequence[str]) -> list[Tokens]:
        """Tokenize each label as it would follow a prompt, and close all of them with the end token where that is needed."""
        seq2seq = self.way == "seq2seq"
        tokens = [self._ids(label.strip()) if seq2seq else self._continuation(label) for label in labels]
        for label, ids in zip(labels, tokens, strict=True):
            if not ids:
                raise ModelError(f"the label '{label}' has no tokens in '{self.name}'", mend="give the category a name that can be read")
        opened = getattr(self.model.config, "decoder_start_token_id", None) is not None
        if not (opened or one_begins_another(tokens)):
            return tokens
        end = self.tokenizer.eos_token_id
        if end is None:
            raise ModelError(f"the tokenizer of '{self.name}' has no end token, which these labels need", mend="set its eos_token")
        return [(*ids, end) for ids in tokens]

    def _continuation(self, label: str) -> Tokens:
        """Tokenize a label behind a line break, so that a tokenizer that opens every text with a space of its own spends it there."""
        before, together = self._ids("\n"), self._ids(f"\n{label}")
        return together[len(before) :] if together[: len(before)] == before else self._ids(label)

    def _ids(self, text: str) -> Tokens:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _turns(self, prompts: Sequence[str]) -> list[str]:
        """Put each prompt into the chat template as the user's turn; `enable_thinking` keeps Qwen3 from reasoning before its answer."""
        if not self.tokenizer.chat_template:
            raise ModelError(f"'{self.name}' has no chat template", mend="use a completion prompt such as category.v1")
        fixed: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        return [self.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], **fixed) for prompt in prompts]

    def _prompt_tokens(self, prompts: Sequence[str], room: int | None) -> list[Tokens]:
        """Tokenize prompts with the special tokens that the model expects; one that exceeds the room loses its middle.

        The middle is where the product text is: the template's opening is kept, and a quarter of the room for its end.
        """
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        every: list[Tokens] = []
        for prompt, ids in zip(prompts, self.tokenizer(list(prompts), verbose=False)["input_ids"], strict=True):
            if bos is not None and ids[:2] == [bos, bos]:  # the chat template wrote one already
                ids = ids[1:]
            if self.way != "seq2seq" and eos is not None and eos != bos and ids[-1:] == [eos]:  # nothing would follow an end
                ids = ids[:-1]
            if not ids:
                raise ModelError(f"the prompt {prompt!r} has no tokens in '{self.name}'", mend="give the prompt some text")
            tail = room // 4 if room else 0
            every.append(tuple(ids if not room or len(ids) <= room else [*ids[: room - tail], *ids[len(ids) - tail :]]))
        return every

    def _room(self, labels: Sequence[str], label_tokens: Sequence[Tokens]) -> int | None:
        """Return how many tokens of the model's context the longest label leaves to the prompt; None where there is no limit."""
        limit: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is None:
            return None
        longest = max(range(len(labels)), key=lambda place: len(label_tokens[place]))
        used = len(label_tokens[longest])
        if used > limit // 2:
            problem = f"the label '{labels[longest]}' takes {used} of the {limit} tokens that '{self.name}' can read"
            raise ModelError(problem, mend="shorten the category's name, or use a model with a longer context")
        return limit - used
