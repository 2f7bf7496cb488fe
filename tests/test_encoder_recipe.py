"""The recipe of the tuned encoder: what pairs are made of a taxonomy that fits on a hand, what the loss counts, and that it falls."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewtag.models.source import locate
from training import data, encoder
from training.data import Tree, pairs, phrases, real, synthetic
from training.words import KINDS, VALUES

SHOP = Tree(
    [("Toys",), ("Toys", "Kites"), ("Toys", "Dolls & Puppets"), ("Garden",), ("Garden", "Water Hoses")],
    {("Garden", "Water Hoses"): ("hose_material", "color")},
)
ORIGINS = {
    "shopify": synthetic(SHOP),
    "flipkart": real([("Red Kite", ("Toys", "Kites")), ("red kite", ("Garden",)), ("Acme Doll", ("Toys", "Dolls")), ("Hoe", ("Garden",))]),
}


def test_a_pair_is_a_title_with_a_category_on_its_path_and_a_sibling_in_the_same_mould() -> None:
    made = list(pairs(ORIGINS, 400, seed=0))
    for each in made:
        assert each.title
        assert each.owner in each.path
        assert each.owner != each.other
        assert each.word in {phrase for depth in (1, 2) for phrase in phrases(each.path[:depth])}
    assert {each.other for each in made if each.owner == "Kites"} == {"Dolls & Puppets", "Dolls"}
    assert {each.other for each in made if each.owner == "Garden"} == {"Toys"}
    assert all(each.other in ("Toys", "Kites", "Dolls & Puppets", "Dolls") for each in made if each.owner == "Water Hoses")
    assert {each.title for each in made if each.path == ("Toys", "Kites")} >= {"Red Kite"}


def test_the_same_seed_gives_the_same_pairs() -> None:
    first, again, other = (list(pairs(ORIGINS, 50, seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_title_that_repeats_counts_once() -> None:
    drawn = {ORIGINS["flipkart"].draw(random.Random(seed)) for seed in range(40)}
    assert drawn == {("Red Kite", ("Toys", "Kites")), ("Acme Doll", ("Toys", "Dolls")), ("Hoe", ("Garden",))}


def test_what_a_title_says_of_an_attribute_stands_in_the_table_of_its_kind() -> None:
    table = dict(VALUES)
    assert {data.values_of("hose_material", random.Random(seed)) for seed in range(300)} == set(table["material"])
    assert {data.values_of("swimwear_material", random.Random(seed)) for seed in range(300)} == set(table["wear_material"])
    assert data.values_of("license_type", random.Random(0)) == ""


def test_a_category_of_several_things_is_one_of_them_in_a_title() -> None:
    said = {data.type_words(("Toys", "Dolls & Puppets"), random.Random(seed)) for seed in range(200)}
    assert said == {"Doll", "Dolls", "Puppet", "Puppets", "Toy Doll", "Toy Dolls", "Toy Puppet", "Toy Puppets"}


def test_a_mistyped_word_lacks_a_letter_or_has_two_swapped() -> None:
    for seed in range(50):
        slip = data.mistyped("garden", random.Random(seed))
        assert len(slip) == 5 or sorted(slip) == sorted("garden")
    assert data.mistyped("tea", random.Random(0)) == "tea"


def test_pairs_are_written_with_numbers_that_say_which_names_are_the_same(tmp_path: Path) -> None:
    made = [data.Pair("t", "w", "s", "Kites", "Dolls", ("Toys", "Kites")), data.Pair("u", "w", "s", "TOYS", "Garden", ("TOYS",))]
    lines = data.read(data.write(made, tmp_path / "new" / "pairs.jsonl"))
    assert [line["label"][:4] for line in lines] == [[1, 2, 0, 1], [0, 3, 0, -1]]
    assert [len(line["label"]) for line in lines] == [2 + data.DEPTH] * 2
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pairs.jsonl"]


@pytest.mark.data
@pytest.mark.parametrize("left_out", data.LEFT_OUT)
def test_what_is_left_out_is_not_read(left_out: str) -> None:
    if not data.DATA.is_dir():
        pytest.skip("FEWTAG_DATA names no folder")
    origins = data.read_origins(data.DATA, [left_out])
    assert set(origins) == set(data.SHARES) - {left_out}
    names = {path[-1] for path in origins["shopify"].tree.paths}
    assert len(KINDS.keys() & names) > 60


def test_the_loss_leaves_out_words_that_are_right_too() -> None:
    rng = np.random.default_rng(0)
    titles, words, temperature = rng.standard_normal((3, 5)), rng.standard_normal((3, 5)), 0.3
    owners, paths = [7, 3, 9], [[3, 7], [3, -1], [9, 2]]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (titles, words)]
    likely = np.exp(unit[0] @ unit[1].T / temperature)
    # The second word (3) is right for the first title too; no other is right for the second.
    losses = [
        -np.log(likely[0, 0] / likely[0, [0, 2]].sum()),
        -np.log(likely[1, 1] / likely[1].sum()),
        -np.log(likely[2, 2] / likely[2].sum()),
    ]
    found = encoder.in_batch_softmax(*map(torch.tensor, (titles, words, owners, paths)), temperature)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


KINDS_OF = {"茶叶": "绿茶 红茶", "咖啡": "速溶咖啡 咖啡豆", "香皂": "洁白香皂 香皂", "毛巾": "大浴巾 纯棉毛巾"}
NUMBER = {name: place for place, name in enumerate(KINDS_OF)}
ROWS: list[dict[str, Any]] = [
    {"title": title, "word": name, "sibling": other, "name": name, "other": other, "label": [NUMBER[name], NUMBER[other], NUMBER[name], -1]}
    for name, titles in KINDS_OF.items()
    for title in titles.split()
    for other in KINDS_OF
    if other != name
]
SHORT = encoder.Recipe(steps=60, batch=8, learning_rate=1e-2, kept_every=20)


GENERAL = ["绿", "咖", "白白", "浴巾", "速"]


@pytest.mark.slow
def test_the_loss_falls_and_the_word_embeddings_stay(tiny_encoder: Path, tmp_path: Path) -> None:
    source = locate(str(tiny_encoder))
    body, losses = encoder.train(source, ROWS, GENERAL, tmp_path, SHORT)
    assert len(losses) == 6
    assert losses[-1] < 0.7 * losses[0]
    before, after = (each[0].auto_model.state_dict() for each in (encoder.loaded(source), body))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if encoder.FROZEN in name]


@pytest.mark.slow
def test_texts_that_are_no_products_stay_nearer_to_where_they_were(tiny_encoder: Path, tmp_path: Path) -> None:
    source = locate(str(tiny_encoder))
    original = encoder.loaded(source).eval().encode(GENERAL, convert_to_tensor=True)
    turned = [
        float(encoder.stayed(encoder.train(source, ROWS, GENERAL, tmp_path, recipe)[0].encode(GENERAL, convert_to_tensor=True), original))
        for recipe in (replace(SHORT, staying=0.0), replace(SHORT, general=8, staying=10.0))
    ]
    assert turned[1] < 0.5 * turned[0]
    assert float(encoder.stayed(torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[3.0, 0], [1, 0]]))) == pytest.approx(0.5)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_where_an_undisturbed_one_does(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = locate(str(tiny_encoder))
    whole, losses = encoder.train(source, ROWS, GENERAL, tmp_path / "whole", SHORT)
    calls = []

    def dies(*each: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 31:
            raise KeyboardInterrupt
        return in_batch_softmax(*each)

    in_batch_softmax = encoder.in_batch_softmax
    monkeypatch.setattr(encoder, "in_batch_softmax", dies)
    with pytest.raises(KeyboardInterrupt):
        encoder.train(source, ROWS, GENERAL, tmp_path / "killed", SHORT)
    resumed, again = encoder.train(source, ROWS, GENERAL, tmp_path / "killed", SHORT)
    assert len(calls) == 31 + 40, "it went on from the checkpoint after 20 steps"
    assert again == losses
    assert np.array_equal(resumed.encode(["绿茶"]), whole.encode(["绿茶"]))


def test_a_mix_lies_between_what_it_is_made_of(tiny_encoder: Path, tmp_path: Path) -> None:
    source = locate(str(tiny_encoder))
    tuned = encoder.train(source, ROWS, GENERAL, tmp_path / "checkpoints", encoder.Recipe(10, 8, 1e-2))[0]
    encoder.save(tuned, tmp_path / "tuned")
    mixes = [encoder.mixed(source, tmp_path / "tuned", weight)[0].auto_model.state_dict() for weight in (0.0, 0.5, 1.0)]
    ends = encoder.loaded(source)[0].auto_model.state_dict(), tuned[0].auto_model.state_dict()
    for name in ends[0]:
        for weight, mix in zip((0.0, 0.5, 1.0), mixes, strict=True):
            expected = (1 - weight) * ends[0][name].double() + weight * ends[1][name].double()
            assert torch.allclose(mix[name].double(), expected, atol=1e-6)


def test_texts_are_embedded_together_by_length_as_each_would_be_alone(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = encoder.loaded(locate(str(tiny_encoder))).eval()
    monkeypatch.setattr(encoder, "TEXTS_TOGETHER", 2)
    columns = [["绿茶", "速溶咖啡豆", "茶"], ["大浴巾纯棉", "香", "洁白"]]
    found = encoder.embedded(body, [body.preprocess(column) for column in columns])
    alone = np.stack([body.encode(text) for column in columns for text in column])
    assert np.allclose(found.detach().numpy(), alone, atol=1e-5)
