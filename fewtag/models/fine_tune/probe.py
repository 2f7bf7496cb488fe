"""Gives a fresh head a start: fitted alone on what the untouched body says, so that fine-tuning does not begin with noise.

Linear probing, then fine-tuning (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features"): through a random head, the first
steps would teach the body nonsense. The trap: a body that was trained by averaging its tokens has a pooler that was never trained, and
that lets nothing through. It is made to let its first token through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers.utils.hub import cached_file

from fewtag.models.device import best_dtype
from fewtag.models.source import Source
from fewtag.progress import bar

BATCH: Final = 64
ITERATIONS: Final = 100
DECAY: Final = 1e-3
"""The weight of the squared head in what is minimised; the loss is a mean over examples."""


def open_pooler(model: Any, source: Source) -> None:
    """Make the pooler of a sentence-transformers body the identity (before its tanh); any other body is left as it is."""
    dense = getattr(getattr(model.base_model, "pooler", None), "dense", None)
    if dense is None or cached_file(source.place, "modules.json", _raise_exceptions_for_missing_entries=False, **source.arguments) is None:
        return
    with torch.no_grad():
        torch.nn.init.eye_(dense.weight)
        torch.nn.init.zeros_(dense.bias)


def fit_head(model: Any, collate: Any, rows: Sequence[dict[str, Any]], loss: Any) -> None:
    """Fit the last linear layer by L-BFGS on the features that the body gives of rows, (n); `loss` is called as the Trainer calls it."""
    last = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
    numbers, features = _features(model, last, collate, rows)
    head = torch.nn.Linear(last.in_features, last.out_features, device=features.device)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        total: torch.Tensor = loss(_Outputs(head(features)), numbers) + DECAY * head.weight.square().sum() / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        last.weight.copy_(head.weight)
        if last.bias is not None:
            last.bias.copy_(head.bias)


class _Outputs:
    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


def _features(model: Any, last: torch.nn.Linear, collate: Any, rows: Sequence[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the numbers of the rows, (n,), and what goes into the last layer for each, float32 (n, dimensions)."""
    taken: list[torch.Tensor] = []
    numbers: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda module, given: taken.append(given[0].float()))
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    device = model.device
    dtype = best_dtype(device.type)
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32), bar("reading", len(rows)) as done:
            for start in range(0, len(ordered), BATCH):
                batch = collate(ordered[start : start + BATCH]).to(device)
                numbers.append(batch.pop("labels"))
                model(**batch)
                done.update(len(numbers[-1]))
    finally:
        hook.remove()
    return torch.cat(numbers), torch.cat(taken)
