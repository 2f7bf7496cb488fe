"""The gate between categories with labels and those without: exact where it is worked out by hand, and learnt from what was hidden."""

from __future__ import annotations

import numpy as np
import pytest

from fewtag.blend import Blend
from fewtag.gate import ENOUGH, LEAN, SILENT, Gate, hidden_classes, join
from fewtag.models.calibrate import log_softmax
from fewtag.models.few_shot.head import HeldOut
from fewtag.upper import shown

WARM = np.array([True, True, False, False])


def logs(*rows: list[float]) -> np.ndarray:
    return np.log(np.float32(rows))


def held_out(telling: float, known_share: float = 0.5, count: int = 400) -> tuple[np.ndarray, HeldOut]:
    """Return what a guessing zero-shot rung and heads said, each of which knew two of four classes: a head is sure of those that it knew
    in a share `telling` of the rows, and of the hidden ones in the rest."""
    rng = np.random.default_rng(0)
    gold, row = np.arange(count) % 4, np.arange(count)
    knew = rng.random(count) < known_share
    known = np.zeros((count, 4), dtype=np.bool_)
    for shift in (0, 1):
        known[row, (gold + np.where(knew, 0, 1) + shift) % 4] = True
    sure = knew == (rng.random(count) < telling)
    top = np.where(known[row, gold], gold, known.argmax(axis=1))
    said = np.where(known, np.log(np.float32(np.where(sure, 0.05, 0.5)))[:, None], np.float32(-20))
    said[row, top] = np.log(np.where(sure, 0.95, 0.5))
    return log_softmax(np.zeros((count, 4), dtype=np.float32)), HeldOut(
        row, said.astype(np.float32), known, gold, np.zeros(count, np.float32)
    )


def test_the_log_odds_are_the_weighted_sum_of_what_it_goes_by() -> None:
    gate = Gate(zero_shot=0.5, few_shot=2.0, familiar=3.0, bias=-1.0)
    zero, few = logs([0.2, 0.4, 0.3, 0.1]), logs([0.7, 0.3, 1e-9, 1e-9])
    expected = 0.5 * np.log(0.6 / 0.4) + 2 * np.log(0.7) + 3 * 0.25 - 1
    np.testing.assert_allclose(gate(zero, few, np.float32([0.25]), WARM), [expected], rtol=1e-5)


def test_as_made_it_leaves_to_either_half_what_the_zero_shot_rung_gives_it() -> None:
    zero, few = logs([0.2, 0.4, 0.3, 0.1]), logs([0.9, 0.1, 1e-9, 1e-9])
    found = np.exp(join(Gate()(zero, few, np.zeros(1, dtype=np.float32), WARM), few, zero, WARM))
    np.testing.assert_allclose(found, [[0.54, 0.06, 0.3, 0.1]], rtol=1e-5)


@pytest.mark.parametrize(("known", "expected"), [([True] * 4, [0.4, 0.3, 0.2, 0.1]), ([False] * 4, [0.1, 0.2, 0.3, 0.4])])
def test_where_there_is_no_other_half_the_gate_is_not_asked(known: list[bool], expected: list[float]) -> None:
    joined = join(np.float32([-3]), logs([0.4, 0.3, 0.2, 0.1]), logs([0.1, 0.2, 0.3, 0.4]), np.array(known))
    np.testing.assert_allclose(np.exp(joined), [expected], rtol=1e-5)


def test_a_row_may_know_other_classes_than_the_next() -> None:
    known = np.array([WARM, ~WARM])
    scores = logs([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4])
    joined = np.exp(join(np.float32([np.log(3), np.log(3)]), scores, scores, known))
    np.testing.assert_allclose(
        joined, [[0.25, 0.5, 0.25 * 3 / 7, 0.25 * 4 / 7], [0.25 / 3, 0.5 / 3, 0.75 * 3 / 7, 0.75 * 4 / 7]], rtol=1e-5
    )


def test_it_goes_by_how_sure_the_head_is_where_that_tells() -> None:
    zero, held = held_out(telling=0.95)
    gate = Gate.fit(zero, held, ~held.known)
    odds = gate(zero, held.log_probabilities, held.familiar, held.known)
    assert gate.few_shot > 2
    assert ((odds > 0) == held.known[held.row, held.gold]).mean() > 0.9


