"""What the tests of the doors share: a tiny shop, a tiny encoder, and the command line run within the process.

The trap: the shop speaks Chinese, for which the embedded preset has no encoder; so no test loads torch unless it asks for an encoder.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from fewtag.workspace import VARIABLE

TAXONOMY = """\
# What stands where.
fewtag: 1
name: 小店
language: zh
catalogue: {file: products.csv, id: sku, text: "{{ title }} {{ brand }}"}

categories:
  - id: drinks  # by the door
    name: 饮料
    children:
      - id: tea
        name: 茶叶
        aliases: [绿茶, 红茶]
      - name: 咖啡  # beans too
        aliases: [咖啡豆, 速溶咖啡]
      - id: juice
        name: 果汁
        aliases: [橙汁, 苹果汁]
  - id: home
    name: 日用
    children:
      - id: soap
        name: 香皂
        aliases: [洗手液, 沐浴露]
      - name: 牙膏
        aliases: [牙刷]
      - id: towels
        name: 毛巾
        aliases: [浴巾, 面巾]
"""
PRODUCTS = """\
sku,title,brand
A1,西湖绿茶 250g,山云
A2,红茶 茶叶 50包,山云
A3,速溶咖啡 30条,早安
A4,咖啡豆 深烘 500g,早安
A5,橙汁 1L,果园
A6,苹果汁 纯果汁 6瓶,果园
A7,香皂 100g 三块装,洁白
A8,洗手液 泡沫 500ml,洁白
A9,薄荷牙膏 120g,
A10,软毛牙刷 成人 4支,
A11,纯棉毛巾 两条装,柔
A12,大浴巾 加厚,柔
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command came to: its exit code, its data and its talk."""

    code: int
    out: str
    err: str

    @property
    def talk(self) -> list[str]:
        """The lines on stderr; what a bar has drawn and wiped out again is none."""
        return [line.strip() for line in self.err.splitlines() if line.strip()]


Run = Callable[..., Said]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with a taxonomy.yaml (six leaves in two branches, two of them without an id) and twelve products."""
    return opened(tmp_path, monkeypatch)


@pytest.fixture
def tagged(shop: Path, shop_tagged_once: Path) -> Path:
    """The shop after its first bootstrap: a copy, with which a test may do what it likes."""
    shutil.copytree(shop_tagged_once, shop, dirs_exist_ok=True)
    return shop


@pytest.fixture(scope="session")
def shop_tagged_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop that `tagged` copies. Nothing in it says where it lies, so a copy is as good as a bootstrap in its place."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        folder = opened(tmp_path_factory.mktemp("tagged"), patch)
        assert called(patch, "bootstrap", "taxonomy.yaml") == 0
    return folder


def opened(parent: Path, patch: pytest.MonkeyPatch) -> Path:
    """Open the shop in a folder, and go there; the hub is out of reach until the patch ends."""
    folder = parent / "shop"
    folder.mkdir()
    (folder / "taxonomy.yaml").write_text(TAXONOMY, encoding="utf-8")
    (folder / "products.csv").write_text(PRODUCTS, encoding="utf-8")
    patch.chdir(folder)
    patch.delenv(VARIABLE, raising=False)
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(parent / "hub"))  # whatever this machine has downloaded
    return folder


commands = functools.cache(typer.main.get_command)
"""Makes the tree of commands once for all tests; `app()` makes it anew at each call, which takes longer than most of the commands."""


def called(patch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Call `fewtag` with arguments, and return its exit code."""
    from fewtag import cli

    patch.setattr("typer.main.get_command", commands)
    patch.setattr(sys, "argv", ["fewtag", *map(str, arguments)])
    code: object = 0
    try:
        cli.main()
    except SystemExit as ended:
        code = ended.code or 0
    assert isinstance(code, int)
    return code


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `fewtag` with arguments, here and now."""

    def runs(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = called(monkeypatch, *arguments)
        return Said(code, *capsys.readouterr())

    return runs


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let intervals be rough, where no test is about them."""
    monkeypatch.setattr("fewtag.evaluation.RESAMPLES", 20)


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no model card beside checkpoints: it takes longer than to tune so small a model."""
    from sentence_transformers import SentenceTransformer

    monkeypatch.setattr(SentenceTransformer, "_create_model_card", lambda *_: None)


@pytest.fixture(scope="session")
def frozen() -> None:
    """Take what is imported for a training out of the garbage collector's sight: accelerate collects before each, for half a second."""
    import accelerate  # noqa: F401
    import sentence_transformers
    import transformers.trainer  # noqa: F401

    assert sentence_transformers.SentenceTransformerTrainer
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_encoder(frozen: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of 16 dimensions with random weights, in a folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    letters = sorted({letter for letter in (TAXONOMY + PRODUCTS).lower() if not letter.isspace()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(config).save_pretrained(folder)
    SentenceTransformer(str(folder), device="cpu").save(str(folder / "whole"))  # adds mean pooling
    return folder / "whole"
