"""The blend of two rungs: exact where it is worked out by hand, and fitted towards whoever is right."""

from __future__ import annotations

import numpy as np
import pytest

from fewtag.blend import Blend, sureness
from fewtag.models.calibrate import log_softmax

GOLD = np.arange(400) % 4
ALL = np.ones((400, 4), dtype=np.bool_)


def voice(right: float, seed: int) -> np.ndarray:
    """Return log-probabilities that favour the gold class in a share of the rows, and another one in the rest."""
    rng = np.random.default_rng(seed)
    favoured = np.where(rng.random(400) < right, GOLD, (GOLD + rng.integers(1, 4, 400)) % 4)
    return log_softmax((3 * np.eye(4)[favoured]).astype(np.float32))


def test_scores_are_the_weighted_sum_relative_to_a_guess_with_a_stand_in_for_what_is_not_known() -> None:
    blend = Blend(below=0.5, rung=2.0, stand_in=-3.0)
    zero, few = np.float32([[-1, -2, -4]]), np.float32([[-0.5, -20, -20]])
    guess = np.log(2)  # one of two is known
    expected = [[-0.5 + 2 * (-0.5 + guess), -1 + 2 * (-20 + guess), -2 + 2 * -3]]
    np.testing.assert_allclose(blend(zero, few, np.array([True, True, False])), expected, rtol=1e-6)


def test_a_rung_that_knows_one_class_changes_nothing_by_being_sure_of_it() -> None:
    zero, few = voice(0.9, 1), np.where(np.arange(4) == 2, np.float32(0), np.float32(-20)) + np.zeros((400, 1), dtype=np.float32)
    scores = Blend.prior(0.25)(zero, few, np.arange(4) == 2)
    assert np.array_equal(scores.argmax(axis=1), zero.argmax(axis=1))


def test_whoever_is_right_gets_the_say() -> None:
    sure, guess = voice(0.95, 1), voice(0.25, 2)
    for zero, few in ((sure, guess), (guess, sure)):
        blend = Blend.fit(zero, few, ALL, GOLD)
        assert (blend.below > blend.rung) == (zero is sure)
        assert (blend(zero, few, ALL).argmax(axis=1) == GOLD).mean() > 0.9


def test_few_labels_leave_the_weights_near_the_prior() -> None:
    prior = Blend.prior(1.0)
    blend = Blend.fit(voice(0.25, 1)[:2], voice(0.95, 2)[:2], ALL[:2], GOLD[:2])
    assert blend.below == pytest.approx(prior.below, rel=0.2)
    assert blend.rung == pytest.approx(prior.rung, rel=0.2)


def test_a_stand_in_rises_where_unknown_classes_are_the_truth_and_falls_where_they_are_not() -> None:
    known = np.broadcast_to([True, True, False, False], (400, 4))
    zero, few = voice(0.9, 1), np.where(known, np.float32(-0.7), np.float32(-20))
    cold, warm = GOLD >= 2, GOLD < 2
    rises, falls = (Blend.fit(zero[rows], few[rows], known[rows], GOLD[rows]).stand_in for rows in (cold, warm))
    assert rises > 0.5 > 0 > falls


def test_scores_become_as_sure_as_they_are_right() -> None:
    # Three of four are right: at a distance d the right one has the odds exp(d), which should be 3.
    scores = np.array([[4, 0]] * 40_000, dtype=np.float32)
    gold = np.array([0] * 30_000 + [1] * 10_000)
    factor, loss = sureness(scores, gold, believed=1.0)
    assert (factor, loss) == pytest.approx((np.log(3) / 4, np.log(4) - 0.75 * np.log(3)), rel=0.02)
    assert sureness(scores[:0], gold[:0], believed=0.65)[0] == pytest.approx(0.65, rel=1e-3)
    assert np.log(3) / 4 < sureness(scores[::10_000], gold[::10_000], believed=1.0)[0] < 1, "four labels leave it in between"
