"""Labels that are kept back from a lesson: which, and what they say of an encoder."""

from __future__ import annotations

import numpy as np
import pytest

from fewtag.models.few_shot import held_back
from fewtag.models.few_shot.held_back import TEMPERATURES, Exam, keep_back


def shop(counts: dict[int, int]) -> tuple[list[str], np.ndarray]:
    """Return so many titles of each class, by class."""
    pairs = [(f"{number} of {each}", each) for each, count in counts.items() for number in range(count)]
    return [title for title, _ in pairs], np.array([each for _, each in pairs], dtype=np.int64)


def test_each_class_with_enough_gives_one_up_and_keeps_two() -> None:
    titles, classes = shop(dict.fromkeys(range(50), 3) | dict.fromkeys(range(50, 100), 2))
    kept = keep_back(titles, classes, seed=0)
    assert len(kept) == 25, "a tenth of 250 labels"
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert set(classes[kept].tolist()) <= set(range(50)), "of two labels none is given up"
    assert max(np.bincount(classes[kept])) == 1
    assert np.array_equal(keep_back(titles, classes, seed=0), kept)
    assert not np.array_equal(keep_back(titles, classes, seed=1), kept)


def test_few_large_classes_give_up_a_tenth_each() -> None:
    titles, classes = shop({0: 40, 1: 200})
    assert np.bincount(classes[keep_back(titles, classes, seed=0)]).tolist() == [4, 20]


def test_where_fewer_than_twenty_would_be_kept_back_none_are() -> None:
    assert len(keep_back(*shop(dict.fromkeys(range(19), 10)), seed=0)) == 0
    assert len(keep_back(*shop(dict.fromkeys(range(20), 10)), seed=0)) == 20
    assert len(keep_back([], np.empty(0, dtype=np.int64), seed=0)) == 0


def test_no_more_are_kept_back_than_a_measurement_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "MOST", 30)
    assert len(keep_back(*shop(dict.fromkeys(range(100), 8)), seed=0)) == 30


def test_a_title_that_was_learnt_or_stands_there_twice_is_not_kept_back() -> None:
    titles, classes = shop(dict.fromkeys(range(30), 8))
    learnt = {title for title in titles if not title.startswith(("6", "7"))}
    titles = ["the same" if title.startswith("7") else title for title in titles]
    kept = [titles[row] for row in keep_back(titles, classes, seed=0, learnt=learnt)]
    assert len(kept) == 24
    assert all(title.startswith("6") for title in kept)


def test_the_nearest_prototype_of_words_and_titles_is_what_counts() -> None:
    vectors = {"tea": (1, 0), "green tea": (0.8, 0.6), "soap": (0, 1), "a tea": (0.96, 0.28), "a soap": (0.8, 0.6)}
    exam = Exam.of((["a tea", "a soap"], np.array([0, 1])), (["green tea"], np.array([0])), [["tea"], ["soap"]])
    found = exam.figures(lambda texts: np.array([vectors[text] for text in texts], dtype=np.float32))
    tea, soap = np.array([1.8, 0.6]) / np.hypot(1.8, 0.6), np.array([0, 1])
    cosines = np.array([[vectors[text] @ each for each in (tea, soap)] for text in ("a tea", "a soap")])
    likely = [np.exp(cosines / heat) / np.exp(cosines / heat).sum(axis=1, keepdims=True) for heat in TEMPERATURES]
    best = min(-np.mean(np.log([each[0, 0], each[1, 1]])) for each in likely)
    assert found == {"accuracy": 0.5, "log_loss": pytest.approx(best, rel=1e-4)}


def test_an_exam_stays_small_however_many_classes_and_titles_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "MOST", 10)
    titles, classes = shop(dict.fromkeys(range(100), 9))
    exam = Exam.of((["x", "y"], np.array([3, 70])), (titles, classes), [[f"class {each}"] for each in range(100)])
    assert exam.gold.tolist() == [0, 1]
    assert len(exam.texts) == 10 + 10 * held_back.TITLES_PER_CLASS
    assert exam.texts[:2] == ["class 3", "class 70"]
    assert np.bincount(exam.owners).tolist() == [1 + held_back.TITLES_PER_CLASS] * 10
