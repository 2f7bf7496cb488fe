"""The recipe of the embedded language model: how answers are packed, which names are rivals, what the loss counts, and that it falls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewtag.models.lm.model import LanguageModel
from fewtag.models.source import locate
from tests.test_encoder_recipe import ROWS
from training import language_model
from training.language_model import Packed, Recipe, Special, likelihoods, losses, rivals, sampled_words

SHORT = Recipe(steps=80, batch=8, rivals=2, learning_rate=1e-2, head_rate=1e-2, empty=0.2, sampled=8, kept_every=10)


def test_rivals_are_the_nearest_names_of_the_pool_that_are_wrong() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "tea", "other": "jam", "label": [0, 1, 9, 0, -1]},
        {"name": "drinks", "other": "soap", "label": [9, 3, 9, 4, -1]},
    ]
    vectors = {"tea": [1, 0, 0], "jam": [0, 1, 0], "drinks": [0.9, 0.1, 0.4], "soap": [0, 0, 1]}
    names = {name: np.array(vector, dtype=np.float32) for name, vector in vectors.items()}
    titles = np.array([[0.8, 0.5, 0.1], [0.1, 0.2, 0.9]], dtype=np.float32)
    # Drinks stand above tea, and are right for the first title; for the second, tea stands below and is not what was meant.
    assert rivals(rows, titles, names, 2) == [["jam", "soap"], ["soap", "jam"]]
    assert rivals(rows, titles, names, 3) == [[], ["soap", "jam", "tea"]], "a pool too small for so many gives none"


def test_packed_answers_are_as_likely_as_each_is_alone(tiny_encoder: Path) -> None:
    model, _ = language_model.fresh(locate(str(tiny_encoder)))
    torch.manual_seed(0)
    for each in model.parameters():
        each.data += 0.3 * torch.randn_like(each)
    special, every = Special(start=2, opener=3, padding=0), torch.arange(model.config.vocab_size)
    titles, answers = [(5, 6, 7), (8,)], [[(9, 10), (9,)], [(11,), (12, 13, 14)]]
    packed = Packed.of(titles, answers, special)
    named = np.unique(packed.target)
    words = torch.from_numpy(np.concatenate([named, np.setdiff1d(every.numpy(), named)]))
    with torch.no_grad():
        found, lengths = likelihoods(model.eval(), packed, words, 1.0)
        for number, (title, answer) in enumerate((title, answer) for title, row in zip(titles, answers, strict=True) for answer in row):
            ids = torch.tensor([[2, *title, 3, *answer]])
            logs = model(ids).logits[0].log_softmax(-1)
            expected = sum(float(logs[len(title) + 1 + at, token]) for at, token in enumerate((*answer, 3)))
            assert float(found[number]) == pytest.approx(expected, abs=1e-4)
    assert lengths.tolist() == [3, 2, 2, 4]


def test_a_sample_names_all_words_of_a_step_and_some_others() -> None:
    words, share = sampled_words(np.array([5, 2, 5]), 10, 4, np.random.default_rng(0))
    assert words[:2].tolist() == [2, 5]
    assert len(set(words.tolist())) == 6
    assert share == pytest.approx(4 / 8)


def test_the_loss_is_of_writing_the_name_and_of_choosing_it_by_what_the_title_adds() -> None:
    conditional, prior = torch.tensor([[-4.0, -3.0], [-2.0, -9.0]]), torch.tensor([[-6.0, -4.0], [-2.0, -1.0]])
    written, chosen = losses(conditional, prior, torch.tensor([[2, 1], [4, 1]]), torch.tensor([True, False]))
    assert float(written) == pytest.approx((4 / 2 + 2 / 4) / 2)
    # The first title adds 2 to its own name and 1 to the other; the second says nothing, and chooses nothing.
    assert float(chosen) == pytest.approx(np.log(1 + np.exp(-1)))


@pytest.mark.slow
def test_the_loss_falls_and_what_is_saved_is_a_language_model_of_the_engine(tiny_encoder: Path, tmp_path: Path) -> None:
    model, tokenizer, found = language_model.train(locate(str(tiny_encoder)), ROWS * 30, tmp_path / "checkpoints", SHORT)
    assert len(found) == 8
    assert found[-1] < 0.9 * found[0]
    model.save_pretrained(tmp_path / "lm")
    tokenizer.save_pretrained(tmp_path / "lm")
    lm = LanguageModel.load(str(tmp_path / "lm"), device="cpu", dtype="float32")
    assert lm.way == "tree"
    names = ["茶叶", "咖啡", "香皂", "毛巾"]
    gains = lm.score(["绿茶", "大浴巾"], names) - lm.score([""], names)
    assert gains.argmax(axis=1).tolist() == [0, 3]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_where_an_undisturbed_one_does(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, recipe = locate(str(tiny_encoder)), Recipe(**{**{name: getattr(SHORT, name) for name in SHORT.__slots__}, "steps": 20})
    whole, _, expected = language_model.train(source, ROWS * 30, tmp_path / "whole", recipe)
    calls, computed = [], language_model.losses

    def dies(*each: Any) -> Any:
        calls.append(1)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return computed(*each)

    monkeypatch.setattr(language_model, "losses", dies)
    with pytest.raises(KeyboardInterrupt):
        language_model.train(source, ROWS * 30, tmp_path / "killed", recipe)
    resumed, _, found = language_model.train(source, ROWS * 30, tmp_path / "killed", recipe)
    assert len(calls) == 14 + 10, "it went on from the checkpoint after 10 steps"
    assert found == expected
    assert all(torch.equal(one, other) for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
