"""A promised precision: binomial tails by hand, the order of the tests, and a simulation of how often a promise is broken."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.promise import DOUBT, STARTS, STRIDE, Holding, Promise, doubt, enough, fewest, lacking, proven
from fewtag.proof import Proof, frequencies
from fewtag.taxonomy import Taxonomy
from fewtag.training import Unseen

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Dolls", "Toys > Kites"])
EVERY = np.ones(4, dtype=np.bool_)
EVEN = np.full(4, 0.25, dtype=np.float32)


def unseen(rows: list[list[float]], gold: list[int], known: npt.NDArray[np.bool_] | None = None) -> Unseen:
    scores = np.log(np.array(rows, dtype=np.float32) + np.float32(1e-9))
    return Unseen(scores, np.ones(scores.shape, dtype=np.bool_) if known is None else known, np.array(gold))


@pytest.mark.parametrize(("answers", "wrong", "precision"), [(45, 0, 0.95), (100, 2, 0.95), (20, 5, 0.6)])
def test_the_doubt_is_the_binomial_tail(answers: int, wrong: int, precision: float) -> None:
    tail = sum(comb(answers, each) * (1 - precision) ** each * precision ** (answers - each) for each in range(wrong + 1))
    assert doubt(answers, wrong, precision) == pytest.approx(tail)


def test_where_all_are_wrong_or_none_answered_nothing_is_proven() -> None:
    assert doubt(10, 10, 0.9) == doubt(0, 0, 0.9) == 1.0


def test_enough_is_the_least_number_that_proves() -> None:
    for precision, rate in ((0.95, 0.0), (0.9, 0.03), (0.8, 0.1)):
        found = enough(precision, rate)
        assert found
        assert doubt(found, found * rate, precision) <= DOUBT / STARTS < doubt(found - 1, (found - 1) * rate, precision)
    assert enough(0.9, 0.1) is None
    assert enough(1.0, 0.0) is None


def test_tests_go_on_until_one_fails_and_not_beyond() -> None:
    answers = np.array([62.0, 70, 80, 90])
    assert proven(answers, np.array([0.0, 1, 9, 0]), 0.9) == 1, "what comes behind a failure is not looked at"
    assert proven(answers, np.array([9.0, 0, 0, 0]), 0.9) is None, "the first start fails, and the second is beyond"


def test_a_second_start_makes_up_for_an_unlucky_first() -> None:
    first = fewest(0.9)
    assert first == 62
    assert proven(np.array([62.0, 62 * STRIDE, 200]), np.array([9.0, 3, 4]), 0.9) == 2


def test_promises_are_broken_no_more_often_than_is_said() -> None:
    """Of 500 products, each right with its own probability of .8 to 1, the surest are answered; the truth at each level is known."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(400):
        sure = np.sort(rng.random(500))[::-1]
        wrong = np.cumsum(rng.random(500) < 0.2 * (1 - sure) + 0.05)  # the surest are wrong in .05, and .9 is reached at sureness .5
        answers = np.arange(1.0, 501)
        places = np.arange(19, 500, 10)
        if (found := proven(answers[places], wrong[places].astype(float), 0.9)) is not None:
            level = sure[places[found]]
            broken += 0.05 + 0.2 * (1 - (1 + level) / 2) > 0.1
    assert broken / 400 <= DOUBT


def test_a_number_of_labels_that_is_far_from_those_there_are_is_not_told() -> None:
    assert lacking(np.array([100.0]), np.array([6.0]), 0.9, 200) == 212, "206 answers, and 200 labels gave 100"
    assert enough(0.9, 6.5 / 101) == 206
    far = lacking(np.array([100.0]), np.array([9.0]), 0.9, 200)
    assert far == 13782, "two for each of 6,991 answers, but for the 200"
    assert "200 labels held out are far too few, and many times as many are needed" in str(Promise(0.9, None, 200, far))
    assert "about 2,000 more may do" in str(Promise(0.9, None, 200, 2000))


