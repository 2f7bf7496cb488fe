"""The weights that fewtag brings: eight bits and back, a folder that is made once, and what is damaged."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from fewtag.errors import ModelError
from fewtag.models import weights
from training.ship import pack


@pytest.fixture
def turned(tiny_encoder: Path, tmp_path: Path) -> Path:
    """The tiny encoder with other layers upon the same word embeddings, in a folder."""
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    torch.manual_seed(1)
    for name, each in model[0].auto_model.named_parameters():
        if not name.endswith(weights.TABLE):
            each.data += 0.1 * torch.randn_like(each)
    model.save(str(tmp_path / "turned"))
    return tmp_path / "turned"


@pytest.fixture
def ours(tiny_encoder: Path, turned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, packed under the name `ours`; what is unpacked goes to a folder of the test's own."""
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(huggingface_hub.constants, "HF_ASSETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(weights.SHIPPED, "ours", pack(tiny_encoder, turned, tmp_path / "weights" / "ours"))
    return tmp_path / "weights" / "ours"


def test_eight_bits_are_at_most_half_a_step_off() -> None:
    row = torch.tensor([[127.0, -63.4, 0.5, 0.0]])
    layers = weights.packed({"a": row, "b": torch.tensor([0.3]), "word_embeddings.weight": row})
    assert layers["a"].tolist() == [[127, -63, 0, 0]], "halves go to the even number"
    assert {name: each.numel() for name, each in layers.items()} == {"a": 4, "a.scale": 1, "b": 1, "word_embeddings.weight": 0}
    again = weights.unpacked(layers, row)
    assert again["a"].tolist() == [[127.0, -63.0, 0.0, 0.0]]
    assert again["b"].tolist() == torch.tensor([0.3]).tolist()
    assert again["word_embeddings.weight"].tolist() == row.tolist()


def test_a_shipped_model_is_an_ordinary_folder_made_once_and_the_same_to_the_bit(ours: Path, tiny_encoder: Path, turned: Path) -> None:
    folder = weights.folder_of("ours", tiny_encoder)
    vectors = [SentenceTransformer(str(each), device="cpu").encode(["绿茶", "浴巾"]) for each in (folder, turned, tiny_encoder)]
    assert np.abs(vectors[0] - vectors[1]).max() < 0.02 < np.abs(vectors[0] - vectors[2]).max()
    made = (folder / weights.WHOLE).stat().st_mtime_ns
    assert weights.folder_of("ours", tiny_encoder) == folder
    assert (folder / weights.WHOLE).stat().st_mtime_ns == made
    for name, each in load_file(turned / weights.WHOLE).items():
        bound = each.abs().amax(dim=-1, keepdim=True) / 254 if each.dim() == 2 and not name.endswith(weights.TABLE) else 0
        assert bool(((load_file(folder / weights.WHOLE)[name] - each).abs() <= bound + 1e-7).all()), name
    assert ours.joinpath(weights.LAYERS).stat().st_size < (turned / weights.WHOLE).stat().st_size


@pytest.mark.parametrize("damage", [b"", b"no safetensors"])
def test_a_folder_that_was_damaged_is_made_anew(ours: Path, tiny_encoder: Path, damage: bytes) -> None:
    file = weights.folder_of("ours", tiny_encoder) / weights.WHOLE
    whole = file.read_bytes()
    file.write_bytes(damage)
    weights.folder_of("ours", tiny_encoder)
    assert file.read_bytes() == whole


def test_layers_of_which_a_bit_has_turned_are_refused(ours: Path, tiny_encoder: Path) -> None:
    file = ours / weights.LAYERS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"the weights have SHA-256 [0-9a-f]{12}\.\.\., not .* -> pip install --force-reinstall fewtag"):
        weights.folder_of("ours", tiny_encoder)


def test_a_folder_that_cannot_be_written_is_a_model_error(
    ours: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(huggingface_hub.constants, "HF_ASSETS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match=r"cannot be unpacked: .* -> set HF_HOME to a folder that can be written"):
        weights.folder_of("ours", tiny_encoder)


def test_a_model_upon_other_word_embeddings_is_not_packed(tiny_encoder: Path, tmp_path: Path) -> None:
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    model[0].auto_model.embeddings.word_embeddings.weight.data += 1
    model.save(str(tmp_path / "other"))
    with pytest.raises(ModelError, match="the word embeddings are not the original's"):
        pack(tiny_encoder, tmp_path / "other", tmp_path / "packed")
