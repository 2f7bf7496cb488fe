"""What the rungs are built from: an encoder, a language model, a classifier and a prompt, found before any work begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fewtag.errors import ModelError
from fewtag.models.encoder import SentenceEncoder
from fewtag.models.lm.served import find_served, is_address
from fewtag.models.presets import Preset, presets_for
from fewtag.models.source import PRODUCT_ENCODER, Source, locate
from fewtag.prompts import Prompt
from fewtag.store import ModelIdentity

DEFAULT_PROMPTS: Final = {"zh": "category.zh.v1"}
"""The prompt for each language that has one of its own; the rest take the English one."""
ENRICH_PROMPTS: Final = {"zh": "enrich.zh.v1"}
"""The same for the prompt that asks for words of a category."""
FIRST_PASS: Final = "an encoder of 22 million parameters is good for a first pass: `--preset base` or `--lm NAME` bring bigger models"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rungs are built from. The encoder is None where none speaks the language, the language model where none is configured.

    `writes` is the prompt by which the language model writes words of categories, None where it does not.
    The classifier is only a name, looked for when there is something to fine-tune; None where no classifier speaks the language.
    """

    encoder: SentenceEncoder | None
    lm: Source | None
    prompt: Prompt | None
    classifier: str | None = None
    writes: Prompt | None = None

    @classmethod
    def find(cls, preset: Preset, prompt: str | None, language: str, revisions: Mapping[str, str] = MappingProxyType({})) -> Parts:
        """Find every part before any work begins, by name at the revision that stands for the name, if one does.

        Raises ModelError or PromptError for one that cannot be had.
        """
        encoder = preset.encoder_for(language)
        find = find_served if preset.lm and is_address(preset.lm) else locate
        lm = find(preset.lm, revisions.get(preset.lm)) if preset.lm else None
        if prompt and not lm:
            raise ModelError(f"the prompt '{prompt}' has no language model to read it", mend="name one with `models: {lm: ...}`")
        text = Prompt.load(prompt or DEFAULT_PROMPTS.get(language, "category.v1")) if lm else None
        writes = Prompt.load(ENRICH_PROMPTS.get(language, "enrich.v1"), "enrich") if lm and preset.enrich else None
        found = SentenceEncoder(encoder, revisions.get(encoder)) if encoder else None
        return cls(found, lm, text, preset.classifier_for(language), writes)

    def voices(self, language: str) -> list[str]:
        """Say in sentences which models these are, for a taxonomy in a language."""
        if self.encoder:
            encoder = f"encoder: {self.encoder.source.name}, with character n-grams of the catalogue beside it"
        else:
            encoder = f"encoder: character n-grams of the catalogue alone, as no encoder of this preset speaks '{language}'"
        said = [encoder, f"language model: {self.lm.name}" if self.lm else "language model: none, encoder scores decide alone"]
        if not self.encoder:
            others = " or ".join(f"`--preset {name}`" for name in presets_for(language))
            return [*said, f"an encoder that does comes with {others}, from the Hugging Face hub"]
        return [*said, FIRST_PASS] if self.encoder.source.name == PRODUCT_ENCODER and not self.lm else said

    @property
    def revisions(self) -> dict[str, str]:
        """Return the revision of each model by its name."""
        sources = [self.encoder.source if self.encoder else None, self.lm]
        return {source.name: source.revision for source in sources if source}

    @property
    def identity(self) -> ModelIdentity:
        """Name the parts as the ledger keeps them."""
        names = " + ".join(self.revisions) or "character n-grams"
        return ModelIdentity(names, " + ".join(self.revisions.values()), self.prompt_hash)

    @property
    def prompt_hash(self) -> str:
        """Return what the prompt is known by; empty where there is none."""
        return self.prompt.hash if self.prompt else ""