def test_a_promise_says_what_it_rests_on_and_what_it_lacks() -> None:
    assert Promise(0.9).decides == 0.9
    assert Promise(0.9, 0.75, 1200).decides == 0.75
    assert str(Promise(0.9, 0.75, 1200)) == (
        "Precision 0.9 is promised: 1,200 labels held out prove it at a level of 0.750, "
        "with 90% confidence as far as categories are as frequent as they seem."
    )
    assert str(Promise(0.9, 0.75, 1200, unknown=0.124)).endswith(
        "It is not for categories that none of these is of, about 12% of the products."
    )
    assert str(Promise(0.95, None, 300, 900, "Toys")) == (
        "Precision 0.95 is not proven: 300 labels held out are too few, and about 900 more may do, most of all in Toys."
        " Tags go by what the models hold likely, at 0.95."
    )
    assert "too many are wrong at every level" in str(Promise(0.95, None, 300, None, "Toys"))
    assert "no labels to hold out, and 128 or more are needed" in str(Proof.nothing().promise(0.95))
    assert "no number of labels" in str(Proof.nothing().promise(1.0))


@pytest.mark.parametrize("precision", [1.0, 0.999999])
def test_what_no_labels_can_prove_is_said_with_labels_and_without(precision: float) -> None:
    for promise in (Proof.nothing().promise(precision), Promise(precision, None, 300)):
        assert "no number of labels can prove that so little is wrong" in str(promise)


def test_more_labels_are_needed_where_fewer_are_right_and_it_is_said_where_no_number_would_do() -> None:
    answers = np.array([100.0])
    few, more = (lacking(answers, np.array([wrong]), 0.9, 200) for wrong in (4.0, 7.0))
    assert few
    assert more
    assert few < more
    assert lacking(answers, np.array([15.0]), 0.9, 200) is None
    assert lacking(np.array([5.0]), np.array([0.0]), 0.9, 200) == fewest(0.9), "five answers tell nothing but that they are too few"


def test_a_label_stands_for_the_products_of_its_category() -> None:
    said = unseen([[0.7, 0.1, 0.1, 0.1]] * 3, [0, 0, 1])
    share = np.float32([0.8, 0.2, 0, 0])
    # The first class has .8 of the products and two labels: .4 each beside .2, and 1 on average.
    assert frequencies(said, share, EVERY).tolist() == pytest.approx([1.2, 1.2, 0.6])


def test_labels_whose_category_was_hidden_stand_for_those_without_labels() -> None:
    known = np.ones((4, 4), dtype=np.bool_)
    known[2:, 1] = False
    said = unseen([[0.7, 0.1, 0.1, 0.1]] * 4, [0, 0, 1, 1], known)
    warm = np.array([True, True, False, False])
    share = np.float32([0.4, 0.0, 0.3, 0.3])
    # .4 for the two of the first class; the two that were hidden stand for the .6 without labels.
    assert frequencies(said, share, warm).tolist() == pytest.approx([0.8, 0.8, 1.2, 1.2])
    assert Proof.of(said, share, warm, SHOP).unknown == 0
    shown = Proof.of(unseen([[0.7, 0.1, 0.1, 0.1]] * 2, [0, 0]), share, warm, SHOP)
    assert shown.unknown == pytest.approx(0.6), "nothing stands for what has no labels"


def test_an_answer_above_the_truth_is_right_and_one_beside_it_wrong() -> None:
    # Tea .6, drinks .98: at .5 the answer is tea, at .9 drinks, at .99 nothing.
    proof = Proof.of(unseen([[0.6, 0.38, 0.01, 0.01]] * 3, [0, 1, 2]), EVEN, EVERY, SHOP)
    assert proof._told(0.5) == pytest.approx((3, 2), abs=1e-5)
    assert proof._told(0.9) == pytest.approx((3, 1), abs=1e-5)
    assert list(proof._levels()) == pytest.approx([0.98])


def test_labels_that_count_unequally_tell_less_than_so_many_equal_ones() -> None:
    proof = Proof.of(unseen([[0.97, 0.01, 0.01, 0.01]] * 3, [0, 0, 2]), np.float32([0.2, 0, 0.8, 0]), EVERY, SHOP)
    # Weights .3, .3 and 2.4: (3 squared) / (.09 + .09 + 5.76) = 1.515 answers, of which .8 are wrong.
    assert proof._told(0.9) == pytest.approx((9 / 5.94, 0.8 * 9 / 5.94), rel=1e-4)
    assert proof.branch == "Toys", "one label has to stand for most of the products"


