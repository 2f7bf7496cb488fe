"""Which labels hold, of all that people have said and taken back, and where they contradict each other.

The trap: people who disagree are no mistake to be mended here. What each says is kept and shown; the newest saying is learnt from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fewtag.core import Label, Product
from fewtag.errors import LabelError
from fewtag.store import StoredLabel

if TYPE_CHECKING:
    from fewtag.taxonomy import Taxonomy


class Saying(NamedTuple):
    """What one source says of a product."""

    source: str
    category: str
    negative: bool
    at: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Sayings of one product by several sources that cannot all be right, the oldest first."""

    product_id: str
    sayings: tuple[Saying, ...]

    @property
    def labels(self) -> set[Label]:
        """The labels that the sayings are."""
        return {Label(self.product_id, each.category, each.source, each.negative) for each in self.sayings}


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds: `products` and `labels` are to learn from, without a contradiction; `held` is every source's word, the oldest first."""

    products: list[Product]
    labels: list[Label]
    conflicts: list[Conflict]
    held: list[StoredLabel]


def standing(rows: Iterable[StoredLabel], taxonomy: Taxonomy | None = None) -> Standing:
    """Tell what holds of a ledger's rows, which come the oldest first.

    Of one source, a label supersedes its earlier ones of the same product that repeat or contradict it.
    Over sources the newest comes first, and a label is learnt from unless it contradicts one that is: so a doubt that is newer than
    the label it denies outweighs it, and an older label of another source then counts. A product's text is that of its newest label.

    Without a taxonomy, a negative label of an inner category denies that category alone, and not those below it.

    >>> rows = [
    ...     StoredLabel(Label("4711", "tea", "ann"), "Earl Grey", False, 1, None, "2026-01-01"),
    ...     StoredLabel(Label("4711", "jam", "bob"), "Earl Grey", False, 2, None, "2026-01-02"),
    ... ]
    >>> found = standing(rows)
    >>> [label.category for label in found.labels], [saying.source for saying in found.conflicts[0].sayings]
    (['jam'], ['ann', 'bob'])
    """
    held = _held(not_taken_back(rows), taxonomy)
    of_product: dict[str, list[StoredLabel]] = {}
    for row in held:
        of_product.setdefault(row.label.product_id, []).append(row)
    conflicts = []
    learnt = []
    for product_id, said in of_product.items():
        at_odds = [row for row in said if any(contradict(row.label, other.label, taxonomy) for other in said)]
        if at_odds:
            sayings = tuple(Saying(row.label.source, row.label.category, row.label.negative, row.at) for row in at_odds)
            conflicts.append(Conflict(product_id, sayings))
        learnt.append(_newest_first(said, taxonomy))
    taken = _in_order(learnt)
    texts = {row.label.product_id: row.text for row in taken}
    return Standing([Product(*each) for each in texts.items()], [row.label for row in taken], conflicts, held)


def not_taken_back(rows: Iterable[StoredLabel]) -> list[StoredLabel]:
    """Return the labels among a ledger's rows that no later withdrawal takes back, the oldest first."""
    said: dict[tuple[str, str], list[StoredLabel]] = {}
    for row in rows:
        earlier = said.setdefault((row.label.product_id, row.label.source), [])
        if row.withdrawn:
            earlier[:] = [each for each in earlier if not _takes_back(row, each)]
        else:
            earlier.append(row)
    return _in_order(said.values())


def contradict(one: Label, other: Label, taxonomy: Taxonomy | None = None) -> bool:
    """Return whether two labels of one product cannot both be right.

    Two categories contradict each other, as do a category and the denial of it, or of one above it; two denials never do.

    >>> contradict(Label("1", "tea"), Label("1", "jam")), contradict(Label("1", "tea"), Label("1", "jam", negative=True))
    (True, False)
    """
    if one.negative and other.negative:
        return False
    if not one.negative and not other.negative:
        return one.category != other.category
    denied, said = (one.category, other.category) if one.negative else (other.category, one.category)
    return denied == said or (taxonomy is not None and said in taxonomy and denied in taxonomy.ancestors(said))


def category_of(text: str, taxonomy: Taxonomy, *, negative: bool = False) -> str:
    """Return the category that a label means by an id, a full path or a unique name: an assignable one, or for a denial any.

    Raises TaxonomyError where it means none or several, LabelError where no product can have it.

    >>> from fewtag.taxonomy import Taxonomy
    >>> category_of("Dolls", Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"]))
    'toys/dolls'
    """
    category, primary = taxonomy.find(text), taxonomy.primary
    if category not in primary:
        problem = f"category '{category}' belongs to a facet that is not tagged yet"
        raise LabelError(problem, mend=f"write a category at or below {', '.join(primary.roots)}")
    if not negative and category not in primary.index:
        mend = f"write one of its children: {', '.join(primary.children(category))}"
        raise LabelError(f"no product belongs to '{category}' itself", mend=mend)
    return category


def _held(rows: Iterable[StoredLabel], taxonomy: Taxonomy | None) -> list[StoredLabel]:
    """Leave of each source's word of each product what it has not superseded itself."""
    said: dict[tuple[str, str], list[StoredLabel]] = {}
    for row in rows:
        earlier = said.setdefault((row.label.product_id, row.label.source), [])
        earlier[:] = [each for each in earlier if each.label != row.label and not contradict(each.label, row.label, taxonomy)]
        earlier.append(row)
    return _in_order(said.values())


def _in_order(said: Iterable[Iterable[StoredLabel]]) -> list[StoredLabel]:
    return sorted((row for rows in said for row in rows), key=lambda row: row.seq)


def _newest_first(said: Sequence[StoredLabel], taxonomy: Taxonomy | None) -> list[StoredLabel]:
    """Take one product's labels from the newest back, but for those that contradict or repeat one taken already."""
    taken: list[StoredLabel] = []
    for row in reversed(said):
        if not any(_repeat(row.label, each.label) or contradict(row.label, each.label, taxonomy) for each in taken):
            taken.append(row)
    return taken


def _repeat(one: Label, other: Label) -> bool:
    """Return whether two labels of one product say the same, whoever says it."""
    return (one.category, one.negative) == (other.category, other.negative)


def _takes_back(withdrawal: StoredLabel, row: StoredLabel) -> bool:
    """Return whether a withdrawal takes back an earlier row of its source and product; what it does not name, it does not ask for."""
    category, run_id = withdrawal.label.category, withdrawal.run_id
    return category in ("", row.label.category) and run_id in (None, row.run_id)
