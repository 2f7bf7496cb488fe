"""A run over a whole catalogue: every product gets a tag in the ledger, batch by batch.

The trap: a kill leaves half a run. Its fingerprint is what says that it may be gone on with, so all that decides a tag belongs into that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fewtag.core import Product, Tag
from fewtag.progress import bar
from fewtag.status import Tally, tally
from fewtag.store import Ledger, ModelIdentity
from fewtag.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bootstrap came to: how many products it tagged with an assignable category, with one above, or not at all.

    `labelled` of the tagged ones have it from people. `unchanged` says that an earlier run had done all of it, `resumed_at` how many
    products an interrupted one had, and `relearnt` that what labels teach had to be learnt anew, quickly, as the categories or the
    models are others.
    """

    products: int
    tagged: int
    backed_off: int
    abstained: int
    resumed_at: int = 0
    unchanged: bool = False
    relearnt: bool = False
    labelled: int = 0

    def __str__(self) -> str:
        found = Tally(self.products, self.tagged, self.backed_off, self.abstained, self.labelled)
        return f"{self.products} {'product' if self.products == 1 else 'products'}: {found}"

    @property
    def mostly_open(self) -> bool:
        """Whether four of five products or more were left open."""
        return 5 * self.abstained >= 4 * self.products


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the ledger notes of a run: its kind, the fingerprint and the settings that its tags come from, and who decides them."""

    kind: str
    fingerprint: str
    settings: dict[str, Any]
    seed: int
    model: ModelIdentity

    def __call__(
        self, ledger: Ledger, taxonomy: Taxonomy, catalogue: Sequence[Product], tagged: Callable[[Sequence[Product]], Iterable[list[Tag]]]
    ) -> Outcome:
        """Tag the whole catalogue, or what an interrupted run of the same has left of it; `tagged` gives tags in batches, in order."""
        if ledger.has_swept(self.fingerprint):
            return Outcome(**tally(ledger, taxonomy.primary)._asdict(), unchanged=True)
        run = ledger.start_run(self.kind, self.fingerprint, taxonomy.version, self.seed, self.settings)
        resumed_at = ledger.tagged_count(run) if run.resumed else 0
        with bar("tagging", len(catalogue) - resumed_at) as done:
            for tags in tagged(catalogue[resumed_at:]):
                ledger.add_tags(run, self.model, tags)
                done.update(len(tags))
        ledger.finish_run(run)
        return Outcome(**tally(ledger, taxonomy.primary)._asdict(), resumed_at=resumed_at)
