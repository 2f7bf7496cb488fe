"""What a map of the taxonomy shows: in each category how many products there are, and how many of them are tagged, how surely, by whom.

The trap: a product without a tag lies in no category. Here each product lies in its likeliest assignable one, sure enough or not, so that
the map shows the whole catalogue; a category with several parents lies below the first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fewtag.core import Stage, Tag
from fewtag.taxonomy import Taxonomy

COUNTED: Final = ("products", "tagged", "backed_off", "sureness", "stages", "judged", "right")
"""What regions that lie side by side have together."""


@dataclass(frozen=True, slots=True)
class Region:
    """The products whose likeliest category lies in a category's subtree.

    `own` of them are of the category itself. `tagged` have an assignable category for a tag, `backed_off` one above; the others are left
    open. `sureness` sums up how likely models hold the likeliest category. Of products with gold, `judged` have a tag, `right` one at or
    above the gold.
    """

    category: str
    products: int = 0
    own: int = 0
    tagged: int = 0
    backed_off: int = 0
    sureness: float = 0.0
    stages: Counter[Stage] = field(default_factory=Counter)
    judged: int = 0
    right: int = 0

    def __add__(self, other: Region) -> Region:
        """Return this category's region with the products of another besides.

        >>> (Region("toys", products=1) + Region("toys/kites", products=3, tagged=1)).coverage
        0.25
        """
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in COUNTED})

    @property
    def open(self) -> int:
        """How many products have no tag."""
        return self.products - self.tagged - self.backed_off

    @property
    def coverage(self) -> float | None:
        """The share of products that are tagged with an assignable category; None where there are none."""
        return self.tagged / self.products if self.products else None

    @property
    def confidence(self) -> float | None:
        """The mean probability of the likeliest category, of products that people have not labelled; None where there are none."""
        guessed = self.products - self.stages["label"]
        return self.sureness / guessed if guessed else None

    @property
    def stage(self) -> Stage | None:
        """What decides most of its products' tags, a rung or labels; None where there are no products."""
        return self.stages.most_common(1)[0][0] if self.stages else None

    @property
    def precision(self) -> float | None:
        """The share of tags that are at or above the gold; None where no tag has any."""
        return self.right / self.judged if self.judged else None


def place_of(tag: Tag, taxonomy: Taxonomy) -> str | None:
    """Return the category of the map that a product lies in: its likeliest one; None where the taxonomy has that no more."""
    likeliest = tag.alternatives[0][0] if tag.alternatives else tag.category
    return likeliest if likeliest in taxonomy else None


def landscape(tags: Iterable[Tag], taxonomy: Taxonomy) -> dict[str, Region]:
    """Return the region of every category, in the taxonomy's order.

    >>> shop = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> tags = [Tag("1", "toys", 0.9, "zero-shot", (("toys/kites", 0.5),), 0.5), Tag("2", "toys/dolls", 1.0, "few-shot", (), 1.0)]
    >>> found = landscape(tags, shop)["toys"]
    >>> found.products, found.coverage, found.confidence
    (2, 0.5, 0.75)
    """
    lying: dict[str, list[Tag]] = {category: [] for category in taxonomy}
    for tag in tags:
        if (place := place_of(tag, taxonomy)) is not None:
            lying[place].append(tag)
    found = {category: Region(category, own=len(there)) for category, there in lying.items()}
    for place, there in lying.items():
        tagged = sum(tag.category in taxonomy.index for tag in there)
        theirs = Region(
            place,
            products=len(there),
            tagged=tagged,
            backed_off=sum(tag.category is not None for tag in there) - tagged,
            sureness=sum(tag.score for tag in there if tag.stage != "label"),
            stages=Counter(tag.stage for tag in there),
        )
        _add(found, theirs, taxonomy)
    return found


def judge(regions: dict[str, Region], tags: Sequence[Tag], right: Sequence[bool], taxonomy: Taxonomy) -> None:
    """Add to the regions what gold says: of each of some products its tag, and whether that is the gold category or one above it."""
    judged: dict[str, list[bool]] = {}
    for tag, is_right in zip(tags, right, strict=True):
        if tag.category is not None and (place := place_of(tag, taxonomy)) is not None:
            judged.setdefault(place, []).append(is_right)
    for place, theirs in judged.items():
        _add(regions, Region(place, judged=len(theirs), right=sum(theirs)), taxonomy)


def whole(roots: Iterable[Region]) -> Region:
    """Return the region of all products, from those of the roots."""
    return sum(roots, Region(""))


def _add(regions: dict[str, Region], more: Region, taxonomy: Taxonomy) -> None:
    """Add products to the region of their category, and to those of all above it on its path."""
    for category in taxonomy.trail(more.category):
        regions[category] += more
