"""The fast gradient method: embeddings moved to where the loss is worst, for one step; the trap is to put them back to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def perturbed(embeddings: torch.nn.Parameter, length: float) -> Iterator[None]:
    """Move embeddings by so much along their gradient, where the loss grows fastest, and put them back exactly (FGM, Miyato et al. 2017).

    Nothing moves where there is no gradient.
    """
    gradient = embeddings.grad
    norm = torch.linalg.norm(gradient) if gradient is not None else torch.zeros(())
    kept = embeddings.detach().clone()
    if gradient is not None and norm > 0:
        embeddings.data.add_(gradient, alpha=length / float(norm))
    try:
        yield
    finally:
        embeddings.data.copy_(kept)
