"""The loss of the fine-tune rung: -log of the probability of what a label allows, on its own level and on those above it.

For gold "Toys > Dolls", the probabilities of all toys are summed and asked for too, so that a kite is a smaller error than a tea
(a relative of the hierarchical cross-entropy of Bertinetto et al. 2020). A negative label asks for all other classes.
The trap: sums of small probabilities vanish in float16 and their logarithm explodes, so everything is a logsumexp in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fewtag.models.fine_tune.examples import Examples, Mask, Subtrees, Target, Weights
from fewtag.taxonomy import Taxonomy


class HierarchyLoss:
    """Called with a model's outputs and the numbers of the examples that they belong to, as the Trainer's `compute_loss_func`.

    An example's loss is -log p(own) + `hierarchy` * mean over its ancestors of -log p(ancestor's subtree); with label smoothing the
    first part is (1 - smoothing) of itself and smoothing of the mean -log p over all classes. Negative labels know no ancestors and
    no smoothing. `weight`, (n,), multiplies each example's.
    """

    def __init__(self, taxonomy: Taxonomy, examples: Examples, weight: Weights, *, hierarchy: float, smoothing: float = 0.0) -> None:
        subtrees = Subtrees(taxonomy, examples.classes)
        masks: dict[bytes, int] = {}
        rows: list[Mask] = []

        def place(mask: Mask) -> int:
            if mask.tobytes() not in masks:
                masks[mask.tobytes()] = len(rows)
                rows.append(mask)
            return masks[mask.tobytes()]

        everything = place(np.ones(len(examples.classes), dtype=bool))  # its loss is 0: the filler of short paths
        own = [place(subtrees.allowed(target)) for target in examples.targets]
        above = [[place(subtrees.below(node)) for node in levels(taxonomy, target)] for target in examples.targets]
        depth = max(map(len, above))
        self.levels = torch.tensor(
            [[first, *rest, *[everything] * (depth - len(rest))] for first, rest in zip(own, above, strict=True)], dtype=torch.long
        )
        self.shares = torch.tensor(
            [[1.0, *[hierarchy / max(len(rest), 1)] * len(rest), *[0.0] * (depth - len(rest))] for rest in above], dtype=torch.float32
        )
        self.smoothing = torch.tensor([0.0 if target.negative else smoothing for target in examples.targets])
        self.masks = torch.from_numpy(np.array(rows))
        self.target, self.weight = torch.from_numpy(examples.target), torch.from_numpy(weight)

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> torch.Tensor:
        """Return the sum of the examples' losses over their number: in the batch, or in all batches that make up one step."""
        numbers = labels.to(self.target.device)
        target = self.target[numbers]
        losses = self.each(outputs.logits, target) * self.weight[numbers].to(outputs.logits.device)
        return losses.sum() / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    def each(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the unweighted loss of each row of logits, (n, n_classes), for the number of its target, (n,); float32 (n,)."""
        logs = torch.log_softmax(logits.float(), dim=-1)
        masks = self.masks[self.levels[target]].to(logs.device)
        levels = -torch.logsumexp(logs.unsqueeze(1).masked_fill(~masks, -torch.inf), dim=-1)
        smoothing = self.smoothing[target].to(logs.device)
        own = (1 - smoothing) * levels[:, 0] + smoothing * -logs.mean(dim=-1)
        shares = self.shares[target].to(logs.device)
        return shares[:, 0] * own + (shares[:, 1:] * levels[:, 1:]).sum(dim=-1)


def levels(taxonomy: Taxonomy, target: Target) -> tuple[str, ...]:
    """Return the categories above a target whose subtrees hold it; of an inner class, its own subtree is one; of a negative, none.

    >>> levels(Taxonomy.from_paths(["Toys", "Toys > Dolls"]), Target("toys"))
    ('toys',)
    """
    if target.negative:
        return ()
    itself = (target.category,) if target.category in taxonomy.index and taxonomy.children(target.category) else ()
    return (*taxonomy.ancestors(target.category), *itself)
