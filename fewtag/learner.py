"""What a ladder has learnt, and from what: it learns only what it has not yet, in this or in an earlier process.

The trap: whether anything is to be learnt anew is seen from fingerprints alone, so whatever changes what would be learnt belongs into them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from fewtag import __version__
from fewtag.core import Label, Product
from fewtag.course import Plan
from fewtag.enrichment import enrich
from fewtag.errors import ModelError
from fewtag.labels import standing
from fewtag.ladder import Ladder
from fewtag.parts import Parts
from fewtag.store import SWEEPS, Ledger, StoredLabel
from fewtag.students import students
from fewtag.tagger_folder import TAXONOMY, SavedTagger, is_saved, read_saved, whole
from fewtag.taxonomy import Taxonomy
from fewtag.training import Training
from fewtag.workspace import Workspace


class Learner:
    """A ladder, found when it is first needed, and the fingerprints of what it has learnt from; empty where it has not.

    `fitted` is that of a catalogue, `trained` of labels. `find` finds the ladder's parts at `revisions`, a revision by a model's name.
    """

    def __init__(self, taxonomy: Taxonomy, workspace: Workspace, seed: int, find: Callable[[Mapping[str, str]], Parts]) -> None:
        self.taxonomy, self.workspace, self.seed = taxonomy, workspace, seed
        self.fitted = self.trained = ""
        self.revisions: dict[str, str] = {}
        self.lost_labels: Counter[str] = Counter()
        """How many labels were left aside, as their category is gone or assignable no more, by category."""
        self._find = find

    @cached_property
    def ladder(self) -> Ladder:
        """The rungs; raises ModelError or PromptError for a part that cannot be had."""
        return Ladder(self.taxonomy.primary, self._find(self.revisions), self.workspace, self.seed)

    def grounds(self) -> list[str]:
        """Return what learning depends on, products and labels apart; raises as `ladder` does."""
        return [self.taxonomy.version, *asdict(self.ladder.parts.identity).values(), str(self.seed), __version__]

    def must_be_fitted(self) -> None:
        """Raise ModelError where no catalogue was learnt from."""
        if not self.fitted:
            raise ModelError("the tagger has seen no products yet", mend="call `bootstrap(products)` first")

    def learn(self, catalogue: Sequence[Product]) -> None:
        """Learn from a catalogue, or take what this or an earlier process has learnt from just the same."""
        place, texts = self.workspace.tagger, digest(f"{product.id}\0{product.text}" for product in catalogue)
        spoken = enrich(self.taxonomy.primary, self.ladder.parts, self.workspace)
        more_words = [] if spoken is self.taxonomy.primary else [spoken.version]
        fitted = digest([texts, *self.grounds(), *more_words])
        if self.fitted == fitted:
            return
        self.fitted = ""  # an interruption must not leave half of the new beside half of the old
        if is_saved(place) and read_saved(place).fitted == fitted:
            with whole(place):
                self.ladder.load(place)
            self.trained = read_saved(place).trained
        else:
            self._keep_training(place)
            self.ladder.speak(spoken)
            self.ladder.fit(catalogue)
        self.fitted = fitted

    def learn_labels(self, ledger: Ledger, catalogue: Sequence[Product], plan: Plan, tags: float = 0.0) -> None:
        """Learn from the labels that hold, unless that has been done with just these; `tags` is what sure tags weigh beside a label's 1."""
        products, labels = self.labels(ledger)
        if self.trained and not labels:  # all that it was trained on has been taken back
            self.ladder.forget(catalogue)
            self.trained = ""
            return

        def fingerprint(training: Training | None) -> str:
            started_from = [training.tuned_before] if training and training.tuned_before else []
            return digest([repr((products, labels)), repr(plan), str(tags), *started_from, *self.grounds()])

        if self.trained != fingerprint(self.ladder.training):
            sure = (stored.tag for stored in ledger.latest()) if tags else ()
            own = students(sure, catalogue, labels, self.taxonomy.primary.index, tags)
            taught = [*products, *(product for product, _ in own)]
            self.trained = fingerprint(self.ladder.train(taught, [*labels, *(label for _, label in own)], catalogue, plan))

    def labels(self, ledger: Ledger) -> tuple[list[Product], list[Label]]:
        """Return the labels that hold, of categories that there still are, and their products."""
        primary, rows = self.taxonomy.primary, ledger.label_rows()

        def is_known(row: StoredLabel) -> bool:
            return row.label.category in (primary if row.label.negative else primary.index)

        held = standing(rows, self.taxonomy).held
        self.lost_labels = Counter(row.label.category for row in held if not is_known(row))
        said = standing((row for row in rows if row.withdrawn or is_known(row)), self.taxonomy)
        return said.products, said.labels

    def was_trained(self, ledger: Ledger) -> bool:
        """Return whether what was last learnt or tagged here had labels to learn from."""
        place, last = self.workspace.tagger, ledger.last_run(*SWEEPS)
        return bool(self.trained or (is_saved(place) and read_saved(place).trained) or (last and last.kind == "train"))

    def load(self, place: Path, saved: SavedTagger) -> None:
        """Read back a saved ladder; raises ModelError where a model that it was made with has changed or is gone."""
        self.revisions = saved.revisions
        parts = self.ladder.parts
        made_with = {**saved.revisions, "the prompt": saved.prompt_hash}
        found = {**parts.revisions, "the prompt": parts.prompt_hash}
        if changed := [name for name in made_with if found.get(name) != made_with[name]]:
            problem = f"the tagger was made with {changed[0]} at '{made_with[changed[0]]}', and here is '{found.get(changed[0])}'"
            raise ModelError(problem, mend="bring what it was made with, or bootstrap again", where=place)
        self.ladder.load(place)
        self.fitted, self.trained = saved.fitted, saved.trained

    def _keep_training(self, place: Path) -> None:
        """Take over what an earlier process has learnt from labels, where that was for just these categories and models."""
        if self.trained or not is_saved(place) or not (saved := read_saved(place)).trained:
            return
        with whole(place):
            taxonomy = Taxonomy.from_json((place / TAXONOMY).read_text(encoding="utf-8"))
            if (taxonomy.version, saved.revisions) == (self.taxonomy.version, self.ladder.parts.revisions):
                self.ladder.load_training(place)
                self.trained = saved.trained


def digest(parts: Iterable[str]) -> str:
    """Return a short hash of texts in their order.

    >>> digest(["tea", "jam"]) == digest(["teaj", "am"])
    False
    """
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(f"{len(part)}:{part}".encode())
    return found.hexdigest()
