"""Which classes a rung speaks for: its worth against brute force, and when it climbs, stays and steps down."""

from __future__ import annotations

import numpy as np
import pytest

from fewtag.blend import Blend
from fewtag.climb import BELIEF, Held, Step, climb, gain, right, speaks, stages
from fewtag.metrics import wilson
from fewtag.models.calibrate import log_softmax
from fewtag.taxonomy import Category, Taxonomy
from fewtag.training import Effect, Heard, Judged

GOLD = np.arange(90) % 3
WARM = np.ones(3, dtype=np.bool_)


def voice(right: tuple[float, float, float], seed: int) -> np.ndarray:
    """Return log-probabilities of 90 labels of three classes that favour the gold class in a share of the rows of each."""
    rng = np.random.default_rng(seed)
    favoured = np.where(rng.random(90) < np.array(right)[GOLD], GOLD, (GOLD + rng.integers(1, 3, 90)) % 3)
    return log_softmax((2 * np.eye(3)[favoured] + rng.normal(0, 0.1, (90, 3))).astype(np.float32))


def held(above: tuple[float, float, float]) -> Held:
    return Held(voice((0.6, 0.6, 0.6), 1), voice(above, 2), np.ones((90, 3), dtype=np.bool_), GOLD)


def test_a_class_is_worth_what_the_truth_would_lose_if_the_rung_were_silent_on_it() -> None:
    blend, given = Blend(0.7, 1.1, -0.4), held((0.9, 0.5, 0.2))
    spoken, silent = blend(given.below, given.above, given.known), blend(given.below, given.above, ~given.known)
    total = np.zeros(3)
    for column in range(3):
        without = spoken.copy()
        without[:, column] = silent[:, column]
        each = log_softmax(spoken) - log_softmax(without)
        total[column] = each[np.arange(90), GOLD].sum()
    common = (total.sum() + 0.3 * BELIEF) / (90 + BELIEF)
    np.testing.assert_allclose(gain(blend, given, 0.3), (total + BELIEF * common) / (30 + BELIEF), rtol=1e-3)


def test_what_the_rung_did_not_know_tells_nothing_of_its_worth() -> None:
    given = held((0.9, 0.9, 0.9))
    known = given.known & (np.arange(3) != 2)
    found = gain(Blend(0.7, 1.1), Held(given.below, given.above, known, GOLD), 0.3)
    total = 60 * (found[:2].mean() * (30 + BELIEF) - BELIEF * found[2]) / 30
    assert found[2] == pytest.approx((total + 0.3 * BELIEF) / (60 + BELIEF), rel=1e-3)  # what it shares with all


def test_a_rung_speaks_where_it_gains_and_not_where_it_is_wrong() -> None:
    step = climb("few-shot", held((1.0, 0.95, 0.02)), WARM, None, {"tuned": False})
    assert step.speaks == (True, True, False)
    assert step.accuracy > step.below == right(voice((0.6, 0.6, 0.6), 1), GOLD)
    assert stages([step], 3) == ("few-shot", "few-shot", "zero-shot")
    given, rows = held((1.0, 0.95, 0.02)), np.arange(90)
    gained = step(given.below, given.above, WARM)[rows, GOLD] - given.below[rows, GOLD]
    assert step.likelier > 1
    assert step.likelier == pytest.approx(np.prod(np.exp(gained / 90, dtype=np.float64)), abs=1e-4)


def test_a_rung_that_speaks_for_nothing_changes_nothing() -> None:
    step = climb("fine-tune", held((0.02, 0.02, 0.02)), WARM, None, {})
    below = voice((0.6, 0.6, 0.6), 3)
    assert step.speaks == (False, False, False)
    assert (step.accuracy, step.likelier) == (step.below, 1.0)
    np.testing.assert_allclose(step(below, voice((1, 1, 1), 4), WARM), below, atol=1e-6)


def test_what_is_in_doubt_stays_as_it_was() -> None:
    worth = np.float32([0.04, -0.04, 0.06, -0.06])
    for before in (False, True):
        found = speaks(worth, np.ones(4, dtype=np.bool_), np.full(4, before))
        assert found.tolist() == [before, before, True, False]
    assert not speaks(worth, np.zeros(4, dtype=np.bool_), None).any()


