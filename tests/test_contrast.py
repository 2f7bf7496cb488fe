"""Tuning an encoder by contrast: the loss against a loop over pairs, what is drawn, and what a kill costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewtag.models.few_shot import contrast
from fewtag.models.few_shot.contrast import ContrastSettings, Lesson, supervised_contrast, tune
from fewtag.models.few_shot.held_back import Exam
from fewtag.models.source import locate

TITLES = ["西湖绿茶 250g", "红茶 茶叶 50包", "咖啡豆 深烘", "速溶咖啡", "香皂 三块装", "洁白香皂", "纯棉毛巾", "大浴巾"]
CLASSES = np.array([0, 0, 1, 1, 2, 2, 3, 3])
PHRASES = [["茶叶", "绿茶"], ["咖啡"], ["香皂"], ["毛巾", "浴巾"]]
LESSON = Lesson(TITLES, CLASSES, PHRASES, np.array([0, 0, 1, 1]))


def test_the_loss_is_the_mean_over_texts_of_how_unlikely_their_fellows_are() -> None:
    rng = np.random.default_rng(0)
    vectors, classes, temperature = rng.standard_normal((7, 5)), [0, 0, 1, 1, 1, 2, 0], 0.3
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = []
    for one in range(7):
        others = [other for other in range(7) if other != one]
        total = sum(np.exp(unit[one] @ unit[other] / temperature) for other in others)
        fellows = [other for other in others if classes[other] == classes[one]]
        if fellows:  # the sixth is alone in its class
            losses.append(-np.mean([np.log(np.exp(unit[one] @ unit[other] / temperature) / total) for other in fellows]))
    assert len(losses) == 6
    found = supervised_contrast(torch.tensor(3 * vectors), torch.tensor(classes), temperature)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_each_title_is_drawn_once_before_any_is_drawn_again_with_words_of_its_own_class_and_of_a_sibling() -> None:
    drawn = LESSON.drawn(20, seed=1)
    assert sorted(drawn["title"][:8]) == sorted(drawn["title"][8:16]) == sorted(TITLES)
    assert [len(column) for column in drawn.values()] == [20] * 4
    for title, word, sibling, (own, beside) in zip(*drawn.values(), strict=True):
        assert own == CLASSES[TITLES.index(title)]
        assert word in PHRASES[own]
        assert beside == [1, 0, 3, 2][own]
        assert sibling in PHRASES[beside]
    assert LESSON.drawn(20, seed=1) == drawn
    assert LESSON.drawn(20, seed=2) != drawn


def test_siblings_are_drawn_alike_from_a_family_and_never_the_class_itself() -> None:
    lesson = Lesson(["one"], np.array([2]), [[str(each)] for each in range(5)], np.array([7, 1, 7, 7, 1]))
    drawn = [beside for _, beside in lesson.drawn(2000, seed=0)["label"]]
    assert set(drawn) == {0, 3}
    assert drawn.count(0) == pytest.approx(1000, abs=100)


def test_where_there_is_no_sibling_the_class_stands_beside_itself() -> None:
    drawn = Lesson(TITLES[:2], CLASSES[:2], PHRASES[:1], np.array([0])).drawn(2, seed=0)
    assert drawn["label"] == [[0, 0], [0, 0]]


def test_the_steps_grow_with_the_titles_within_bounds() -> None:
    settings = ContrastSettings(epochs=8, batch=64, steps=(24, 2000))
    assert [settings.steps_for(titles) for titles in (1, 64, 640, 65_000)] == [24, 24, 80, 2000]


def within_and_across(body: Any) -> tuple[float, float]:
    """Return the mean cosine of titles that share a class, and of titles that do not."""
    vectors = body.encode(TITLES, normalize_embeddings=True)
    cosines, same = vectors @ vectors.T, CLASSES[:, None] == CLASSES[None]
    return float(cosines[same & ~np.eye(8, dtype=bool)].mean()), float(cosines[~same].mean())


SETTINGS = ContrastSettings(epochs=30, batch=8, learning_rate=1e-2, steps=(1, 40))


def test_titles_of_one_class_come_together_and_no_checkpoint_is_left(tiny_encoder: Path, tmp_path: Path, capsys: Any) -> None:
    from sentence_transformers import SentenceTransformer

    before = np.subtract(*within_and_across(SentenceTransformer(str(tiny_encoder), device="cpu")))
    capsys.readouterr()
    body = tune(locate(str(tiny_encoder)), LESSON, tmp_path / "checkpoints", SETTINGS, seed=0)[0]
    said = capsys.readouterr()
    assert np.subtract(*within_and_across(body)) > before + 0.3
    assert list(tmp_path.iterdir()) == []
    assert said == ("", ""), "neither data nor talk: that is for the doors"


def steps_of(monkeypatch: pytest.MonkeyPatch, killed_at: int = 0) -> list[int]:
    """Note what the bar is told from here on, and kill the tuning when it has come so far."""
    seen: list[int] = []

    def update(_: Any, count: int) -> None:
        seen.append(count)
        if killed_at and sum(seen) == killed_at:
            raise KeyboardInterrupt

    shows = contrast._shows
    monkeypatch.setattr(contrast, "_shows", lambda _: shows(type("Bar", (), {"update": update})()))
    return seen


@pytest.mark.slow
@pytest.mark.usefixtures("no_cards")
def test_a_killed_tuning_goes_on_and_ends_where_an_undisturbed_one_does(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = locate(str(tiny_encoder))
    whole = tune(source, LESSON, tmp_path / "whole", SETTINGS, seed=0)[0].encode(TITLES)
    with monkeypatch.context() as patch:
        steps_of(patch, killed_at=13)
        with pytest.raises(KeyboardInterrupt):
            tune(source, LESSON, tmp_path / "killed", SETTINGS, seed=0)
    seen = steps_of(monkeypatch)
    resumed = tune(source, LESSON, tmp_path / "killed", SETTINGS, seed=0)[0].encode(TITLES)
    assert seen[0] == 12, "a checkpoint is written every three of thirty steps"
    assert np.array_equal(resumed, whole)


HELD = np.array([1, 6])
FIGURES = [4, 3, 2, 1, 2, 3, 1, 0.5, 0.1, 0.1, 0.1]
"""Log-losses before the tuning and at each measurement of a script; the fourth is the best before patience ends."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let exams find what stands here, one figure after the other."""
    left = list(FIGURES)
    monkeypatch.setattr(Exam, "figures", lambda self, encode: {"accuracy": 0.5, "log_loss": left.pop(0)})
    return left


