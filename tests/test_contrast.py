"""Tuning an encoder by contrast: the loss against a loop over pairs, what is drawn, and what a kill costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewtag.models.few_shot import contrast
from fewtag.models.few_shot.contrast import ContrastSettings, Lesson, supervised_contrast, tune
from fewtag.models.source import locate

TITLES = ["西湖绿茶 250g", "红茶 茶叶 50包", "咖啡豆 深烘", "速溶咖啡", "香皂 三块装", "洁白香皂", "纯棉毛巾", "大浴巾"]
CLASSES = np.array([0, 0, 1, 1, 2, 2, 3, 3])
PHRASES = [["茶叶", "绿茶"], ["咖啡"], ["香皂"], ["毛巾", "浴巾"]]
LESSON = Lesson(TITLES, CLASSES, PHRASES, [[1], [0], [3], [2]])


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


def test_each_title_is_drawn_once_an_epoch_with_words_of_its_own_class_and_of_a_sibling() -> None:
    drawn = LESSON.drawn(3, seed=1)
    assert sorted(drawn["title"]) == sorted(3 * TITLES)
    for title, word, sibling, (own, beside) in zip(*drawn.values(), strict=True):
        assert own == CLASSES[TITLES.index(title)]
        assert word in PHRASES[own]
        assert beside == LESSON.siblings[own][0]
        assert sibling in PHRASES[beside]
    assert LESSON.drawn(3, seed=1) == drawn
    assert LESSON.drawn(3, seed=2) != drawn


def test_where_there_is_no_sibling_the_class_stands_beside_itself() -> None:
    drawn = Lesson(TITLES[:2], CLASSES[:2], PHRASES[:1], [[]]).drawn(1, seed=0)
    assert drawn["label"] == [[0, 0], [0, 0]]


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
    body = tune(locate(str(tiny_encoder)), LESSON, tmp_path / "checkpoints", SETTINGS, seed=0)
    said = capsys.readouterr()
    assert np.subtract(*within_and_across(body)) > before + 0.3
    assert list(tmp_path.iterdir()) == []
    assert said == ("", ""), "neither data nor talk: that is for the doors"


def test_a_killed_tuning_goes_on_and_ends_where_an_undisturbed_one_does(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = locate(str(tiny_encoder))
    whole = tune(source, LESSON, tmp_path / "whole", SETTINGS, seed=0).encode(TITLES)
    shows, seen = contrast._shows, []

    class Killing:
        def update(self, count: int) -> None:
            seen.append(count)
            if sum(seen) == 13:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(contrast, "_shows", lambda _: shows(Killing()))
        with pytest.raises(KeyboardInterrupt):
            tune(source, LESSON, tmp_path / "killed", SETTINGS, seed=0)
    first: list[int] = []
    monkeypatch.setattr(contrast, "_shows", lambda _: shows(type("Counts", (), {"update": lambda self, count: first.append(count)})()))
    resumed = tune(source, LESSON, tmp_path / "killed", SETTINGS, seed=0).encode(TITLES)
    assert first[0] == 12, "a checkpoint is written every three of thirty steps"
    np.testing.assert_allclose(resumed, whole, atol=1e-5)


def test_a_checkpoint_that_was_not_written_to_its_end_is_deleted_and_the_one_before_is_taken(tmp_path: Path) -> None:
    for step, names in ((3, contrast.WHOLE), (6, contrast.WHOLE), (12, contrast.WHOLE[:-1])):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in names:
            (folder / name.replace("*", "")).write_text("")
    assert contrast._last_whole(tmp_path) == str(tmp_path / "checkpoint-6")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-6"]
    assert contrast._last_whole(tmp_path / "none") is None
