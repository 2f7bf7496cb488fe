"""The one dial: which encoder, language model and classifier a preset stands for, and in which languages its encoder is at home."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fewtag.errors import ModelError
from fewtag.models.source import EMBEDDED, PRODUCT_ENCODER
from fewtag.taxonomy_file import ModelSettings

MINILM: Final = "sentence-transformers/all-MiniLM-L6-v2"
WITHOUT: Final = "none"
"""The name that switches a preset's language model off."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The parts of a preset: hub ids, local folders or None for "goes without".

    `speaks` are the languages of its encoder, `classifies` those of its classifier; None means every language. `enrich` is whether
    its language model writes words of categories too.
    """

    encoder: str | None
    lm: str | None
    classifier: str
    speaks: frozenset[str] | None = None
    classifies: frozenset[str] | None = None
    enrich: bool = False

    def encoder_for(self, language: str) -> str | None:
        """Return the encoder if it is at home in the language, else None: then character n-grams of the catalogue stand alone."""
        return self.encoder if self.speaks is None or language in self.speaks else None

    def classifier_for(self, language: str) -> str | None:
        """Return the classifier if it is at home in the language, else None: then nothing is fine-tuned."""
        return self.classifier if self.classifies is None or language in self.classifies else None


ENGLISH: Final = frozenset({"en"})
CHINESE: Final = frozenset({"zh"})

PRESETS: Final = {
    "embedded": Preset(PRODUCT_ENCODER, None, EMBEDDED, ENGLISH, ENGLISH),
    "small": Preset(MINILM, "HuggingFaceTB/SmolLM2-135M", "distilbert/distilbert-base-uncased", ENGLISH, ENGLISH),
    "base": Preset("BAAI/bge-base-en-v1.5", "Qwen/Qwen3-0.6B-Base", "google-bert/bert-base-uncased", ENGLISH, ENGLISH),
    "multilingual": Preset("intfloat/multilingual-e5-small", "Qwen/Qwen3-0.6B-Base", "FacebookAI/xlm-roberta-base"),
    "chinese": Preset("BAAI/bge-small-zh-v1.5", "Qwen/Qwen3-0.6B-Base", "google-bert/bert-base-chinese", CHINESE, CHINESE),
}
PRESET: Final = "embedded"
"""The preset where none is named."""


def presets_for(language: str) -> list[str]:
    """Return the presets whose encoder is at home in a language.

    >>> presets_for("zh"), presets_for("de")
    (['multilingual', 'chinese'], ['multilingual'])
    """
    return [name for name, preset in PRESETS.items() if preset.encoder_for(language)]


def resolve(settings: ModelSettings) -> Preset:
    """Return the preset that is named, with each part replaced that is named beside it.

    An encoder or a classifier that is named by hand speaks every language; a language model called "none" is none.

    Raises ModelError for a preset that there is not, and where words are to be written and no model can.

    >>> resolve(ModelSettings()).encoder
    'product-minilm'
    >>> resolve(ModelSettings(preset="base", encoder="my-folder")).encoder_for("fr")
    'my-folder'
    >>> resolve(ModelSettings(preset="base", lm="none")).lm is None
    True
    """
    name = settings.preset or PRESET
    if name not in PRESETS:
        raise ModelError(f"there is no preset '{name}'", mend=f"use one of {', '.join(PRESETS)}", where=settings.where)
    preset = PRESETS[name]
    if settings.encoder:
        preset = replace(preset, encoder=settings.encoder, speaks=None)
    if settings.classifier:
        preset = replace(preset, classifier=settings.classifier, classifies=None)
    lm = settings.lm or preset.lm
    preset = replace(preset, lm=None if lm == WITHOUT else lm, enrich=settings.enrich)
    if preset.enrich and not preset.lm:
        mend = "name one with `models: {lm: ...}`, or take `enrich` away"
        raise ModelError(
            "`enrich` asks for words of categories, and there is no language model to write them", mend=mend, where=settings.where
        )
    return preset