def test_without_held_out_labels_a_rung_has_a_modest_say_in_what_it_knows() -> None:
    nothing = np.empty((0, 2), dtype=np.float32)
    warm = np.array([True, False, True])
    step = climb("few-shot", Held(nothing, nothing, nothing.astype(np.bool_), GOLD[:0]), warm, None, {})
    assert (step.speaks, step.held_out) == ((True, False, True), 0)
    assert step.blend == Blend.prior()


def test_the_topmost_rung_that_speaks_is_the_one_that_a_class_stands_on() -> None:
    few = Step("few-shot", Blend(1, 1), (True, True, False), (0.0,) * 3, 0, 0, 0, {})
    fine = Step("fine-tune", Blend(1, 1), (True, False, False), (0.0,) * 3, 0, 0, 0, {})
    assert stages([few, fine], 3) == ("fine-tune", "few-shot", "zero-shot")


def test_half_a_point_is_written_as_none() -> None:
    assert [Effect.of(9, 200, gain).kind for gain in (0.005, -0.005, 0.0051, -0.0051)] == ["same", "same", "gain", "lose"]


def test_the_next_label_is_wanted_where_most_products_are_wrong_for_the_labels_there_are() -> None:
    taxonomy = Taxonomy.from_paths(["A > x", "A > y", "A > z", "B > w"])
    gold = np.repeat([0, 1], 20)
    said = np.eye(4, dtype=np.float32)[[*[0] * 20, *[0] * 20]]  # all of x right, all of y wrong
    judged = Judged(Heard(said * 0, said, gold), np.array([20, 20, 0, 0]), np.float32([0.6, 0.2, 0.01, 0.19]))
    a, b = judged.branches(taxonomy, ("few-shot", "few-shot", "zero-shot", "zero-shot"))
    # y: a fifth of the products, nearly all wrong, by 21; z: a hundredth, half wrong, by 1
    assert (a.category, a.labels, a.rungs, a.wants) == ("a", 40, {"few-shot": 2, "zero-shot": 1}, "a/y")
    assert (a.held_out, a.zero_shot_accuracy, a.accuracy) == (40, 0.5, 0.5)
    assert a.reason == "with labels about as many are right as without, of 40 held out"
    assert (b.category, b.reason, b.wants, b.f1) == ("b", "no labels yet", "b/w", (0.0, 0.0, 0.0))
    more = Judged(judged.heard, judged.labels, np.float32([0.6, 0.2, 0.1, 0.1]))
    assert more.branches(taxonomy, ("zero-shot",) * 4)[0].wants == "a/z"


def test_each_branch_is_judged_by_its_own_labels_alone() -> None:
    own = [Category("a", "A"), Category("b", "B"), *(Category(name, name, parents=(name[0],)) for name in ("ax", "bx", "ay", "by"))]
    taxonomy = Taxonomy([*own, Category("c", "C"), Category("both", "Both", parents=("b", "c"))])  # so that C has no path of its own
    rng = np.random.default_rng(0)
    gold, said, before = rng.integers(0, 5, (3, 200))
    labels = np.array([3, 50, 40, 60, 50])
    heard = Heard(np.eye(5, dtype=np.float32)[before], np.eye(5, dtype=np.float32)[said], gold)
    found = Judged(heard, labels, np.full(5, 0.2, dtype=np.float32)).branches(taxonomy, ("few-shot", *["zero-shot", "few-shot"] * 2))
    assert taxonomy.classes == ("ax", "ay", "bx", "by", "both")
    assert [(each.category, each.labels, list(each.rungs.items())) for each in found] == [
        ("b", 150, [("few-shot", 2), ("zero-shot", 1)]),
        ("a", 53, [("few-shot", 1), ("zero-shot", 1)]),
    ]
    for each, classes in zip(found, ([2, 3, 4], [0, 1]), strict=True):
        here = np.isin(gold, classes)
        shares = ((before == gold)[here].mean(), (said == gold)[here].mean())
        assert (each.held_out, each.zero_shot_accuracy, each.accuracy) == (here.sum(), *(round(float(share), 4) for share in shares))
        hits, count = (said == gold)[here].sum(), (here.sum() + np.isin(said, classes).sum()) / 2
        assert each.f1 == tuple(round(float(end), 4) for end in (hits / count, *wilson(hits, count)))
