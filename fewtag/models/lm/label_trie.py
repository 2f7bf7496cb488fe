"""Label tries: the tokens of many labels as one tree, so that a prefix that labels share is computed once, in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LabelTrie:
    """The tokens that a model must read to score some labels, laid out parents first; node 0 stands for the prompt's last token.

    Only tokens with a successor are nodes: a label's last token is never read, only predicted. An edge is one prediction.

    nodes       int64 (n_nodes,): each node's token; node 0's is a placeholder, as it differs from prompt to prompt
    depth       int64 (n_nodes,): tokens between the prompt's last and the node, so the node's offset in position
    sees        bool (n_nodes, n_nodes): row i is true at i and at i's ancestors, the nodes that i attends to
    edges       int64 (n_edges, 2): the node that predicts, and the token that it predicts
    label_edges int64 (n_labels, longest): the edges of each label, in the order of its tokens, padded with n_edges
    labels      int64 (n_labels,): where each label stands in the list that the caller gave
    """

    nodes: npt.NDArray[np.int64]
    depth: npt.NDArray[np.int64]
    sees: npt.NDArray[np.bool_]
    edges: npt.NDArray[np.int64]
    label_edges: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

    @classmethod
    def build(cls, labels: Sequence[Tokens], places: Sequence[int] | None = None) -> LabelTrie:
        """Build the trie of labels, each at least one token long; `places` are their places in the caller's list.

        >>> trie = LabelTrie.build([(5, 6), (5, 7), (8,)])
        >>> trie.nodes.tolist(), trie.edges.tolist()
        ([0, 5], [[0, 5], [1, 6], [1, 7], [0, 8]])
        >>> trie.label_edges.tolist()
        [[0, 1], [0, 2], [3, 4]]
        """
        node_of: dict[Tokens, int] = {(): 0}
        edge_of: dict[Tokens, int] = {}
        edges: list[tuple[int, int]] = []
        for label in labels:
            for length in range(1, len(label) + 1):
                prefix = label[:length]
                if prefix not in edge_of:
                    edge_of[prefix] = len(edges)
                    edges.append((node_of[prefix[:-1]], prefix[-1]))
                if length < len(label):
                    node_of.setdefault(prefix, len(node_of))
        sees = np.eye(len(node_of), dtype=np.bool_)
        for prefix, node in node_of.items():  # parents come first, so the parent's row is complete
            sees[node] |= sees[node_of[prefix[:-1]]]
        label_edges = np.full((len(labels), max(map(len, labels), default=0)), len(edges), dtype=np.int64)
        for row, label in enumerate(labels):
            label_edges[row, : len(label)] = [edge_of[label[:length]] for length in range(1, len(label) + 1)]
        return cls(
            nodes=np.array([prefix[-1] if prefix else 0 for prefix in node_of], dtype=np.int64),
            depth=np.array([len(prefix) for prefix in node_of], dtype=np.int64),
            sees=sees,
            edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
            label_edges=label_edges,
            labels=np.array(range(len(labels)) if places is None else places, dtype=np.int64),
        )

    def __len__(self) -> int:
        """Return the number of nodes, which is the number of tokens to read."""
        return len(self.nodes)


@lru_cache(maxsize=64)
def tries(labels: tuple[Tokens, ...], max_nodes: int) -> list[LabelTrie]:
    """Cut labels into tries of at most `max_nodes` nodes each (a single label that is longer gets a trie of its own).

    Labels are taken in the order of their tokens, so that neighbours share prefixes and a cut repeats only one path.
    The answer is kept, as all prompts of a run mostly ask for the same labels.

    >>> [trie.labels.tolist() for trie in tries(((5, 6), (8, 1), (5, 7), (8, 2)), max_nodes=2)]
    [[0, 2], [1, 3]]
    """
    chunks: list[list[int]] = []
    size, previous = 0, Tokens()
    for place in sorted(range(len(labels)), key=lambda place: labels[place]):
        added = len(labels[place]) - 1 - shared_prefix(previous, labels[place])
        if not chunks or size + added > max_nodes:
            chunks.append([])
            size, added = 1, len(labels[place]) - 1
        chunks[-1].append(place)
        size, previous = size + added, labels[place][:-1]
    return [LabelTrie.build([labels[place] for place in chunk], chunk) for chunk in chunks]


def shared_prefix(one: Sequence[object], other: Sequence[object]) -> int:
    """Return the number of tokens at which two sequences are alike from their start.

    >>> shared_prefix((1, 2, 3), (1, 2, 4, 5))
    2
    """
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def one_begins_another(labels: Sequence[Tokens]) -> bool:
    """Say whether the tokens of some label are the beginning of a longer label's: then only an end token tells them apart.

    >>> one_begins_another([(4, 5), (9,), (4, 5, 6)]), one_begins_another([(4, 5), (9,), (4, 6)])
    (True, False)
    """
    return any(short != long and long[: len(short)] == short for short, long in pairwise(sorted(set(labels))))
