"""The facade: a taxonomy, the models that have earned a say, and one decision rule; what the command line and Python both call.

The trap: a tag that is neither in the ledger nor reproducible is gossip. So a bootstrap is a run with a fingerprint of all that went
into it: the same fingerprint again does nothing, half a run is gone on with, anything else starts a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import numpy as np

from fewtag.catalogue import as_products, bare_products, has_ids, read_catalogue, read_products
from fewtag.catalogue_file import Columns
from fewtag.core import Product, Stage, Tag
from fewtag.course import Plan
from fewtag.decide import PRECISION, prediction_sets
from fewtag.errors import CatalogueError, FewtagError, LabelError
from fewtag.evaluation import Evaluation, evaluate
from fewtag.explanation import Explanation, explain
from fewtag.gold_file import Gold
from fewtag.label_errors import TOP, SecondOpinion
from fewtag.label_file import id_of_text
from fewtag.labelling import add_labels, paired
from fewtag.labels import category_of, standing
from fewtag.ladder import CELLS_PER_BATCH, Ladder
from fewtag.learner import Learner, digest
from fewtag.models import Probabilities
from fewtag.models.fine_tune.settings import TrainSettings
from fewtag.models.presets import WITHOUT, resolve
from fewtag.parts import Parts
from fewtag.progress import bar
from fewtag.promise import Holding, Promise
from fewtag.propagation import Propagation, spread_labels, take_back_spread
from fewtag.report.findings import Findings, Measured, gather
from fewtag.score_sheet import Scores, Sheet
from fewtag.status import Consulted, columns_of, last_precision, noted_place, taxonomy_file_of
from fewtag.store import SWEEPS, Ledger, StoredTag
from fewtag.sweep import Outcome, Sweep
from fewtag.tagger_folder import TAXONOMY, SavedTagger, is_saved, read_saved, replacing_folder, whole, write_saved
from fewtag.taxonomy import Taxonomy
from fewtag.taxonomy_file import ModelSettings, local, read_taxonomy_file
from fewtag.training import Training
from fewtag.workspace import Workspace, write_atomically

SPREAD_PRECISION: Final = 0.95
TAGS_PER_BATCH: Final = 4096

FineTuning = bool | TrainSettings | None
T = TypeVar("T")


class Tagger:
    """Tags products with the categories of a taxonomy.

    `preset` names the models, or is a `ModelSettings` that replaces some of a preset's parts. Where a category is not sure enough for
    `precision`, a tag backs off to one above, or to none; `promise` says whether labels prove that precision. None is what it was in
    the workspace's last bootstrap, or 0.9. `workspace` is a `.fewtag` folder; without one, a temporary folder serves.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        *,
        preset: str | ModelSettings = "embedded",
        prompt: str | None = None,
        precision: float | None = None,
        seed: int = 0,
        workspace: str | Path | None = None,
    ) -> None:
        """Take the settings, and raise FewtagError for one that is wrong; the models are found when they are first needed."""
        if precision is not None:
            _must_be_a_share("precision", precision)
        self.taxonomy, self.seed = taxonomy, seed
        self.settings = ModelSettings(preset=preset) if isinstance(preset, str) else preset
        find = partial(Parts.find, resolve(self.settings), prompt, taxonomy.language)
        self.prompt = prompt
        self.columns = Columns()
        self.file: Path | None = None
        """The taxonomy's file, where it was read from one."""
        self.ids_made = 0
        """How many categories of the taxonomy's file have no id of their own."""
        self.workspace = Workspace(Path(workspace)) if workspace else Workspace.temporary(self)
        self.workspace.is_there()  # one that a newer fewtag made is refused now rather than after the work
        self.precision = precision or last_precision(self.workspace) or PRECISION
        self.propagation = Propagation()
        """What the last propagation came to."""
        self._learner = Learner(taxonomy, self.workspace, seed, find)

    @classmethod
    def from_file(
        cls, path: str | Path, *, preset: str | None = None, encoder: str | None = None, lm: str | None = None, **arguments: Any
    ) -> Tagger:
        """Make the tagger that a taxonomy.yaml describes: its models, its prompt and its catalogue, whose paths start at the file.

        A preset, an encoder or a language model given here replaces the file's, and a folder is then looked for from the current one
        on; the language model "none" goes without one. The other arguments are those of the constructor.
        """
        file, here = read_taxonomy_file(path).resolved(), Path()
        models = replace(
            file.models,
            preset=preset or file.models.preset,
            encoder=local(encoder, here) or file.models.encoder,
            lm=local(lm, here) or file.models.lm,
        )
        tagger = cls(file.taxonomy, preset=models, prompt=None if lm == WITHOUT else file.prompt, **arguments)
        tagger.file, tagger.ids_made, tagger.columns = file.path, file.ids_made, file.catalogue or Columns()
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

    @property
    def lost_labels(self) -> Counter[str]:
        """How many labels were left aside, as their category is gone or assignable no more, by category."""
        return self._learner.lost_labels

    @property
    def _ladder(self) -> Ladder:
        return self._learner.ladder

    def voices(self) -> list[str]:
        """Say in sentences which models this tagger listens to, and what it leaves out."""
        parts = self._ladder.parts
        said = parts.voices(self.taxonomy.language)
        if parts.lm and parts.writes:
            said.append(f"words of categories: {parts.lm.name} writes them into {self.workspace.enriched}, for you to change")
        if self.settings.classifier:
            said.append(f"classifier: {self.settings.classifier} is fine-tuned once labels are many")
        asked = [self.taxonomy[facet.id].name for facet in self.taxonomy.facets[1:] if facet.id]
        return [*said, f"facets not tagged yet: {', '.join(asked)}"] if asked else said

    @property
    def consulted(self) -> Consulted | None:
        """How the language model is heeded, and about how much of the catalogue it was asked; None where there is none."""
        return self._ladder.consulted

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
            was_trained = self._learner.was_trained(ledger)
            self._learn(catalogue)
            relearnt = was_trained and not self._learner.trained and bool(self._learner.labels(ledger)[1])
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
        given = paired(listed, labels, self.taxonomy)
        Workspace.create(self.workspace.root)
        with Ledger.open(self.workspace.ledger) as ledger:
            is_new = not any(True for _ in ledger.label_rows())
        add_labels(self.workspace, self.taxonomy, [*(self._ladder.learnt if is_new else ()), *given])
        with self.workspace.lock(), Ledger.open(self.workspace.ledger) as ledger:
            if not self._learner.fitted:
                self._learn(listed)
            self._learn_labels(ledger, listed, plan)
        return self

    def propagate(self, products: Any = None, *, precision: float = SPREAD_PRECISION, dry_run: bool = False) -> list[Tag]:
        """Spread the labels in the workspace's ledger to the unlabelled products that they safely speak for, and return those tags.

        `precision` is the share of them that is to be right, as far as the labels themselves, each left out in turn, can tell; the other
        rungs must not contradict, and what a trained model holds more surely stays. The tags go to the ledger as a run that `take_back`
        undoes, unless it is a `dry_run`; unchanged, it writes nothing. `propagation` tells what it came to.
        """
        _must_be_a_share("precision", precision)
        catalogue, _ = self._begin(products)
        with self.workspace.lock(), Ledger.open(self.workspace.ledger) as ledger:
            self._learn(catalogue)
            found, self.propagation = spread_labels(self._learner, ledger, catalogue, precision, dry_run)
        return found

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

    @property
    def promise(self) -> Promise:
        """Whether labels that no model has seen prove the tagger's precision, at which level of probability, or how many more may do.

        Proven is that tags of products like the catalogue's are right so often, with 90% confidence over the drawing of the labels, and as
        far as the shares of the categories, which the catalogue tells, are.
        """
        return self._ladder.promise(self.precision)

    def holding(self, share: float) -> Holding:
        """Return how much probability a tag's alternatives are to hold so that the right category is among them for a share of products."""
        _must_be_a_share("share that alternatives are to hold", share)
        return self._ladder.holding(share)

    def predict(self, products: Any, hold: float | None = None) -> list[Tag]:
        """Return one tag per product, in order; nothing is written to the ledger.

        With `hold`, a tag's alternatives are not the five likeliest categories, but as few as have the right one among them for that share
        of the products (`holding`).
        """
        return list(self.stream(products, hold))

    def stream(self, products: Any, hold: float | None = None) -> Iterator[Tag]:
        """Yield one tag per product, in order; of the path of a file no more than a batch, and the ids, are held in memory."""
        self._learner.must_be_fitted()
        mass = None if hold is None else self.holding(hold).mass
        source = read_products(products, self.columns)
        with bar("tagging", len(source) if isinstance(source, list) else None) as done:
            for tags in self._tagged(source, mass):
                yield from tags
                done.update(len(tags))

    def predict_proba(self, products: Any) -> Probabilities:
        """Return float32 (n, len(classes_)): rows sum to 1, columns follow `classes_`."""
        rows = [self._probabilities(batch) for batch in self._batches(read_products(products, self.columns))]
        return np.concatenate(rows) if rows else np.empty((0, len(self.classes_)), dtype=np.float32)

    def evaluate(self, products: Any, gold: Sequence[str | None]) -> Evaluation:
        """Return how good the tags of products are against `gold`, one entry each: an id, a full path or a unique name; None: nowhere.

        Products that it has been taught (by id or text, or as an example in the taxonomy) would flatter, and are left out and counted.
        Tags are what `predict` says; nothing is written. Raises LabelError where no product is left to be measured.
        """
        return self._measured(products, gold)[1]

    def second_opinion(self, top: int = TOP) -> SecondOpinion:
        """Return what models that have not seen the labels in the workspace's ledger say of the products that these are of.

        Of each product the `top` likeliest categories are kept.
        """
        self._learner.must_be_fitted()
        with Ledger.open(self.workspace.ledger) as ledger:
            return self._ladder.second_opinion(*self._learner.labels(ledger), top)

    def report(self, gold: Gold | None = None) -> Findings:
        """Return all that a report tells of the workspace and, with gold, of how good the tags are; nothing is written.

        `fewtag.report.page.page` makes one HTML page of it.

        Raises WorkspaceError where nothing was tagged yet, LabelError as `evaluate` does, CatalogueError where the catalogue is gone.
        """
        products = bare_products(self.columns.file, self.columns) if self.columns.file else None  # one that is gone fails before the work
        measured = Measured(gold, *self._measured(gold.products, gold.categories)) if gold else None
        return gather(self.workspace, self.taxonomy.primary, products, self.second_opinion(), measured)

    def explain(self, product: Product | str, shortlist: int = 5) -> Explanation:
        """Return why a product is tagged as it is: what the rungs say of likely categories, its words, and labelled products like it.

        A tag that `propagate` has spread is the product's for as long as the ledger has it so.

        A text that is the id of a product which the workspace has tagged stands for that product, where `products` has it.
        Each of its words is left out once to see what changes, so that a language model may be asked some forty times.
        """
        self._learner.must_be_fitted()
        with Ledger.open(self.workspace.ledger) as ledger:
            said = standing(ledger.label_rows(), self.taxonomy)
            if isinstance(product, str) and self.columns.file and ledger.history(product):
                product = self.product(product)
            past = ledger.history(product.id) if isinstance(product, Product) else []
        [product] = as_products([product], self.columns)
        found = explain(product, self._ladder, self.promise.decides, shortlist, said)
        is_spread = past and past[0].tag.stage == "neighbours" and found.tag.stage != "label"
        return replace(found, tag=past[0].tag) if is_spread else found

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
        self._learner.must_be_fitted()
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
            tagger.columns = saved.columns
            tagger._learner.load(place, saved)
        return tagger

    def _saved(self) -> SavedTagger:
        """Describe the tagger as its folder does; where its catalogue lies is the workspace's business."""
        parts = self._ladder.parts
        return SavedTagger(
            self._learner.fitted,
            self._learner.trained,
            replace(self.settings, lm=parts.lm.name if parts.lm else self.settings.lm, where=""),
            self.prompt,
            parts.prompt_hash,
            parts.revisions,
            self.precision,
            self.seed,
            replace(self.columns, file="", where=""),
        )

    def _begin(self, products: Any) -> tuple[list[Product], Columns]:
        """Read a catalogue and find the models before anything is written: what cannot be had leaves nothing behind."""
        products = self._catalogue_file() if products is None else products
        catalogue = bare_products(products, self.columns)
        self._learner.grounds()
        Workspace.create(self.workspace.root)
        return catalogue, replace(self.columns, file=noted_place(products, self.workspace))

    def _catalogue_file(self) -> str:
        if not self.columns.file:
            problem = "the taxonomy names no catalogue"
            raise CatalogueError(problem, mend="add `catalogue: {file: products.csv}` to its file, or give the products (--catalogue)")
        return self.columns.file

    def _learn(self, catalogue: Sequence[Product]) -> None:
        self._learner.learn(catalogue)
        self._save_here()

    def _learn_labels(self, ledger: Ledger, catalogue: Sequence[Product], plan: Plan, tags: float = 0.0) -> None:
        self._learner.learn_labels(ledger, catalogue, plan, tags)
        self._save_here()

    def _save_here(self) -> None:
        place = self.workspace.tagger
        if not is_saved(place) or read_saved(place) != self._saved():
            self.save(place)

    def _sweep(self, kind: str, ledger: Ledger, catalogue: Sequence[Product], columns: Columns) -> Outcome:
        """Tag a whole catalogue, and note in the ledger what its tags come from."""
        learner, training, promise = self._learner, self.training, self.promise
        decided = (str(self.precision), str(promise.decides))
        stages = get_args(Stage)  # one more, and tags are another's
        fingerprint = digest([learner.fitted, learner.trained, *decided, *stages, repr(replace(columns, where=""))])  # lines move
        settings = {
            "precision": self.precision,
            "promise": asdict(promise),
            "preset": self.settings.preset,
            "columns": asdict(columns),
            "taxonomy": noted_place(self.file, self.workspace),
            "models": self.voices(),
            "consulted": asdict(self.consulted) if self.consulted else None,
        } | ({"trained": learner.trained, **training.notes} if training else {})
        return Sweep(kind, fingerprint, settings, self.seed, self._ladder.identity)(ledger, self.taxonomy, catalogue, self._tagged)

    def _tagged(self, products: Iterable[Product], mass: float | None = None) -> Iterator[list[Tag]]:
        """Yield one tag per product, in order, batch by batch; with alternatives that hold a mass of the probability, or five of them."""
        level = self.promise.decides
        for batch in self._batches(products):
            probabilities = self._probabilities(batch)
            tags = self._ladder.decide(batch, probabilities, level)
            sets = [] if mass is None else prediction_sets(probabilities, self.taxonomy.primary, mass)
            yield [replace(tag, alternatives=each) for tag, each in zip(tags, sets, strict=True)] if sets else tags

    def _probabilities(self, batch: Sequence[Product]) -> Probabilities:
        self._learner.must_be_fitted()
        return self._ladder.predict_proba(batch)

    def _batches(self, products: Iterable[T]) -> Iterator[list[T]]:
        size = max(1, min(TAGS_PER_BATCH, CELLS_PER_BATCH // len(self.classes_)))
        ahead = iter(products)
        while batch := list(islice(ahead, size)):
            yield batch

    def _named(self, products: Any) -> list[Product]:
        """List products under names that mean the same later: where they have no ids, those are made of their texts, not their places."""
        listed = list(read_products(products, self.columns))
        return listed if has_ids(products, self.columns) else [replace(product, id=id_of_text(product.text)) for product in listed]

    def _taught(self) -> tuple[set[str], set[str]]:
        """Return the ids and the texts of products that labels, or examples in the taxonomy, have taught."""
        learnt = self._ladder.learnt
        examples = (text for category in self.taxonomy for text in self.taxonomy[category].examples)
        return {label.product_id for label, _ in learnt}, {text for _, text in learnt}.union(examples)

    def _measured(self, products: Any, gold: Sequence[str | None]) -> tuple[Sheet, Evaluation]:
        """Tag products with gold, and measure that; raises as `evaluate` does."""
        self._learner.must_be_fitted()
        listed = self._named(products)
        if len(listed) != len(gold):
            raise FewtagError(f"there are {len(listed)} products and {len(gold)} gold categories", mend="give one per product, or None")
        truths = [category_of(truth, self.taxonomy) if isinstance(truth, str) else None for truth in gold]
        ids, texts = self._taught()
        asked = [pair for pair in zip(listed, truths, strict=True) if pair[0].id not in ids and pair[0].text not in texts]
        if not asked:
            mend = "give gold of others too"
            raise LabelError("all products with gold are such that the tagger has learnt from", mend=mend)
        sheet = self._sheet(asked)
        return sheet, evaluate(sheet, self.precision, len(listed) - len(asked), self.seed)

    def _sheet(self, asked: Sequence[tuple[Product, str | None]]) -> Sheet:
        """Tag products with gold, and keep of a batch's probabilities what their figures need."""
        tags: list[Tag] = []
        scores, level = [], self.promise.decides
        with bar("tagging", len(asked)) as done:
            for batch in self._batches(asked):
                products, gold = zip(*batch, strict=True)
                probabilities = self._probabilities(products)
                tags += self._ladder.decide(products, probabilities, level)
                scores.append(Scores.of(probabilities, gold, self.taxonomy.primary))
                done.update(len(batch))
        return Sheet(tags, [truth for _, truth in asked], Scores.joined(scores), self.taxonomy.primary)


def _must_be_a_share(what: str, share: float) -> None:
    if not 0 < share <= 1:
        raise FewtagError(f"the {what} is {share}", mend="give a number above 0 and up to 1, such as 0.9")
