"""How sure the likeliest class is: a curve learnt from labels, that never changes which class it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.calibration import AHEAD, Calibration
from fewtag.metrics import calibration_error
from fewtag.models.calibrate import log_softmax


def drawn(count: int, ceiling: float, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return scores of three classes, and true classes that follow them but for a share of 1 - ceiling, which is any of the three."""
    rng = np.random.default_rng(seed)
    scores = log_softmax((2 * rng.normal(size=(count, 3))).astype(np.float32))
    gold = (np.exp(scores).cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(0, 2)
    return scores, np.where(rng.random(count) < ceiling, gold, rng.integers(3, size=count))


def error(scores: npt.NDArray[np.float32], gold: npt.NDArray[np.int64]) -> float:
    return calibration_error(np.exp(scores.max(axis=1)), scores.argmax(axis=1) == gold)


def test_scores_that_are_too_sure_are_made_as_sure_as_they_are_right() -> None:
    scores, gold = drawn(4000, 0.8)
    fresh, truth = drawn(4000, 0.8, seed=1)
    found = Calibration.fit(scores, gold, np.ones(len(gold)))
    assert error(fresh, truth) > 0.08
    assert error(found(fresh), truth) < 0.05


def test_what_is_right_stays_and_few_labels_change_little() -> None:
    scores, gold = drawn(4000, 1.0)
    found = Calibration.fit(scores, gold, np.ones(len(gold)))
    assert [found.sure, found.unsure, found.bias] == pytest.approx([1, 1, 0], abs=0.12)
    few = Calibration.fit(scores[:3], gold[:3], np.ones(3))
    assert [few.sure, few.unsure, few.bias] == pytest.approx([1, 1, 0], abs=0.12)
    assert Calibration.fit(scores[:0], gold[:0], np.ones(0)) == Calibration()
    assert Calibration()(scores) is scores


def test_the_likeliest_stays_the_likeliest_and_the_others_keep_their_proportions() -> None:
    scores = np.log(np.float32([[0.4, 0.35, 0.25], [0.9, 0.06, 0.04]]))
    moved = np.exp(Calibration(1, 1, -2.0)(scores))
    # A bias of -2 divides the odds by 7.39: .4 / .6 would fall below .35 / .6, so it stops a hair above the second.
    assert moved[0, 0] / moved[0, 1] == pytest.approx(np.exp(AHEAD), rel=1e-5)
    assert moved[1, 0] == pytest.approx(9 / (9 + np.exp(2)), abs=1e-4)
    assert (moved[:, 1] / moved[:, 2]).tolist() == pytest.approx([1.4, 1.5], rel=1e-4)
    assert moved.sum(axis=1).tolist() == pytest.approx([1, 1])


def test_labels_count_by_their_weights() -> None:
    scores, gold = drawn(600, 1.0)
    right = scores.argmax(axis=1) == gold
    doubtful = Calibration.fit(scores, gold, np.where(right, 0.2, 1.0))
    assert np.exp(doubtful(scores)).max(axis=1).mean() < np.exp(scores).max(axis=1).mean() - 0.2


def test_a_single_class_and_a_certain_one_are_left_in_peace() -> None:
    assert Calibration(1, 1, 3.0)(np.zeros((2, 1), dtype=np.float32)).tolist() == [[0], [0]]
    assert np.isfinite(Calibration(0.5, 0.5, -1.0)(np.float32([[0, -1000]]))).all()
