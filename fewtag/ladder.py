"""Which rung speaks for which category: zero-shot for all of them, few-shot beside it where there are labels.

The trap: labels are given category by category, and say nothing of how frequent each is; the catalogue does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from fewtag.blend import Blend, sureness
from fewtag.catalogue import unique_texts
from fewtag.core import Label, Product, Stage, Tag
from fewtag.errors import ModelError
from fewtag.label_file import id_of_text
from fewtag.models import Probabilities
from fewtag.models.calibrate import TINY, log_softmax, proportions
from fewtag.models.encoder import CachedEncoder, Encoder, SentenceEncoder
from fewtag.models.few_shot.head import HeldOut
from fewtag.models.few_shot.rung import FewShot
from fewtag.models.neighbours.rung import Neighbours
from fewtag.models.presets import Preset
from fewtag.models.source import Source, locate
from fewtag.models.zero_shot.rung import Evidence, ZeroShot
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.prompts import Prompt
from fewtag.store import ModelIdentity
from fewtag.tagger_folder import TRAINING
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import Workspace

Array = npt.NDArray[np.float32]

A_PERSONS_WORD: Final = 50.0
"""What a label is worth in log-odds: more than any model says."""
COUNTED: Final = 4096
"""How many products tell how frequent each category is."""
ENOUGH_TO_COUNT: Final = 200
COUNT_BELIEF: Final = 0.7
TUNED_SURENESS: Final = 0.65
"""What is believed of a tuned blend before labels that were kept back say better."""
CELLS: Final = 2**28
"""Products times categories that one matrix may hold, 1 GB of float32."""
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


@dataclass(frozen=True, slots=True)
class Branch:
    """How one root's labels fared when they were held out: how many of them the zero-shot rung and the blend got right, 0 to 1."""

    category: str
    held_out: int
    zero_shot_accuracy: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Training:
    """What the last training came to: how many labels and warm categories, the blend's weights, and the share of held-out labels that
    the zero-shot rung and the blend get right, in all and by branch; `seconds` is what it took. `tuned_before` is the revision of the
    tuned encoder that it has kept or started from, if it has; `sureness` is what the blend's scores are multiplied with."""

    labels: int
    warm: int
    tuned: bool
    blend: Blend
    held_out: int
    zero_shot_accuracy: float
    accuracy: float
    branches: tuple[Branch, ...]
    seconds: float
    tuned_before: str = ""
    sureness: float = 1.0


