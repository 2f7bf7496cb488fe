"""Which rung speaks for which category; today the zero-shot rung speaks for all of them, built from the parts that a preset names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fewtag.catalogue import unique_texts
from fewtag.core import Product, Stage
from fewtag.errors import ModelError
from fewtag.models import Probabilities
from fewtag.models.encoder import CachedEncoder, SentenceEncoder
from fewtag.models.presets import Preset
from fewtag.models.shortlist_lm import ShortlistScorer
from fewtag.models.source import Source, locate
from fewtag.models.zero_shot import Evidence, ZeroShot
from fewtag.prompts import Prompt
from fewtag.store import ModelIdentity
from fewtag.taxonomy import Taxonomy

DEFAULT_PROMPTS: Final = {"zh": "category.zh.v1"}
"""The prompt for each language that has one of its own; the rest take the English one."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rungs are built from. The encoder is None where none speaks the language, the language model where none is configured."""

    encoder: SentenceEncoder | None
    lm: Source | None
    prompt: Prompt | None

    @classmethod
    def find(cls, preset: Preset, prompt: str | None, language: str, revisions: Mapping[str, str] = MappingProxyType({})) -> Parts:
        """Find every part before any work begins, by name at the revision that stands for the name, if one does.

        Raises ModelError or PromptError for one that cannot be had.
        """
        encoder = preset.encoder_for(language)
        lm = locate(preset.lm, revisions.get(preset.lm)) if preset.lm else None
        if prompt and not lm:
            raise ModelError(f"the prompt '{prompt}' has no language model to read it", mend="name one with `models: {lm: ...}`")
        text = Prompt.load(prompt or DEFAULT_PROMPTS.get(language, "category.v1")) if lm else None
        return cls(SentenceEncoder(encoder, revisions.get(encoder)) if encoder else None, lm, text)

    @property
    def revisions(self) -> dict[str, str]:
        """Return the revision of each model by its name."""
        sources = [self.encoder.source if self.encoder else None, self.lm]
        return {source.name: source.revision for source in sources if source}

    @property
    def identity(self) -> ModelIdentity:
        """Name the parts as the ledger keeps them."""
        names = " + ".join(self.revisions) or "character n-grams"
        return ModelIdentity(names, " + ".join(self.revisions.values()), self.prompt.hash if self.prompt else "")


class Ladder:
    """The rungs of one taxonomy, each column of whose matrices is one of its assignable categories, in order."""

    stage: Stage = "zero-shot"

    def __init__(self, taxonomy: Taxonomy, parts: Parts, cache: Path, seed: int = 0) -> None:
        """Take the rungs' parts; `cache` is the folder that keeps vectors, and what a language model has said."""
        self.parts = parts
        self._encoder = CachedEncoder(parts.encoder, cache) if parts.encoder else None
        lm = ShortlistScorer(parts.lm, parts.prompt, taxonomy, cache) if parts.lm and parts.prompt else None
        self._zero_shot = ZeroShot(taxonomy, self._encoder, lm=lm, seed=seed)

    def fit(self, products: Sequence[Product]) -> Ladder:
        """Let the rungs learn from products without labels."""
        self._prepare(products)
        self._zero_shot.fit(products)
        return self

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow the taxonomy's classes."""
        self._prepare(products)
        return self._zero_shot.predict_proba(products)

    def explain(self, product: Product) -> Evidence:
        """Return what the rung that speaks for a product says of every class, and why."""
        return self._zero_shot.explain(product)

    def _prepare(self, products: Sequence[Product]) -> None:
        """Embed the texts that are new, all at once rather than rung by rung."""
        if self._encoder:
            self._encoder.prepare(unique_texts(products)[0], "embedding products")

    def save(self, folder: Path) -> None:
        """Write what the rungs have learnt, each into a folder of its own."""
        (folder / "zero_shot").mkdir()
        self._zero_shot.save(folder / "zero_shot")

    def load(self, folder: Path) -> Ladder:
        """Read back what `save` wrote, into a ladder of the same taxonomy and parts."""
        self._zero_shot.load(folder / "zero_shot")
        return self