def test_a_few_heavy_labels_that_are_wrong_undo_a_promise_of_many_light_ones() -> None:
    sums = np.float32([[0.95]] * 150 + [[0.9]] * 3)
    right = np.array([[True]] * 150 + [[False]] * 3)
    weights = np.float32([1.0] * 150 + [33.0] * 3)
    proof = Proof(sums, np.ones((153, 1), dtype=np.int64), right, weights, np.zeros(153, dtype=np.float32))
    # Of 150 + 99 parts 99 are wrong, and (249 squared) / (150 + 3 * 33 squared) = 18.1 answers tell so.
    assert proof._told(0.9) == pytest.approx((18.1449, 18.1449 * 99 / 249), rel=1e-4)
    assert doubt(149, 18.1449 * 99 / 249, 0.9) < DOUBT / STARTS, "as many answers as before would be proof"
    assert proof.promise(0.9).level == pytest.approx(0.95), "where the heavy ones are not answered"


def test_enough_labels_that_are_right_are_a_promise_and_the_level_is_as_low_as_they_prove(tmp_path: Path) -> None:
    sure, unsure = [0.97, 0.01, 0.01, 0.01], [0.7, 0.1, 0.1, 0.1]
    proof = Proof.of(unseen([sure] * 150 + [unsure] * 150, [0] * 150 + [0, 2] * 75), np.float32([0.5, 0, 0.5, 0]), EVERY, SHOP)
    found = proof.promise(0.9)
    assert found.level == pytest.approx(0.98), "what drinks hold where they are sure; at .8, a quarter is wrong"
    assert (found.labels, found.lacking) == (300, None)
    assert proof.promise(0.99).level is None
    proof.save(tmp_path)
    assert Proof.load(tmp_path).promise(0.9) == found
    assert Proof.load(tmp_path).holding(0.9) == proof.holding(0.9)


def test_sets_hold_as_much_as_labels_demand_and_never_less_than_asked() -> None:
    # Tea .6, coffee .3, dolls .1: ahead of tea is nothing, of coffee .6, of dolls .9, of kites all.
    gold = [0] * 6 + [1] * 2 + [2] + [3]
    proof = Proof.of(unseen([[0.6, 0.3, 0.1, 0.0]] * 10, gold), np.float32([0.6, 0.2, 0.1, 0.1]), EVERY, SHOP)
    assert proof.ahead.tolist() == pytest.approx([0] * 6 + [0.6] * 2 + [0.9, 1.0], abs=1e-5)
    # Of the ten labels and one more, 6 are 55%, 8 are 73%, 9 are 82% and 10 are 91%.
    assert proof.holding(0.5) == Holding(0.5, 0.5, 10), "none is ahead, and half is asked for"
    assert proof.holding(0.7) == Holding(0.7, 0.7, 10)
    assert proof.holding(0.8).mass == pytest.approx(0.9)
    assert proof.holding(0.9).mass == pytest.approx(1.0)
    assert proof.holding(0.95) == Holding(0.95, 0.95, 0), "ten labels cannot tell of one in twenty"
    assert Proof.nothing().holding(0.9) == Holding(0.9, 0.9, 0)


def test_sets_of_labels_that_count_unequally() -> None:
    # Coffee has as much of the products as tea, by one label: weights .5, .5, .5, .5 and 2; 2 of 5 are ahead of none, and one is missed.
    proof = Proof.of(unseen([[0.6, 0.3, 0.1, 0.0]] * 5, [0, 0, 0, 0, 1]), np.float32([0.5, 0.5, 0, 0]), EVERY, SHOP)
    assert frequencies(unseen([[0.25] * 4] * 5, [0, 0, 0, 0, 1]), np.float32([0.5, 0.5, 0, 0]), EVERY).tolist() == pytest.approx(
        [0.625] * 4 + [2.5]
    )
    assert proof.holding(0.4).mass == 0.4, "the four are 2.5 of 6"
    assert proof.holding(0.42).mass == pytest.approx(0.6)


def test_what_sets_hold_is_said_with_what_says_so() -> None:
    assert str(Holding(0.95, 0.9634, 1292)) == (
        "Alternatives are the categories that hold 0.963 of the probability together, so that the right one is among them for 95% of the "
        "products or more, as 1,292 labels held out tell."
    )
    assert str(Holding(0.9, 0.9)) == (
        "Alternatives are the categories that hold 0.9 of the probability together; labels are too few to say for how many products the "
        "right one is among them."
    )
