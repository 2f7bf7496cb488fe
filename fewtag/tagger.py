"""The facade: a taxonomy, the models that have earned a say, and one decision rule; what the command line and Python both call.

The trap: a tag that is neither in the ledger nor reproducible is gossip. So a bootstrap is a run with a fingerprint of all that went
into it: the same fingerprint again does nothing, half a run is gone on with, anything else starts a new one.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from fewtag import __version__
from fewtag.catalogue import as_products, has_ids, read_catalogue
from fewtag.catalogue_file import Columns
from fewtag.core import Label, Product, Tag
from fewtag.course import Plan
from fewtag.decide import PRECISION, decide
from fewtag.enrichment import enrich
from fewtag.errors import CatalogueError, FewtagError, LabelError, ModelError
from fewtag.evaluation import Evaluation, evaluate
from fewtag.explanation import Explanation, candidates
from fewtag.label_file import id_of_text
from fewtag.labelling import add_labels
from fewtag.labels import category_of, standing
from fewtag.ladder import Ladder
from fewtag.models import Probabilities
from fewtag.models.fine_tune.settings import TrainSettings
from fewtag.models.presets import WITHOUT, resolve
from fewtag.parts import Parts
from fewtag.progress import bar
from fewtag.propagation import Propagation, done_already, less_sure, take_back_spread
from fewtag.score_sheet import Scores, Sheet
from fewtag.status import columns_of, tally, taxonomy_file_of
from fewtag.store import SWEEPS, Ledger, Run, StoredLabel, StoredTag
from fewtag.students import students
from fewtag.tagger_folder import TAXONOMY, SavedTagger, is_saved, read_saved, replacing_folder, whole, write_saved
from fewtag.taxonomy import Taxonomy
from fewtag.taxonomy_file import ModelSettings, read_taxonomy_file
from fewtag.training import Training
from fewtag.workspace import Workspace, write_atomically

SPREAD_PRECISION: Final = 0.95
TAGS_PER_BATCH: Final = 4096
CELLS_PER_BATCH: Final = 2**24
"""Entries of one batch's matrix, 64 MB of float32; a wide taxonomy gets smaller batches."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bootstrap came to: how many products it tagged with an assignable category, with one above, or not at all.

    `unchanged` says that an earlier run had done all of it, `resumed_at` how many products an interrupted one had, and `relearnt` that
    what labels teach had to be learnt anew, quickly, as the categories or the models are others.
    """

    products: int
    tagged: int
    backed_off: int
    abstained: int
    resumed_at: int = 0
    unchanged: bool = False
    relearnt: bool = False

    def __str__(self) -> str:
        return f"{self.products} products: {self.tagged} tagged, {self.backed_off} backed off to a parent, {self.abstained} left open"

    @property
    def mostly_open(self) -> bool:
        """Whether four of five products or more were left open."""
        return 5 * self.abstained >= 4 * self.products


FineTuning = bool | TrainSettings | None
T = TypeVar("T")


class Tagger:
    """Tags products with the categories of a taxonomy.

    `preset` names the models, or is a `ModelSettings` that replaces some of a preset's parts. Where `precision` cannot be promised,
    a tag backs off to a category above, or to none. `workspace` is a `.fewtag` folder; without one, a temporary folder serves.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        *,
        preset: str | ModelSettings = "embedded",
        prompt: str | None = None,
        precision: float = PRECISION,
        seed: int = 0,
        workspace: str | Path | None = None,
    ) -> None:
        """Take the settings, and raise FewtagError for one that is wrong; the models are found when they are first needed."""
        _must_be_a_precision(precision)
        self.taxonomy, self.precision, self.seed = taxonomy, precision, seed
        self.settings = ModelSettings(preset=preset) if isinstance(preset, str) else preset
        self._preset = resolve(self.settings)
        self.prompt = prompt
        self.columns = Columns()
        self.file: Path | None = None
        """The taxonomy's file, where it was read from one."""
        self.lost_labels: Counter[str] = Counter()
        """How many labels were left aside, as their category is gone or assignable no more, by category."""
        self.ids_made = 0
        """How many categories of the taxonomy's file have no id of their own."""
        self.workspace = Workspace(Path(workspace) if workspace else self._temporary())
        self.workspace.is_there()  # one that a newer fewtag made is refused now rather than after the work
        self.propagation = Propagation()
        """What the last propagation came to."""
        self._fitted = self._trained = ""
        self._revisions: dict[str, str] = {}

    @classmethod
    def from_file(
        cls, path: str | Path, *, preset: str | None = None, encoder: str | None = None, lm: str | None = None, **arguments: Any
    ) -> Tagger:
        """Make the tagger that a taxonomy.yaml describes: its models, its prompt and its catalogue, whose paths start at the file.

        A preset, an encoder or a language model given here replaces the file's, and a folder is then looked for from the current one
        on; the language model "none" goes without one. The other arguments are those of the constructor.
        """
        file = read_taxonomy_file(path)
        folder = file.path.parent

        def place(name: str | None, start: Path = folder) -> str | None:
            own = name and (name.endswith(".j2") or (start / name).is_dir())
            return str((start / name).resolve()) if name and own else name

        models = replace(
            file.models,
            preset=preset or file.models.preset,
            encoder=place(encoder, Path()) or place(file.models.encoder),
            lm=place(lm, Path()) or place(file.models.lm),
            classifier=place(file.models.classifier),
        )
        prompt = None if lm == WITHOUT else place(file.prompt)
        tagger = cls(file.taxonomy, preset=models, prompt=prompt, **arguments)
        tagger.file, tagger.ids_made = file.path, file.ids_made
        if file.catalogue:
            tagger.columns = replace(file.catalogue, file=str((folder / file.catalogue.file).resolve()))
        return tagger

    @classmethod
    def open(cls, workspace: str | Path) -> Tagger:
        """Open the tagger that a workspace's last bootstrap made, with that bootstrap's catalogue."""
        place = Workspace(Path(workspace))
        tagger = cls.load(place.tagger, workspace=place.root)
        with Ledger.open(place.ledger) as ledger:
            if run := ledger.last_run(*SWEEPS):
                tagger.columns, tagger.file = columns_of(run, place), taxonomy_file_of(run, place)
        return tagger

    @property
    def classes_(self) -> tuple[str, ...]:
        """The assignable categories of the taxonomy's primary facet, in the order of `predict_proba`'s columns."""
        return self.taxonomy.primary.classes

    @cached_property
    def _ladder(self) -> Ladder:
        taxonomy = self.taxonomy.primary
        parts = Parts.find(self._preset, self.prompt, taxonomy.language, self._revisions)
        return Ladder(taxonomy, parts, self.workspace, self.seed)

    def voices(self) -> list[str]:
        """Say in sentences which models this tagger listens to, and what it leaves out."""
        parts, language = self._ladder.parts, self.taxonomy.language
        if parts.encoder:
            said = [f"encoder: {parts.encoder.source.name}, with character n-grams of the catalogue beside it"]
        else:
            said = [f"encoder: character n-grams of the catalogue alone, as no encoder of this preset speaks '{language}'"]
        said.append(f"language model: {parts.lm.name}" if parts.lm else "language model: none, encoder scores decide alone")
        if parts.lm and parts.writes:
            said.append(f"words of categories: {parts.lm.name} writes them into {self.workspace.enriched}, for you to change")
        if self.settings.classifier:
            said.append(f"classifier: {self.settings.classifier} is fine-tuned once labels are many")
        asked = [self.taxonomy[facet.id].name for facet in self.taxonomy.facets[1:] if facet.id]
        return [*said, f"facets not tagged yet: {', '.join(asked)}"] if asked else said

    def asked(self) -> str:
        """Say about how many of the catalogue's titles the language model was asked, and why not about the others; nothing without one."""
        if not (asked := self._ladder.asked):
            return ""
        rest = "" if asked[0] == asked[1] else ": the others' likeliest category is too far ahead for its opinion to change"
        return f"The language model was asked about {asked[0]:,} of {asked[1]:,} different titles{rest}."

    def doubts(self) -> list[str]:
        """Say what is allowed, but makes tags worse, in the catalogue's file and in the taxonomy."""
        said = []
        if self.columns.file and not has_ids(self.columns.file, self.columns):
            said.append(
                f"no column of {self.columns.file} is called like an id, so the numbers of its rows stand for ids, and move with them"
            )
        return [*said, *self.taxonomy.doubts()]

    def is_outdated(self) -> bool:
        """Return whether the taxonomy's file says something else by now than what this tagger was made from."""
        return self.file is not None and Taxonomy.load(self.file).version != self.taxonomy.version

    def bootstrap(self, products: Any = None) -> Outcome:
        """Learn from unlabelled products and tag them all: texts, `Product`s, a pandas or polars frame, or the path of a file.

        None stands for the catalogue that the taxonomy's file names.
        The tags go to the workspace's ledger, batch by batch. Killed, the same call goes on where it was; done, it does nothing.
        """
        catalogue, columns = self._begin(products)
        with self.workspace.lock(), Ledger.open(self.workspace.ledger) as ledger:
            was_trained = self._was_trained(ledger)
            self._learn(catalogue)
            relearnt = was_trained and not self._trained and bool(self._labels(ledger)[1])
            if relearnt:
                self._learn_labels(ledger, catalogue, Plan.of(False, None))
            return replace(self._sweep("bootstrap", ledger, catalogue, columns), relearnt=relearnt)

    def train(
        self, products: Any = None, *, tune: bool | None = None, fine_tune: FineTuning = None, trials: int = 0, tags: float = 0.0
    ) -> Outcome:
        """Learn from the labels in the workspace's ledger, and tag the catalogue anew with what that teaches.

        `tune` lets the encoder learn too, which takes minutes; without it, only a head on top of what it has learnt so far does.
        None: where labels are enough to keep some back, by which it is seen whether that helps.
        `fine_tune` is whether a classifier is trained besides, or with which settings; None: where labels are many, and `tune` allows it.
        `trials` is how many settings are tried first, and `tags`, 0 to 1, how much its own sure tags count there, beside a label's 1.
        Unchanged, it does nothing; killed, the same call goes on. Raises ModelError where there are no labels.
        """
        plan = Plan.of(tune, fine_tune, trials)
        if not 0 <= tags < 1:
            raise FewtagError(f"tags that are learnt from are to count {tags}", mend="give 0 or more, and less than a label's 1")
        catalogue, columns = self._begin(products)
        with self.workspace.lock(), Ledger.open(self.workspace.ledger) as ledger:
            self._learn(catalogue)
            self._learn_labels(ledger, catalogue, plan, tags)
            return self._sweep("train", ledger, catalogue, columns)

    def fit(self, products: Any, labels: Sequence[str | None], *, tune: bool | None = None, fine_tune: FineTuning = None) -> Tagger:
        """Add labels to what is known, and learn from all of them.

        `labels` has one entry per product: a category's id, full path or unique name, or None for a product without a label, which
        tells what the catalogue is like. They go to the workspace's ledger as said by "python". `tune` and `fine_tune` are as in `train`.
        """
        plan = Plan.of(tune, fine_tune)
        listed = self._named(products)
        if len(listed) != len(labels):
            raise FewtagError(f"there are {len(listed)} products and {len(labels)} labels", mend="give one label per product, or None")
        given = [
            (Label(product.id, category_of(label, self.taxonomy), "python"), product.text)
            for product, label in zip(listed, labels, strict=True)
            if isinstance(label, str)  # a frame's missing value is NaN or NA, and not None
        ]
        Workspace.create(self.workspace.root)
        with Ledger.open(self.workspace.ledger) as ledger:
            is_new = not any(True for _ in ledger.label_rows())
        add_labels(self.workspace, self.taxonomy, [*(self._ladder.learnt if is_new else ()), *given])
        with self.workspace.lock(), Ledger.open(self.workspace.ledger) as ledger:
            if not self._fitted:
                self._learn(listed)
            self._learn_labels(ledger, listed, plan)
        return self

    def propagate(self, products: Any = None, *, precision: float = SPREAD_PRECISION, dry_run: bool = False) -> list[Tag]:
        """Spread the labels in the workspace's ledger to the unlabelled products that they safely speak for, and return those tags.

        `precision` is the share of them that is to be right, as far as the labels themselves, each left out in turn, can tell; the other
        rungs must not contradict, and what a trained model holds more surely stays. The tags go to the ledger as a run that `take_back`
        undoes, unless it is a `dry_run`; unchanged, it writes nothing. `propagation` tells what it came to.
        """
        _must_be_a_precision(precision)
        catalogue, _ = self._begin(products)
        with self.workspace.lock(), Ledger.open(self.workspace.ledger) as ledger:
            self._learn(catalogue)
            labels = self._labels(ledger)
            fingerprint = _digest([self._fitted, repr(labels), str(precision)])
            if not dry_run and (earlier := done_already(ledger, fingerprint)):
                self.propagation = Propagation(earlier.id, unchanged=True)
                return [stored.tag for stored in ledger.written_by(earlier)]
            found = self._ladder.propagate(catalogue, *labels, precision)
            kept = less_sure(found, (stored.tag for stored in ledger.latest()), self.taxonomy.primary)
            found = [tag for tag in found if tag.product_id not in kept]
            self.propagation = Propagation(left_alone=len(kept))
            if not dry_run:
                run = ledger.start_run("propagate", fingerprint, self.taxonomy.version, self.seed, {"precision": precision})
                if not ledger.tagged_count(run):  # a kill may have come between the tags and the end
                    ledger.add_tags(run, self._ladder.parts.identity, found)
                ledger.finish_run(run)
                self.propagation = replace(self.propagation, run=run.id)
        return found

    def last_run(self) -> int:
        """Return the number of the ledger's newest run, 0 where there is none."""
        with Ledger.open(self.workspace.ledger) as ledger:
            run = ledger.last_run()
            return run.id if run else 0

    def take_back(self, run_id: int) -> int:
        """Undo a propagation: what it has tagged last gets the tag again that held before; return how many products those are."""
        return take_back_spread(self.workspace, run_id, self.taxonomy.version, self.seed)

    @property
    def is_taught(self) -> bool:
        """Whether any label is heeded."""
        return bool(self._ladder.learnt)

    @property
    def training(self) -> Training | None:
        """What the last training came to; None where nothing was learnt from labels."""
        return self._ladder.training

    def predict(self, products: Any) -> list[Tag]:
        """Return one tag per product, in order; nothing is written to the ledger."""
        return list(self.stream(products))

    def stream(self, products: Any) -> Iterator[Tag]:
        """Yield one tag per product, in order; of the path of a file no more than a batch, and the ids, are held in memory."""
        self._must_be_fitted()
        source = self._read(products)
        with bar("tagging", len(source) if isinstance(source, list) else None) as done:
            for batch in self._batches(source):
                yield from self._decide(batch)
                done.update(len(batch))

    def predict_proba(self, products: Any) -> Probabilities:
        """Return float32 (n, len(classes_)): rows sum to 1, columns follow `classes_`."""
        rows = [self._probabilities(batch) for batch in self._batches(self._read(products))]
        return np.concatenate(rows) if rows else np.empty((0, len(self.classes_)), dtype=np.float32)

    def evaluate(self, products: Any, gold: Sequence[str | None]) -> Evaluation:
        """Return how good the tags of products are against `gold`, one entry each: an id, a full path or a unique name; None: nowhere.

        Products that it has been taught (by id or text, or as an example in the taxonomy) would flatter, and are left out and counted.
        Tags are what `predict` says; nothing is written. Raises LabelError where no product is left to be measured.
        """
        self._must_be_fitted()
        listed = self._named(products)
        if len(listed) != len(gold):
            raise FewtagError(f"there are {len(listed)} products and {len(gold)} gold categories", mend="give one per product, or None")
        truths = [category_of(truth, self.taxonomy) if isinstance(truth, str) else None for truth in gold]
        ids, texts = self._taught()
        asked = [pair for pair in zip(listed, truths, strict=True) if pair[0].id not in ids and pair[0].text not in texts]
        if not asked:
            mend = "give gold of others too"
            raise LabelError(f"of {len(listed)} products with gold, there is none that the tagger has not learnt from", mend=mend)
        return evaluate(self._sheet(asked), self.precision, len(listed) - len(asked), self.seed)

    def explain(self, product: Product | str, shortlist: int = 5) -> Explanation:
        """Return why a product is tagged as it is: its likeliest categories with the scores that led there."""
        [product] = as_products([product], self.columns)
        self._must_be_fitted()
        taxonomy, evidence = self.taxonomy.primary, self._ladder.explain(product)
        [tag] = decide([product.id], evidence.probability[None], taxonomy, self.precision, self._ladder.stages)
        found = candidates(evidence, self._ladder.voices(product), taxonomy, shortlist)
        with Ledger.open(self.workspace.ledger) as ledger:
            held = standing(ledger.label_rows(), self.taxonomy).held
        return Explanation(product, tag, found, tuple(row for row in held if row.label.product_id == product.id))

    def products(self) -> Iterator[Product]:
        """Yield the products of the catalogue that the taxonomy's file names; raises CatalogueError where it names none."""
        return read_catalogue(replace(self.columns, file=self._catalogue_file()))

    def look(self) -> tuple[Product, int]:
        """Read the whole catalogue, and return its first product and how many there are; raises CatalogueError for a wrong row."""
        products = self.products()
        first = next(products)
        return first, 1 + sum(1 for _ in products)

    def product(self, product_id: str) -> Product:
        """Return a product of the catalogue; raises CatalogueError where it has none with this id."""
        for product in self.products():
            if product.id == product_id:
                return product
        raise CatalogueError(f"there is no product '{product_id}'", mend="write an id as the catalogue has it", where=self.columns.file)

    def history(self, product_id: str) -> list[StoredTag]:
        """Return every tag that the ledger has for a product, the newest first."""
        with Ledger.open(self.workspace.ledger) as ledger:
            return ledger.history(product_id)

    def save(self, folder: str | Path) -> None:
        """Write the tagger as a folder, whole or not at all; the models' own weights stay where they are, named by their hash."""
        self._must_be_fitted()
        with replacing_folder(Path(folder)) as beside:
            self._ladder.save(beside)
            write_atomically(beside / TAXONOMY, self.taxonomy.to_json().encode())
            write_saved(self._saved(), beside)

    @classmethod
    def load(cls, folder: str | Path, *, workspace: str | Path | None = None) -> Tagger:
        """Read back what `save` wrote.

        Raises ModelError where a model it was made with has changed or is gone, WorkspaceError where the folder is no tagger.
        """
        place = Path(folder)
        saved = read_saved(place)
        with whole(place):
            tagger = cls(
                Taxonomy.from_json((place / TAXONOMY).read_text(encoding="utf-8")),
                preset=saved.settings,
                prompt=saved.prompt,
                precision=saved.precision,
                seed=saved.seed,
                workspace=workspace,
            )
            tagger.columns, tagger._revisions = saved.columns, saved.revisions
            parts = tagger._ladder.parts
            made_with = {**saved.revisions, "the prompt": saved.prompt_hash}
            found = {**parts.revisions, "the prompt": parts.prompt.hash if parts.prompt else ""}
            if changed := [name for name in made_with if found.get(name) != made_with[name]]:
                problem = f"the tagger was made with {changed[0]} at '{made_with[changed[0]]}', and here is '{found.get(changed[0])}'"
                raise ModelError(problem, mend="bring what it was made with, or bootstrap again", where=place)
            tagger._ladder.load(place)
            tagger._fitted, tagger._trained = saved.fitted, saved.trained
        return tagger

    def _saved(self) -> SavedTagger:
        """Describe the tagger as its folder does; where its catalogue lies is the workspace's business."""
        parts = self._ladder.parts
        return SavedTagger(
            self._fitted,
            self._trained,
            replace(self.settings, lm=parts.lm.name if parts.lm else self.settings.lm, where=""),
            self.prompt,
            parts.prompt.hash if parts.prompt else "",
            parts.revisions,
            self.precision,
            self.seed,
            replace(self.columns, file="", where=""),
        )

    def _begin(self, products: Any) -> tuple[list[Product], Columns]:
        """Read a catalogue and find the models before anything is written: what cannot be had leaves nothing behind."""
        products = self._catalogue_file() if products is None else products
        catalogue = self._bare(products)
        self._grounds()
        Workspace.create(self.workspace.root)
        return catalogue, replace(self.columns, file=self._place_of(products))

    def _learn(self, catalogue: Sequence[Product]) -> None:
        """Learn from a catalogue, or take what this or an earlier process has learnt from just the same, and see that it is saved."""
        place, texts = self.workspace.tagger, _digest(f"{product.id}\0{product.text}" for product in catalogue)
        spoken = enrich(self._ladder.taxonomy, self._ladder.parts, self.workspace)
        more_words = [] if spoken is self._ladder.taxonomy else [spoken.version]
        fitted = _digest([texts, *self._grounds(), *more_words])
        if self._fitted != fitted:
            self._fitted = ""  # an interruption must not leave half of the new beside half of the old
            if is_saved(place) and read_saved(place).fitted == fitted:
                with whole(place):
                    self._ladder.load(place)
                self._trained = read_saved(place).trained
            else:
                self._keep_training(place)
                self._ladder.speak(spoken)
                self._ladder.fit(catalogue)
            self._fitted = fitted
        self._save_here()

    def _keep_training(self, place: Path) -> None:
        """Take over what an earlier process has learnt from labels, where that was for just these categories and models."""
        if self._trained or not is_saved(place) or not (saved := read_saved(place)).trained:
            return
        with whole(place):
            taxonomy = Taxonomy.from_json((place / TAXONOMY).read_text(encoding="utf-8"))
            if (taxonomy.version, saved.revisions) == (self.taxonomy.version, self._ladder.parts.revisions):
                self._ladder.load_training(place)
                self._trained = saved.trained

    def _was_trained(self, ledger: Ledger) -> bool:
        """Return whether what was last learnt or tagged here had labels to learn from."""
        place, last = self.workspace.tagger, ledger.last_run(*SWEEPS)
        return bool(self._trained or (is_saved(place) and read_saved(place).trained) or (last and last.kind == "train"))

    def _learn_labels(self, ledger: Ledger, catalogue: Sequence[Product], plan: Plan, tags: float = 0.0) -> None:
        """Learn from the labels that hold, unless that has been done with just these."""
        products, labels = self._labels(ledger)
        if self._trained and not labels:  # all that it was trained on has been taken back
            self._ladder.forget()
            self._trained = ""
            self._save_here()
            return

        def fingerprint(training: Training | None) -> str:
            started_from = [training.tuned_before] if training and training.tuned_before else []
            return _digest([repr((products, labels)), repr(plan), str(tags), *started_from, *self._grounds()])

        if self._trained != fingerprint(self.training):
            sure = (stored.tag for stored in ledger.latest()) if tags else ()
            own = students(sure, catalogue, labels, self.taxonomy.primary.index, tags)
            taught = [*products, *(product for product, _ in own)]
            self._trained = fingerprint(self._ladder.train(taught, [*labels, *(label for _, label in own)], catalogue, plan))
        self._save_here()

    def _labels(self, ledger: Ledger) -> tuple[list[Product], list[Label]]:
        """Return the labels that hold, of categories that there still are, and their products."""
        primary, rows = self.taxonomy.primary, ledger.label_rows()

        def is_known(row: StoredLabel) -> bool:
            return row.label.category in (primary if row.label.negative else primary.index)

        held = standing(rows, self.taxonomy).held
        self.lost_labels = Counter(row.label.category for row in held if not is_known(row))
        said = standing((row for row in rows if row.withdrawn or is_known(row)), self.taxonomy)
        return said.products, said.labels

    def _save_here(self) -> None:
        place = self.workspace.tagger
        if not is_saved(place) or read_saved(place) != self._saved():
            self.save(place)

    def _grounds(self) -> list[str]:
        """Name what learning depends on, products and labels apart."""
        return [self.taxonomy.version, *asdict(self._ladder.parts.identity).values(), str(self.seed), __version__]

    def _sweep(self, kind: str, ledger: Ledger, catalogue: Sequence[Product], columns: Columns) -> Outcome:
        """Tag a whole catalogue, or what an interrupted run of the same has left of it."""
        fingerprint = _digest([self._fitted, self._trained, str(self.precision), repr(replace(columns, where=""))])  # lines move
        if ledger.has_swept(fingerprint):
            return Outcome(*tally(ledger, self.taxonomy.primary), unchanged=True)
        settings = {
            "precision": self.precision,
            "preset": self.settings.preset,
            "columns": asdict(columns),
            "taxonomy": self._place_of(self.file),
            "asked": self._ladder.asked,
        } | self._training_run()
        run = ledger.start_run(kind, fingerprint, self.taxonomy.version, self.seed, settings)
        resumed_at = ledger.tagged_count(run) if run.resumed else 0
        self._tag_all(ledger, run, catalogue, resumed_at)
        ledger.finish_run(run)
        return Outcome(*tally(ledger, self.taxonomy.primary), resumed_at)

    def _training_run(self) -> dict[str, Any]:
        """Tell of the training that a run's tags come from: what each rung was told, and what came of it."""
        if not (found := self.training):
            return {}
        rungs = [{"stage": step.stage, "held_out": step.held_out, "accuracy": step.accuracy, **step.record} for step in found.steps]
        return {"trained": self._trained, "labels": found.labels, "rungs": rungs}

    def _tag_all(self, ledger: Ledger, run: Run, products: Sequence[Product], start: int) -> None:
        with bar("tagging", len(products) - start) as done:
            for batch in self._batches(products[start:]):
                ledger.add_tags(run, self._ladder.identity, self._decide(batch))
                done.update(len(batch))

    def _decide(self, batch: Sequence[Product]) -> list[Tag]:
        return self._tags(batch, self._probabilities(batch))

    def _tags(self, batch: Sequence[Product], probabilities: Probabilities) -> list[Tag]:
        ids = [product.id for product in batch]
        return decide(ids, probabilities, self.taxonomy.primary, self.precision, self._ladder.stages)

    def _probabilities(self, batch: Sequence[Product]) -> Probabilities:
        self._must_be_fitted()
        return self._ladder.predict_proba(batch)

    def _batches(self, products: Iterable[T]) -> Iterator[list[T]]:
        size = max(1, min(TAGS_PER_BATCH, CELLS_PER_BATCH // len(self.classes_)))
        ahead = iter(products)
        while batch := list(islice(ahead, size)):
            yield batch

    def _catalogue_file(self) -> str:
        if not self.columns.file:
            problem = "the taxonomy names no catalogue"
            raise CatalogueError(problem, mend="add `catalogue: {file: products.csv}` to its file, or give the products (--catalogue)")
        return self.columns.file

    def _place_of(self, products: Any) -> str:
        """Return where a catalogue's file lies, from the workspace's folder on where it is below that: so both can be moved together."""
        if not isinstance(products, str | Path):
            return ""
        file, home = Path(products).resolve(), self.workspace.root.resolve().parent
        return str(file.relative_to(home) if file.is_relative_to(home) else file)

    def _bare(self, products: Any) -> list[Product]:
        """List products without their columns, which nothing here reads and which are most of a large catalogue's memory."""
        nothing: dict[str, str] = {}
        bare = [Product(product.id, product.text, nothing) for product in self._read(products)]
        if not bare:
            raise CatalogueError("there are no products", mend="give at least one")
        return bare

    def _named(self, products: Any) -> list[Product]:
        """List products under names that mean the same later: where they have no ids, those are made of their texts, not their places."""
        listed = list(self._read(products))
        return listed if has_ids(products, self.columns) else [replace(product, id=id_of_text(product.text)) for product in listed]

    def _taught(self) -> tuple[set[str], set[str]]:
        """Return the ids and the texts of products that labels, or examples in the taxonomy, have taught."""
        learnt = self._ladder.learnt
        examples = (text for category in self.taxonomy for text in self.taxonomy[category].examples)
        return {label.product_id for label, _ in learnt}, {text for _, text in learnt}.union(examples)

    def _sheet(self, asked: Sequence[tuple[Product, str | None]]) -> Sheet:
        """Tag products with gold, and keep of a batch's probabilities what their figures need."""
        tags: list[Tag] = []
        scores = []
        with bar("tagging", len(asked)) as done:
            for batch in self._batches(asked):
                products, gold = zip(*batch, strict=True)
                probabilities = self._probabilities(products)
                tags += self._tags(products, probabilities)
                scores.append(Scores.of(probabilities, gold, self.taxonomy.primary))
                done.update(len(batch))
        return Sheet(tags, [truth for _, truth in asked], Scores.joined(scores), self.taxonomy.primary)

    def _temporary(self) -> Path:
        """Make a workspace that goes when the tagger goes."""
        folder = tempfile.mkdtemp(prefix="fewtag-")
        Workspace.create(Path(folder))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _read(self, products: Any) -> Iterator[Product] | list[Product]:
        """Give products one by one where they are a file, else as a list."""
        if isinstance(products, str | Path):
            return read_catalogue(replace(self.columns, file=str(products)))
        return as_products(products, self.columns)

    def _must_be_fitted(self) -> None:
        if not self._fitted:
            raise ModelError("the tagger has seen no products yet", mend="call `bootstrap(products)` first")


def _must_be_a_precision(precision: float) -> None:
    if not 0 < precision <= 1:
        raise FewtagError(f"the precision is {precision}", mend="give a number above 0 and up to 1, such as 0.9")


def _digest(parts: Iterable[str]) -> str:
    """Return a short hash of texts in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()
