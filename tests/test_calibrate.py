"""Calibration against the papers' formulas, worked out in probabilities, one number at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.models.calibrate import batch_prior, content_free_prior, log_softmax, pmi_prior, remove_prior, token_mean

SEEN = [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.6, 0.1, 0.3], [0.2, 0.2, 0.6]]
"""P(label | product) as a biased model sees four products: rows products, columns labels."""
NULL = [[0.6, 0.3, 0.1], [0.4, 0.3, 0.3]]
"""P(label | no product), after two prompts."""


def logs(probabilities: list[list[float]]) -> npt.NDArray[np.float32]:
    return np.log(np.array(probabilities, dtype=np.float32))


def distributions(scores: npt.NDArray[np.float32]) -> list[list[float]]:
    """Normalise rows of log-scores the slow way."""
    return [[math.exp(score) / sum(map(math.exp, row)) for score in row] for row in scores.astype(float).tolist()]


def divided(rows: list[list[float]], by: list[float]) -> list[list[float]]:
    """Divide each row by a distribution and normalise it: what every method here comes down to."""
    raw = [[value / prior for value, prior in zip(row, by, strict=True)] for row in rows]
    return [[value / sum(row) for value in row] for row in raw]


def mean(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def close(found: list[list[float]], wanted: list[list[float]]) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_contextual_calibration_divides_by_the_mean_content_free_distribution() -> None:
    """Zhao et al. 2021: with W = diag(p_cf)^-1 and b = 0, the label with the highest W p + b, which is p / p_cf."""
    prior = content_free_prior(logs(NULL))
    np.testing.assert_allclose(np.exp(prior), [0.5, 0.3, 0.2], rtol=1e-5)
    close(distributions(remove_prior(logs(SEEN), prior)), divided(SEEN, [0.5, 0.3, 0.2]))


def test_after_contextual_calibration_a_content_free_prompt_says_nothing() -> None:
    one = NULL[:1]
    close(distributions(remove_prior(logs(one), content_free_prior(logs(one)))), [[1 / 3, 1 / 3, 1 / 3]])


def test_content_free_scores_need_not_be_normalised() -> None:
    shifted = logs(NULL) + np.array([[5], [-7]], dtype=np.float32)
    np.testing.assert_allclose(np.exp(content_free_prior(shifted)), [0.5, 0.3, 0.2], rtol=1e-5)


def test_batch_calibration_divides_by_the_mean_over_the_batch() -> None:
    """Zhou et al. 2023: log p(y|x) - log of the mean of p(y|x_j) over the batch."""
    assert mean(SEEN) == pytest.approx([0.5, 0.225, 0.275])
    prior = batch_prior(logs(SEEN))
    np.testing.assert_allclose(np.exp(prior), mean(SEEN), rtol=1e-5)
    close(distributions(remove_prior(logs(SEEN), prior)), divided(SEEN, mean(SEEN)))


def test_batch_calibration_changes_a_mind_where_the_favour_made_it() -> None:
    before = logs(SEEN)
    after = remove_prior(before, batch_prior(before))
    assert before.argmax(axis=1).tolist() == [0, 0, 0, 2]
    # The second: 0.5/0.5 = 1, 0.4/0.225 = 1.78; the third: 0.6/0.5 = 1.2, 0.1/0.225 = 0.44, 0.3/0.275 = 1.09.
    assert after.argmax(axis=1).tolist() == [0, 1, 0, 2]


def test_pmi_dc_subtracts_the_log_likelihood_without_a_product() -> None:
    """Holtzman et al. 2021: log P(y | x, domain) - log P(y | domain); the likelihoods of whole label texts do not sum to 1."""
    scores = np.array([[-12.5, -9.0, -30.0]], dtype=np.float32)
    null = np.array([[-10.0, -8.0, -33.0], [-14.0, -8.5, -35.0]], dtype=np.float32)
    assert pmi_prior(null).tolist() == [-12.0, -8.25, -34.0]
    assert remove_prior(scores, pmi_prior(null)).tolist() == [[-0.5, -0.75, 4.0]]


def test_domain_context_calibration_is_the_mean_over_nonsense_of_the_domain() -> None:
    """Fei et al. 2023: p(y|x) / mean over random in-domain texts; any number of prompts may stand in."""
    nonsense = [[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.7, 0.2, 0.1], [0.7, 0.1, 0.2]]
    close(distributions(remove_prior(logs(SEEN), content_free_prior(logs(nonsense)))), divided(SEEN, [0.7, 0.15, 0.15]))


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.5, 1.0])
def test_strength_is_the_power_of_the_prior(strength: float) -> None:
    weakened = [share**strength for share in mean(SEEN)]
    close(distributions(remove_prior(logs(SEEN), batch_prior(logs(SEEN)), strength)), divided(SEEN, weakened))


def test_within_groups_siblings_are_weighed_and_groups_keep_their_proportions() -> None:
    prior = [0.4, 0.1, 0.3, 0.2]
    groups = np.array([1, 0, 1, 0])
    # Group 0 holds 0.1 + 0.2 = 0.3, group 1 holds 0.7: a label's prior is its share of its group.
    within = [0.4 / 0.7, 0.1 / 0.3, 0.3 / 0.7, 0.2 / 0.3]
    found = remove_prior(logs([[0.25, 0.25, 0.25, 0.25]]), np.log(np.array(prior, dtype=np.float32)), groups=groups)
    close(np.exp(found).tolist(), [[0.25 / share for share in within]])


def test_a_group_of_one_is_left_alone() -> None:
    scores = np.array([[-1, -2, -3]], dtype=np.float32)
    prior = np.log(np.array([0.9, 0.05, 0.05], dtype=np.float32))
    np.testing.assert_allclose(
        remove_prior(scores, prior, groups=np.array([0, 1, 1])), [[-1, -2 + math.log(2), -3 + math.log(2)]], rtol=1e-5
    )


def test_a_group_of_long_labels_has_a_prior_too() -> None:
    """A label of many tokens has a log-likelihood of -300, which is a probability of zero in any float."""
    prior = np.array([-300, -300 - math.log(3), -800, -2], dtype=np.float32)
    found = remove_prior(np.zeros((1, 4), dtype=np.float32), prior, groups=np.array([0, 0, 1, 2]))
    np.testing.assert_allclose(found, [[math.log(4 / 3), math.log(4), 0, 0]], atol=1e-4)


def test_a_label_that_is_never_seen_has_a_finite_prior() -> None:
    scores = np.array([[0, -1000], [0, -1000]], dtype=np.float32)
    prior = batch_prior(scores)
    assert prior.tolist() == pytest.approx([0, math.log(1e-12)], rel=1e-4)
    # A favour that small is not to be believed in: it is not made up for in full.
    assert remove_prior(scores, prior).argmax(axis=1).tolist() == [0, 0]


def test_log_softmax_neither_overflows_nor_minds_a_shift() -> None:
    for shift in (0, 1e4, -1e4):
        found = log_softmax(np.array([[0, math.log(3), -np.inf]], dtype=np.float32) + np.float32(shift))
        np.testing.assert_allclose(np.exp(found), [[0.25, 0.75, 0]], rtol=2e-3)
    assert log_softmax(np.array([[-7.0]], dtype=np.float32)).tolist() == [[0]]
    assert log_softmax(np.empty((0, 3), dtype=np.float32)).shape == (0, 3)


def test_token_mean_goes_column_by_column() -> None:
    found = token_mean(np.array([[-6, -2, -9], [-3, -1, 0]], dtype=np.float32), np.array([3, 1, 2]))
    assert found.tolist() == [[-2, -2, -4.5], [-1, -1, 0]]
    assert found.dtype == np.float32


def test_scores_stay_float32_and_are_not_changed_in_place() -> None:
    scores = logs(SEEN)
    before = scores.copy()
    prior = batch_prior(scores)
    for found in (log_softmax(scores), prior, remove_prior(scores, prior, 0.5), remove_prior(scores, prior, groups=np.array([0, 0, 1]))):
        assert found.dtype == np.float32
    assert np.array_equal(scores, before)