class Ladder:
    """The rungs of one taxonomy, each column of whose matrices is one of its assignable categories, in order."""

    def __init__(self, taxonomy: Taxonomy, parts: Parts, workspace: Workspace, seed: int = 0) -> None:
        """Take the rungs' parts; the workspace keeps vectors, what a language model has said, and checkpoints."""
        self.parts, self.taxonomy, self.training = parts, taxonomy, None
        self._workspace, self._seed = workspace, seed
        self._encoder = CachedEncoder(parts.encoder, workspace.vectors) if parts.encoder else None
        lm = ShortlistScorer(parts.lm, parts.prompt, taxonomy, workspace.vectors) if parts.lm and parts.prompt else None
        self._zero_shot = ZeroShot(taxonomy, self._encoder, lm=lm, seed=seed)
        self._few_shot: FewShot | None = None
        self._shift: Array = np.zeros(len(taxonomy.classes), dtype=np.float32)
        self._verdicts = Verdicts()
        self.learnt: list[tuple[Label, str]] = []
        """The labels of the last training, each with its product's text, so that a saved tagger can add to them."""

    training: Training | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The rung that each class stands on, in the order of the taxonomy's classes."""
        warm = self._few_shot.warm if self._few_shot else np.zeros(len(self.taxonomy.classes), dtype=np.bool_)
        return tuple("few-shot" if each else "zero-shot" for each in warm)

    def fit(self, products: Sequence[Product]) -> Ladder:
        """Let the zero-shot rung learn from products without labels."""
        self._prepare(products)
        self._zero_shot.fit(products)
        return self

    def train(self, products: Sequence[Product], labels: Sequence[Label], catalogue: Sequence[Product], tune: bool = True) -> Training:
        """Let the rungs learn from labelled products, and say how far that helped; `catalogue` tells how frequent each category is.

        Raises ModelError where there is no label to learn from.
        """
        start = time.monotonic()
        positive = [label for label in labels if not label.negative]
        if not positive:
            mend = "say what some products are: `fewtag label import FILE`, or labels other than None"
            raise ModelError("there are no labels to learn from", mend=mend)
        before = self._few_shot.tuned if self._few_shot else None
        rung = self._fresh_few_shot(tune)
        rung.fit([*catalogue, *products], labels, before)  # the text that was labelled outlives what the catalogue says now
        cold = 1 - rung.warm.mean()
        held = rung.held_out(products, labels, hide=min(0.5, float(cold)))
        labelled = {product.id: product for product in products}
        asked = [labelled[label.product_id] for label in positive]
        zero_shot = self._log_zero_shot([asked[row] for row in held.row]) if len(held.row) else held.log_probabilities
        blend = Blend.prior(1 - float(cold))
        if len(held.row):
            # A category without labels is never the truth here: it stays out, so that it is not learnt to be unlikely.
            warm, column = rung.warm, np.cumsum(rung.warm) - 1
            voices = zero_shot[:, warm], held.log_probabilities[:, warm], held.known[:, warm]
            blend = Blend.fit(*voices, column[held.gold], 1 - float(cold))
        blended = blend(zero_shot, held.log_probabilities, held.known)
        self._few_shot = rung
        self.training = Training(
            len(positive),
            int(rung.warm.sum()),
            rung.tuned is not None,
            blend,
            len(held.row),
            _share_right(zero_shot, held.gold),
            _share_right(blended, held.gold),
            self._branches(zero_shot, blended, held.gold),
            round(time.monotonic() - start, 1),
            before.source.revision if before and rung.starts_from(before) else "",
            self._sureness(rung, blend, rung.kept_back(products, labels), asked) if rung.tuned else 1.0,
        )
        self._verdicts = Verdicts.of(products, labels, self.taxonomy)
        self.learnt = [(label, labelled[label.product_id].text) for label in labels]
        self._shift = np.zeros_like(self._shift)
        if len(catalogue) >= ENOUGH_TO_COUNT:
            self._shift = proportions(self._blended(spread(catalogue, COUNTED)), COUNT_BELIEF)
        return self.training

    def forget(self) -> None:
        """Unlearn what labels have taught; the zero-shot rung stays."""
        self.training, self._few_shot, self._verdicts, self.learnt = None, None, Verdicts(), []
        self._shift = np.zeros_like(self._shift)

    def propagate(self, catalogue: Sequence[Product], products: Sequence[Product], labels: Sequence[Label], precision: float) -> list[Tag]:
        """Return tags for the unlabelled products of a catalogue that labels of near ones speak for.

        The zero-shot rung must not contradict, up to a size at which what it says of all products still fits in memory.
        Raises ModelError where there are no labels.
        """
        if not any(not label.negative for label in labels):
            raise ModelError("there are no labels to spread", mend="`fewtag label import FILE` brings some")
        there = {product.id for product in catalogue}
        everyone = [*catalogue, *(product for product in products if product.id not in there)]
        encoder: Encoder = self._encoder or self._zero_shot.ngrams
        rung = Neighbours(self.taxonomy, encoder, seed=self._seed).fit(everyone, labels)
        # The zero-shot rung alone: one that has seen the labels agrees with each of them, and would hold nothing back.
        fits = len(everyone) * len(self.taxonomy.classes) <= CELLS
        spreads = rung.spread(self._zero_shot.predict_proba(everyone) if fits else None, precision=precision)
        return [
            Tag(
                each.product_id,
                each.category,
                each.confidence,
                "neighbours",
                ((each.category, each.confidence),),
                each.confidence,
                each.sources,
            )
            for each in spreads
        ]

    def predict_proba(self, products: Sequence[Product]) -> Probabilities:
        """Return float32 (n, n_classes): rows sum to 1, columns follow the taxonomy's classes."""
        self._prepare(products)
        if self._few_shot is None or self.training is None:
            return self._zero_shot.predict_proba(products)
        scores = np.float32(self.training.sureness) * (self._blended(products) + self._shift)
        return np.exp(log_softmax(self._verdicts(products, log_softmax(scores))))

    def explain(self, product: Product) -> Evidence:
        """Return what is said of every class of one product, and why."""
        evidence = self._zero_shot.explain(product)
        return replace(evidence, probability=self.predict_proba([product])[0])

    def _sureness(self, rung: FewShot, blend: Blend, kept: HeldOut, asked: Sequence[Product]) -> float:
        """Return how sure to be of a blend whose weights were fitted on heads without tuning; a tuned rung sounds surer."""
        if not len(kept.row):
            return TUNED_SURENESS
        scores = blend(self._log_zero_shot([asked[row] for row in kept.row]), kept.log_probabilities, kept.known)
        return sureness(scores, kept.gold, TUNED_SURENESS)

    def _branches(self, zero_shot: Array, blended: Array, gold: npt.NDArray[np.int64]) -> tuple[Branch, ...]:
        """Judge held-out labels root by root, those with most labels first."""
        roots = np.array([self.taxonomy.trail(each)[0] for each in self.taxonomy.classes])[gold]
        of_root = {root: np.flatnonzero(roots == root) for root in self.taxonomy.roots}
        found = [
            Branch(root, len(rows), _share_right(zero_shot[rows], gold[rows]), _share_right(blended[rows], gold[rows]))
            for root, rows in of_root.items()
            if len(rows)
        ]
        return tuple(sorted(found, key=lambda branch: -branch.held_out))

    def _blended(self, products: Sequence[Product]) -> Array:
        assert self._few_shot
        assert self.training
        few_shot = self._few_shot.log_probabilities(products)
        return log_softmax(self.training.blend(self._log_zero_shot(products), few_shot, self._few_shot.warm))

    def _log_zero_shot(self, products: Sequence[Product]) -> Array:
        return np.asarray(np.log(self._zero_shot.predict_proba(products) + np.float32(TINY)), dtype=np.float32)

    def _fresh_few_shot(self, tune: bool) -> FewShot:
        source = self.parts.encoder.source if tune and self.parts.encoder else None
        return FewShot(self.taxonomy, self._encoder, source=source, folder=self._workspace.root / "few_shot", seed=self._seed)

    def _prepare(self, products: Sequence[Product]) -> None:
        """Embed the texts that are new, all at once rather than rung by rung."""
        if self._encoder:
            self._encoder.prepare(unique_texts(products)[0], "embedding products")

    def save(self, folder: Path) -> None:
        """Write what the rungs have learnt, each into a folder of its own."""
        (folder / "zero_shot").mkdir()
        self._zero_shot.save(folder / "zero_shot")
        if self._few_shot and self.training:
            (folder / "few_shot").mkdir()
            self._few_shot.save(folder / "few_shot")
            about = {"training": asdict(self.training), "shift": self._shift.tolist(), "verdicts": asdict(self._verdicts)}
            about["learnt"] = [[asdict(label), text] for label, text in self.learnt]
            (folder / TRAINING).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> Ladder:
        """Read back what `save` wrote, into a ladder of the same taxonomy and parts."""
        self._zero_shot.load(folder / "zero_shot")
        return self.load_training(folder)

    def load_training(self, folder: Path) -> Ladder:
        """Read back the rungs that have learnt from labels alone; the zero-shot rung stays as it is."""
        if (folder / TRAINING).is_file():
            about = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
            training = about["training"]
            branches = tuple(Branch(**each) for each in training["branches"])
            self.training = Training(**training | {"blend": Blend(**training["blend"]), "branches": branches})
            self._few_shot = self._fresh_few_shot(self.training.tuned).load(folder / "few_shot")
            self._shift = np.array(about["shift"], dtype=np.float32)
            self._verdicts = Verdicts(**about["verdicts"])
            self.learnt = [(Label(**label), text) for label, text in about["learnt"]]
        return self


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What people have said of single products: the class that each has, and the classes that it has not.

    A product is known by its id and text together, or where a text alone was labelled, by that.
    """

    has: dict[str, int] = field(default_factory=dict)
    has_not: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, products: Sequence[Product], labels: Sequence[Label], taxonomy: Taxonomy) -> Verdicts:
        """Gather labels; a negative one of an inner category denies all classes below it."""
        keys = {product.id: _key(product) for product in products}
        said = cls()
        for label in labels:
            if not label.negative:
                said.has[keys[label.product_id]] = taxonomy.index[label.category]
            elif label.category in taxonomy:
                below = (label.category, *taxonomy.descendants(label.category))
                said.has_not.setdefault(keys[label.product_id], []).extend(taxonomy.index[each] for each in below if each in taxonomy.index)
        return said

    def __call__(self, products: Sequence[Product], log_probabilities: Array) -> Array:
        """Return log-probabilities, (n, n_classes), that what people said of the very products outweighs."""
        for row, product in enumerate(products if self.has or self.has_not else ()):
            for key in (_key(product), _key(Product(id_of_text(product.text), product.text))):
                log_probabilities[row, self.has_not.get(key, [])] -= np.float32(A_PERSONS_WORD)
                if key in self.has:
                    log_probabilities[row, self.has[key]] += np.float32(A_PERSONS_WORD)
        return log_probabilities


def spread(products: Sequence[Product], count: int) -> Sequence[Product]:
    """Take every so many-th product, at most `count`: a catalogue is often sorted by category."""
    return products[:: max(1, -(-len(products) // count))]


def _key(product: Product) -> str:
    return f"{product.id}\0{product.text}"


def _share_right(scores: Array, gold: npt.NDArray[np.int64]) -> float:
    return round(float((scores.argmax(axis=1) == gold).mean()), 4) if len(gold) else 0.0
