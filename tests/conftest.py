"""What the tests of the doors share: a tiny shop, a tiny encoder, and the command line run within the process.

The trap: the shop speaks Chinese, for which the embedded preset has no encoder; so no test loads torch unless it asks for an encoder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

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
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "taxonomy.yaml").write_text(TAXONOMY, encoding="utf-8")
    (folder / "products.csv").write_text(PRODUCTS, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))  # whatever this machine has downloaded
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `fewtag` with arguments, here and now."""
    from fewtag import cli

    def runs(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["fewtag", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code, out, err)

    return runs


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let intervals be rough, where no test is about them."""
    monkeypatch.setattr("fewtag.evaluation.RESAMPLES", 20)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
