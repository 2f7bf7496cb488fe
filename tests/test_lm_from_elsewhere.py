"""A language model from elsewhere, named on the command line or in the taxonomy's file, through a whole bootstrap.

The models are tiny, with random weights, so what they say is worth nothing; but it is theirs, and the ledger names them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run
from test_cli import edit, stored
from test_lm import save

from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.store import Ledger, ModelIdentity


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp(kind), kind) for kind in ("llama", "gpt2", "t5")}


def model_of(product: str) -> ModelIdentity:
    with Ledger.open(Path(".fewtag/fewtag.db")) as ledger:
        return ledger.history(product)[0].model


def scores() -> dict[str, dict[str, float]]:
    """What the ledger has of each product's likeliest categories."""
    return {each.tag.product_id: dict(each.tag.alternatives) for each in stored()}


@pytest.mark.parametrize("kind", ["llama", *(pytest.param(each, marks=pytest.mark.slow) for each in ("gpt2", "t5"))])
def test_a_bootstrap_listens_to_a_model_folder_and_names_it(
    folders: dict[str, Path], kind: str, shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShortlistScorer, "weight", lambda *_: 0.5)  # by its random weights it would have none
    with (shop / "products.csv").open("a", encoding="utf-8") as file:
        file.write("A13,绿茶 咖啡 橙汁 礼盒,\n")  # as much a tea as a coffee or a juice
    assert run("bootstrap", "taxonomy.yaml").code == 0
    without = scores()
    (shop / "mine").symlink_to(folders[kind])
    said = run("bootstrap", "taxonomy.yaml", "--lm", "mine")
    assert (said.code, said.out[:12]) == (0, "13 products:")
    assert f"language model: {folders[kind]}" in said.talk
    told = "language model: asked about 13 of 13 different titles, with a weight of 0.50, by how far it agrees with the encoder"
    assert told in said.talk
    assert json.loads(run("status", "--json").out)["consulted"] == {"texts": 13, "of": 13, "weight": 0.5, "by_labels": False}
    assert told in run("status").out
    assert model_of("A1").name == f"{folders[kind]}"
    assert len(model_of("A1").revision) == 64  # the SHA-256 of its weights
    assert max(abs(scores()["A13"][each] - without["A13"][each]) for each in ("tea", "饮料/咖啡", "juice")) > 1e-3
    # The same command again does nothing, and what follows goes on with the model.
    assert "Nothing has changed since the last run: its tags stand." in run("bootstrap", "taxonomy.yaml", "--lm", "mine").talk
    assert run("explain", "A13").code == 0


def test_a_folder_is_looked_for_from_where_the_command_runs(
    folders: dict[str, Path], shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "elsewhere").mkdir()
    (shop / "elsewhere" / "mine").symlink_to(folders["gpt2"])
    monkeypatch.chdir(shop / "elsewhere")
    said = run("bootstrap", "../taxonomy.yaml", "--lm", "mine")
    assert f"language model: {folders['gpt2']}" in said.talk


def test_the_option_replaces_what_the_file_says_and_none_goes_without(folders: dict[str, Path], shop: Path, run: Run) -> None:
    edit("taxonomy.yaml", "categories:", f"models: {{lm: {folders['llama']}}}\nprompt: category.zh.v1\ncategories:")
    assert f"language model: {folders['llama']}" in run("bootstrap", "taxonomy.yaml").talk
    assert f"language model: {folders['gpt2']}" in run("bootstrap", "taxonomy.yaml", "--lm", folders["gpt2"]).talk
    said = run("bootstrap", "taxonomy.yaml", "--lm", "none")
    assert said.code == 0
    assert "language model: none, encoder scores decide alone" in said.talk
    assert model_of("A1") == ModelIdentity("character n-grams", "", "")


def test_an_encoder_on_the_command_line_replaces_the_files(tiny_encoder: Path, shop: Path, run: Run) -> None:
    said = run("bootstrap", "taxonomy.yaml", "--encoder", tiny_encoder)
    assert f"encoder: {tiny_encoder}, with character n-grams of the catalogue beside it" in said.talk


def test_a_model_that_is_not_there_is_told_and_nothing_is_written(shop: Path, run: Run) -> None:
    said = run("bootstrap", "taxonomy.yaml", "--lm", "./nowhere")
    assert (said.code, said.out) == (2, "")
    assert said.talk == [
        "Error: there is no model folder './nowhere' -> name a folder that is there, or a hub id such as 'organisation/model'"
    ]
    assert not (shop / ".fewtag").exists()