@pytest.mark.usefixtures("no_cards")
def test_it_stops_when_what_was_kept_back_gains_no_more_and_returns_the_best(
    tiny_encoder: Path, tmp_path: Path, script: list[float]
) -> None:
    source = locate(str(tiny_encoder))
    body, record = tune(source, LESSON, tmp_path / "checkpoints", SETTINGS, 0, HELD)
    # Measured every three of twenty-four steps: 3, 2, 1 fall, and then three are no better.
    assert (record.titles, record.held_out, record.steps, record.best_step) == (6, 2, 18, 9)
    assert (record.log_loss_before, record.log_loss, record.started_from) == (4, 1, source.identity)
    assert list(tmp_path.iterdir()) == []
    script[:] = [4, 3, 2, 1]
    shorter = ContrastSettings(epochs=30, batch=8, learning_rate=1e-2, steps=(1, 40), patience=99)
    with pytest.raises(IndexError):  # the script ends at step 12, where a checkpoint of step 9 lies
        tune(source, LESSON, tmp_path / "checkpoints", shorter, 0, HELD)
    [place] = (tmp_path / "checkpoints").iterdir()
    from sentence_transformers import SentenceTransformer

    best = SentenceTransformer(str(place / "checkpoint-9"), device="cpu")
    assert np.array_equal(body.encode(TITLES), best.encode(TITLES))


@pytest.mark.usefixtures("no_cards")
def test_a_tuning_that_did_no_good_is_undone(tiny_encoder: Path, tmp_path: Path, script: list[float]) -> None:
    from sentence_transformers import SentenceTransformer

    script[0] = 0.9
    body, record = tune(locate(str(tiny_encoder)), LESSON, tmp_path / "checkpoints", SETTINGS, 0, HELD)
    assert (record.steps, record.best_step, record.log_loss) == (18, 0, 0.9)
    assert np.array_equal(body.encode(TITLES), SentenceTransformer(str(tiny_encoder), device="cpu").encode(TITLES))


def test_what_is_kept_back_is_not_learnt() -> None:
    taught = LESSON.without(HELD)
    assert taught.titles == [title for row, title in enumerate(TITLES) if row not in (1, 6)]
    assert taught.classes.tolist() == [0, 1, 1, 2, 2, 3]
    assert set(taught.drawn(12, seed=0)["title"]) == set(taught.titles)


PATIENT = ContrastSettings(epochs=30, batch=8, learning_rate=3e-2, steps=(1, 40), patience=2)


@pytest.mark.parametrize("left", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(7, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("no_cards")
def test_a_killed_tuning_that_was_measured_ends_with_the_same_bits(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    source = locate(str(tiny_encoder))
    whole, record = tune(source, LESSON, tmp_path / "whole", PATIENT, 0, HELD)
    assert 0 < record.best_step < record.steps < 24
    with monkeypatch.context() as patch:
        steps_of(patch, killed_at=record.steps - left)
        with pytest.raises(KeyboardInterrupt):
            tune(source, LESSON, tmp_path / "killed", PATIENT, 0, HELD)
    seen = steps_of(monkeypatch)
    resumed, again = tune(source, LESSON, tmp_path / "killed", PATIENT, 0, HELD)
    assert seen[0] == record.steps - left - 2, "the last measurement before"
    assert again == record
    assert np.array_equal(resumed.encode(TITLES), whole.encode(TITLES))


@pytest.mark.slow
@pytest.mark.usefixtures("no_cards")
def test_one_that_is_killed_when_all_is_learnt_learns_no_more(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = locate(str(tiny_encoder))
    whole, record = tune(source, LESSON, tmp_path / "whole", PATIENT, 0, HELD)
    with monkeypatch.context() as patch:
        patch.setattr(contrast, "shutil", None)
        with pytest.raises(AttributeError):
            tune(source, LESSON, tmp_path / "killed", PATIENT, 0, HELD)
    seen = steps_of(monkeypatch)
    resumed, again = tune(source, LESSON, tmp_path / "killed", PATIENT, 0, HELD)
    assert (seen, again) == ([], record)
    assert np.array_equal(resumed.encode(TITLES), whole.encode(TITLES))
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_was_not_written_to_its_end_is_deleted_and_the_one_before_is_taken(tmp_path: Path) -> None:
    for step, names in ((3, contrast.WHOLE), (6, contrast.WHOLE), (12, contrast.WHOLE[:-1])):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in names:
            (folder / name.replace("*", "")).write_text("")
    assert contrast._last_whole(tmp_path) == str(tmp_path / "checkpoint-6")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-6"]
    assert contrast._last_whole(tmp_path / "none") is None
