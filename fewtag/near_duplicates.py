"""Products that read alike and are tagged differently: one of the tags is wrong, or the taxonomy splits what nobody can tell apart.

The trap: a tag above another one is a product left half open and no contradiction, so only tags on different branches count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from fewtag.core import Product
from fewtag.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Twins:
    """Products that read alike, by the category that they are tagged with, the most frequent first."""

    tagged: tuple[tuple[str, tuple[Product, ...]], ...]

    @property
    def count(self) -> int:
        """How many products they are."""
        return sum(len(products) for _, products in self.tagged)


def letters(text: str) -> str:
    """Return what is left of a text without case, width, punctuation and digits; empty where that is nothing.

    Marks stay with their letters: in Hindi and Thai they are vowels and tones, without which different words are the same.

    >>> letters("Earl-Grey TEA, 100 ct."), letters("250g 西湖绿茶"), letters("1/2")
    ('earl grey tea ct', 'g 西湖绿茶', '')
    >>> letters("पानी") == letters("पीना")
    False
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(each if each.isalpha() or unicodedata.category(each)[0] == "M" else " " for each in folded).split())


def contradicting_twins(tagged: Iterable[tuple[Product, str | None]], taxonomy: Taxonomy) -> list[Twins]:
    """Return the groups of products that read alike and whose tags contradict each other, the largest first.

    A product without a tag, or whose category the taxonomy has no more, has no part in any.

    >>> shop = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites"])
    >>> products = [Product("1", "Red kite 80 cm"), Product("2", "RED KITE, 120 cm"), Product("3", "Red kite cm")]
    >>> [twins] = contradicting_twins(zip(products, ["toys/kites", "toys/dolls", "toys"]), shop)
    >>> [(category, [each.id for each in group]) for category, group in twins.tagged]
    [('toys', ['3']), ('toys/dolls', ['2']), ('toys/kites', ['1'])]
    """
    alike: dict[str, dict[str, list[Product]]] = {}
    for product, category in tagged:
        if category in taxonomy and (key := letters(product.text)):
            assert category is not None
            alike.setdefault(key, {}).setdefault(category, []).append(product)
    found = [
        Twins(tuple((category, tuple(group)) for category, group in sorted(groups.items(), key=lambda each: (-len(each[1]), each[0]))))
        for groups in alike.values()
        if any(_on_different_branches(*pair, taxonomy) for pair in combinations(groups, 2))
    ]
    return sorted(found, key=lambda twins: -twins.count)


def _on_different_branches(one: str, other: str, taxonomy: Taxonomy) -> bool:
    return one not in taxonomy.ancestors(other) and other not in taxonomy.ancestors(one)
