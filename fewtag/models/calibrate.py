"""Takes a model's bias out of its scores: one prior, estimated one of four ways, subtracted from any matrix of log-scores, cosine too.

Every method here says the same thing: a model favours some labels before it has seen the product. They differ in what they show the
model to find that favour out: nothing (PMI-DC, contextual), nonsense of the domain (domain-context), or the catalogue itself (batch).
The trap: the catalogue's mean holds its real proportions beside the model's favour, so taking all of it out makes every category
equally frequent; `strength` says how much of it goes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]

TINY = 1e-12
"""Keeps the logarithm of a probability of zero finite."""
NEVER = -20.0
"""The log-probability of a category that a rung has no label of, and the least that it says of any other."""


def log_softmax(scores: Matrix) -> Matrix:
    """Turn rows of scores into rows of log-probabilities; (n, n_labels) to (n, n_labels).

    >>> np.exp(log_softmax(np.log(np.float32([[1, 3]])))).astype(float).round(2).tolist()
    [[0.25, 0.75]]
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    result: Matrix = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def token_mean(log_likelihoods: Matrix, token_counts: npt.NDArray[np.integer]) -> Matrix:
    """Divide each label's log-likelihood by its number of tokens, so that long names are not punished for their length.

    >>> token_mean(np.float32([[-6, -2]]), np.array([3, 1])).tolist()
    [[-2.0, -2.0]]
    """
    return np.asarray(log_likelihoods / token_counts, dtype=np.float32)


def pmi_prior(null_log_likelihoods: Matrix) -> Vector:
    """Estimate the prior of PMI-DC: a label's log-likelihood after a prompt without a product (Holtzman et al. 2021).

    Takes (n_prompts, n_labels), as several prompts may stand for "no product", and returns (n_labels,).

    >>> pmi_prior(np.float32([[-1, -4]])).tolist()
    [-1.0, -4.0]
    """
    return np.asarray(null_log_likelihoods.mean(axis=0), dtype=np.float32)


def content_free_prior(null_log_likelihoods: Matrix) -> Vector:
    """Estimate the prior as the mean distribution over labels after content-free prompts; (n_prompts, n_labels) to (n_labels,).

    With prompts such as "N/A" it is contextual calibration (Zhao et al. 2021); with random words of the catalogue in the
    product's place it is domain-context calibration (Fei et al. 2023).

    >>> np.exp(content_free_prior(np.log(np.float32([[0.9, 0.1], [0.7, 0.3]])))).astype(float).round(2).tolist()
    [0.8, 0.2]
    """
    return batch_prior(null_log_likelihoods)


def batch_prior(scores: Matrix) -> Vector:
    """Estimate the prior as the mean distribution over the products themselves; (n, n_labels) to (n_labels,) (Zhou et al. 2023).

    >>> np.exp(batch_prior(np.log(np.float32([[0.9, 0.1], [0.5, 0.5]])))).astype(float).round(2).tolist()
    [0.7, 0.3]
    """
    result: Vector = np.log(np.exp(log_softmax(scores)).mean(axis=0) + TINY)
    return result


def remove_prior(scores: Matrix, log_prior: Vector, strength: float = 1.0, groups: npt.NDArray[np.integer] | None = None) -> Matrix:
    """Subtract `strength` times the prior from log-scores, (n, n_labels); the rows are not normalised again.

    With `groups`, (n_labels,) numbers, the prior is taken within each group of siblings: labels of one parent are weighed
    against each other, and the groups among themselves keep their proportions.

    >>> remove_prior(np.float32([[0, 0]]), np.log(np.float32([0.8, 0.2])), strength=0.5).astype(float).round(3).tolist()
    [[0.112, 0.805]]
    >>> prior = np.log(np.float32([0.4, 0.1, 0.5]))
    >>> remove_prior(np.float32([[0, 0, 0]]), prior, groups=np.array([0, 0, 1])).astype(float).round(3).tolist()
    [[0.223, 1.609, 0.0]]
    """
    if groups is not None:
        totals = np.full(int(groups.max()) + 1, -np.inf)
        np.logaddexp.at(totals, groups, log_prior)  # a log-likelihood of -200 is zero outside of the logarithm
        log_prior = log_prior - totals[groups].astype(np.float32)
    result: Matrix = scores - np.float32(strength) * log_prior
    return result


def proportions(log_probabilities: Matrix, strength: float = 1.0, rounds: int = 20) -> Vector:
    """Return what to add to log-probabilities, (n, n_labels), so that the labels are as frequent as the products say; (n_labels,).

    A model that was taught every label alike is unaware of how frequent each is; expectation-maximisation finds that out from
    products without labels (Saerens et al. 2002). `strength`, 0 to 1, is how much of it is believed, and a tenth always goes to all alike.

    >>> often = np.log(np.float32([[0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.4, 0.6]]))
    >>> more, less = proportions(often)
    >>> bool(more > 0 > less)
    True
    """
    believed = np.exp(log_softmax(log_probabilities))
    ratio = np.ones(believed.shape[1], dtype=np.float32)
    for _ in range(rounds):
        shifted = believed * ratio**strength
        share = (shifted / shifted.sum(axis=1, keepdims=True)).mean(axis=0)
        ratio = 0.9 * share * len(ratio) + 0.1
    result: Vector = np.float32(strength) * np.log(ratio)
    return result


def sharpness(scores: Matrix, confidence: float) -> float:
    """Return the factor on log-scores, (n, n_labels), at which the mean of each row's highest probability is `confidence`.

    It is the inverse of a temperature; 1 where no factor between 1/50 and 50 gets there, as with rows of equal scores.

    >>> scores = np.log(np.float32([[0.9, 0.1], [0.8, 0.2]]))
    >>> round(sharpness(scores, 0.85), 2), sharpness(np.zeros((2, 2), dtype=np.float32), 0.9)
    (1.0, 1.0)
    """
    from scipy.optimize import brentq

    def surplus(log_factor: float) -> float:
        return float(np.exp(log_softmax(scores * np.float32(np.exp(log_factor)))).max(axis=1).mean()) - confidence

    low, high = -np.log(50), np.log(50)
    if surplus(low) * surplus(high) >= 0:
        return 1.0
    return float(np.exp(brentq(surplus, low, high, xtol=1e-3)))