def test_it_goes_by_what_is_familiar_where_nothing_else_tells() -> None:
    zero, held = held_out(telling=0.5)
    held.familiar[:] = np.where(held.known[held.row, held.gold], 1, -1)
    gate = Gate.fit(zero, held, ~held.known)
    assert gate.familiar > 1 > gate.few_shot


def test_what_tells_nothing_is_not_learnt_and_the_warm_half_is_leant_to() -> None:
    zero, held = held_out(telling=0.5)
    gate = Gate.fit(zero, held, ~held.known)
    assert gate.few_shot == pytest.approx(0, abs=0.4)
    odds = gate(zero, held.log_probabilities, held.familiar, held.known)
    share = held.known[held.row, held.gold].mean()
    assert odds.mean() == pytest.approx(np.log(share / (1 - share)) + LEAN * 400 / (400 + ENOUGH), abs=0.05)


def test_labels_of_one_kind_alone_teach_it_nothing() -> None:
    for share in (0.0, 1.0):
        zero, held = held_out(0.9, share)
        assert Gate.fit(zero, held, ~held.known) == Gate()


def test_a_head_that_knew_one_class_and_a_class_that_was_not_hidden_teach_it_nothing() -> None:
    zero, held = held_out(0.9)
    one = np.eye(4, dtype=np.bool_)[held.known.argmax(axis=1)]
    lonely = HeldOut(held.row, held.log_probabilities, one, held.gold, held.familiar)
    assert Gate.fit(zero, lonely, ~one) == Gate()
    assert Gate.fit(zero, held, np.zeros_like(held.known)) == Gate()


def test_a_class_with_one_label_is_not_taken_for_a_hidden_one() -> None:
    known = np.array([[True, True, False, False]] * 5)
    assert hidden_classes(known, np.array([0, 0, 1, 2, 2])).tolist() == [[False, False, True, False]] * 5


def test_among_warm_classes_the_blend_is_the_one_of_a_taxonomy_without_others() -> None:
    rng = np.random.default_rng(1)
    gold = np.arange(40) % 2
    zero, few = (log_softmax((2 * np.eye(2)[gold] + rng.normal(size=(40, 2))).astype(np.float32)) for _ in range(2))
    alone = HeldOut(np.arange(40), few, np.ones((40, 2), dtype=np.bool_), gold, np.zeros(40, dtype=np.float32))
    wide = [np.hstack([each, np.full((40, 2), -20, dtype=np.float32)]) for each in (zero, few)]
    beside = HeldOut(np.arange(40), wide[1], np.tile(WARM, (40, 1)), gold, np.zeros(40, dtype=np.float32))
    expected = Blend.fit(zero, few, alone.known, gold)
    both = np.ones(2, dtype=np.bool_)
    for said, held, warm in ((zero, alone, both), (wide[0], beside, WARM)):
        hidden = hidden_classes(held.known, held.gold) & warm
        found = shown(said, held, hidden, warm)
        assert Blend.fit(found.below, found.above, found.known, found.gold) == expected
        assert Gate.fit(said[:, warm], held.among(warm), hidden[:, warm]) == Gate()


def test_a_hidden_class_is_not_asked_for_and_its_labels_teach_the_blend_nothing() -> None:
    zero, few = (np.log(np.float32([[0.4, 0.3, 0.2, 0.1]] * 4)) for _ in range(2))
    known = np.array([[True, False, True, False]] * 4)
    held = HeldOut(np.arange(4), few, known, np.array([0, 1, 1, 2]), np.zeros(4, dtype=np.float32))
    warm = np.array([True, True, True, False])
    found = shown(zero, held, hidden_classes(known, held.gold) & warm, warm)
    assert found.gold.tolist() == [0, 2]
    assert (found.below[:, 1] == SILENT).all()
    np.testing.assert_allclose(np.exp(log_softmax(found.below))[0], [2 / 3, 0, 1 / 3], rtol=1e-5)
