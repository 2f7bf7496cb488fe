"""What a map of the taxonomy shows: in each category how many products there are, and how many of them are tagged, how surely, by whom.

The trap: a product without a tag lies in no category. Here each product lies in its likeliest assignable one, sure enough or not, so that
the map shows the whole catalogue; a category with several parents lies below the first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fewtag.core import Stage, Tag
from fewtag.taxonomy import Taxonomy


@dataclass(slots=True)
class Region:
    """The products whose likeliest category lies in a category's subtree.

    `own` of them are of the category itself. `tagged` have an assignable category for a tag, `backed_off` one above; the others are left
    open. `sureness` sums up how likely the likeliest category is. Of products with gold, `judged` have a tag, `right` one at or above
    the gold.
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
        """The mean probability of the likeliest category; None where there are no products."""
        return self.sureness / self.products if self.products else None

    @property
    def stage(self) -> Stage | None:
        """The rung that speaks of most products; None where there are none."""
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
    found = {category: Region(category) for category in taxonomy}
    for tag in tags:
        place = place_of(tag, taxonomy)
        if place is None:
            continue
        found[place].own += 1
        for category in taxonomy.trail(place):
            region = found[category]
            region.products += 1
            region.tagged += tag.category in taxonomy.index
            region.backed_off += tag.category is not None and tag.category not in taxonomy.index
            region.sureness += tag.score
            region.stages[tag.stage] += 1
    return found


def judge(regions: dict[str, Region], tags: Sequence[Tag], right: Sequence[bool], taxonomy: Taxonomy) -> None:
    """Add to the regions what gold says: of each of some products its tag, and whether that is the gold category or one above it."""
    for tag, is_right in zip(tags, right, strict=True):
        place = place_of(tag, taxonomy)
        for category in taxonomy.trail(place) if place is not None and tag.category is not None else ():
            regions[category].judged += 1
            regions[category].right += bool(is_right)


def whole(roots: Iterable[Region]) -> Region:
    """Return the region of all products, from those of the roots."""
    found = Region("")
    for root in roots:
        for name in ("products", "tagged", "backed_off", "sureness", "stages", "judged", "right"):
            setattr(found, name, getattr(found, name) + getattr(root, name))
    return found
