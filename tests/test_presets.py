"""The one dial: what each preset stands for, where its encoder is at home, and what replaces one of its parts."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fewtag.errors import ModelError
from fewtag.models.presets import PRESETS, Preset, resolve
from fewtag.models.source import EMBEDDED, PRODUCT_ENCODER
from fewtag.taxonomy_file import ModelSettings

ENGLISH, CHINESE = frozenset({"en"}), frozenset({"zh"})
DESIGN = {
    "embedded": Preset("product-minilm", None, "all-MiniLM-L6-v2", ENGLISH, ENGLISH),
    "small": Preset(
        "sentence-transformers/all-MiniLM-L6-v2",
        "HuggingFaceTB/SmolLM2-135M",
        "distilbert/distilbert-base-uncased",
        ENGLISH,
        ENGLISH,
    ),
    "base": Preset("BAAI/bge-base-en-v1.5", "Qwen/Qwen3-0.6B-Base", "google-bert/bert-base-uncased", ENGLISH, ENGLISH),
    "multilingual": Preset("intfloat/multilingual-e5-small", "Qwen/Qwen3-0.6B-Base", "FacebookAI/xlm-roberta-base", None),
    "chinese": Preset("BAAI/bge-small-zh-v1.5", "Qwen/Qwen3-0.6B-Base", "google-bert/bert-base-chinese", CHINESE, CHINESE),
}


def test_the_table_is_the_one_that_the_design_names() -> None:
    assert PRESETS == DESIGN


def test_nothing_said_is_the_preset_that_needs_no_network() -> None:
    for nothing in (ModelSettings(), ModelSettings(preset="embedded"), ModelSettings(preset="")):
        preset = resolve(nothing)
        assert (preset.encoder, preset.lm, preset.classifier) == (PRODUCT_ENCODER, None, EMBEDDED)


@pytest.mark.parametrize(
    ("preset", "language", "speaks"),
    [
        ("embedded", "en", True),
        ("embedded", "zh", False),
        ("embedded", "de", False),
        ("base", "en", True),
        ("base", "fr", False),
        ("chinese", "zh", True),
        ("chinese", "en", False),
        ("multilingual", "zh", True),
        ("multilingual", "sw", True),
    ],
)
def test_an_encoder_is_taken_only_where_it_is_at_home(preset: str, language: str, speaks: bool) -> None:
    found = resolve(ModelSettings(preset=preset))
    assert found.encoder_for(language) == (found.encoder if speaks else None)


@pytest.mark.parametrize("part", ["encoder", "lm", "classifier"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_part_that_is_named_replaces_the_presets_and_leaves_the_others(name: str, part: str) -> None:
    found = asdict(resolve(ModelSettings(preset=name, **{part: "my/own"})))
    expected = asdict(PRESETS[name]) | {part: "my/own"} | {"encoder": {"speaks": None}, "classifier": {"classifies": None}}.get(part, {})
    assert found == expected


def test_an_encoder_named_by_hand_speaks_every_language() -> None:
    preset = resolve(ModelSettings(encoder="my-folder"))
    assert [preset.encoder_for(language) for language in ("en", "zh", "de")] == ["my-folder"] * 3


def test_a_preset_that_there_is_not_is_told_with_its_line() -> None:
    with pytest.raises(ModelError) as told:
        resolve(ModelSettings(preset="large", where="taxonomy.yaml:4"))
    assert str(told.value) == "taxonomy.yaml:4: there is no preset 'large' -> use one of embedded, small, base, multilingual, chinese"


def test_looking_a_preset_up_changes_no_table() -> None:
    resolve(ModelSettings(preset="base", encoder="a/b", lm="c/d", classifier="e/f"))
    assert PRESETS["base"].encoder == "BAAI/bge-base-en-v1.5"
