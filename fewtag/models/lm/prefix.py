"""A prefix language model: BERT that reads what is asked from both sides, and writes the answer from left to right (Dong et al. 2019).

What stands before the token that opens an answer (`config.decoder_start_token_id`) sees all of itself; that token and what follows see
all before them. The trap: how far the question goes is read off the tokens, so a part that is read without that token is all question.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertLMHeadModel


class PrefixConfig(BertConfig):  # type: ignore[no-untyped-call]
    """BERT's settings as a decoder's; `decoder_start_token_id` opens every answer, and `eos_token_id` ends it."""

    model_type = "fewtag-prefix"


class PrefixLM(BertLMHeadModel):  # type: ignore[no-untyped-call]
    """BERT with its language-model head under the mask of a prefix language model; all else is as transformers has it."""

    config_class = PrefixConfig

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        position_ids: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **rest: Any,
    ) -> Any:
        """Return logits as any causal model does; a mask of four dimensions is taken as it is, (n, 1, new, seen + new)."""
        if attention_mask is None or attention_mask.dim() == 2:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            visible = prefix_mask(input_ids, self.config.decoder_start_token_id, seen)
            if attention_mask is not None:
                visible &= attention_mask[:, None, None, : visible.shape[-1]].bool()
            attention_mask = additive(visible, self.dtype)
        inputs = {"past_key_values": past_key_values, "position_ids": position_ids, "logits_to_keep": logits_to_keep, **rest}
        return super().forward(input_ids, attention_mask=attention_mask, **inputs)


def prefix_mask(input_ids: torch.Tensor, opener: int, seen: int = 0) -> torch.Tensor:
    """Say which token sees which, bool (n, 1, new, seen + new): all before it, and within the question all of it.

    >>> prefix_mask(torch.tensor([[5, 6, 1, 7]]), opener=1)[0, 0].int().tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    """
    rows, new = input_ids.shape
    order = torch.arange(seen + new, device=input_ids.device)
    before = order[None, :] <= order[seen:, None]
    question = torch.zeros((rows, seen + new), dtype=torch.bool, device=input_ids.device)
    if not seen:
        question[:] = (input_ids == opener).cumsum(dim=1) == 0
    both: torch.Tensor = before[None] | (question[:, seen:, None] & question[:, None, :])
    return both[:, None]


def additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask as attention adds it to its scores: 0 where a token is seen, and the least number of the format where not."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, torch.finfo(dtype).min)


def register() -> None:
    """Let transformers' Auto classes know the model, so that a folder of it loads as any other's."""
    AutoConfig.register(PrefixConfig.model_type, PrefixConfig, exist_ok=True)
    AutoModelForCausalLM.register(PrefixConfig, PrefixLM, exist_ok=True)
