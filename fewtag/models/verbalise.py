"""Says a category in words: the phrases that products are compared with, several for each, since one phrasing is one opinion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fewtag.taxonomy import Taxonomy

_SPLIT: Final = re.compile(r"[/,;&()|、，；（）]|\s+and\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How one language speaks of a product's category. `{above}` is the path without the name, nearest first."""

    whole: tuple[str, ...]
    below_a_parent: tuple[str, ...]
    part: str


PHRASINGS: Final = {
    "en": Phrasing(
        whole=("{name}", "This product is a {name}", "a product listing of {name}", "{name} for sale in the {root} department"),
        below_a_parent=("{name} ({above})", "This product is a {name}, a kind of {parent}"),
        part="{part} for sale in the {root} department",
    ),
    "zh": Phrasing(
        whole=("{name}", "这件商品是{name}", "{root}类商品：{name}"),
        below_a_parent=("{name}（{above}）", "这件商品是{name}，属于{parent}"),
        part="{root}类商品：{part}",
    ),
}
ANY_LANGUAGE: Final = Phrasing(whole=("{name}",), below_a_parent=("{name} ({above})",), part="{part}")


@dataclass(frozen=True, slots=True)
class Phrases:
    """One category in words: `whole` say all of it and are averaged, of `parts` the nearest to a product counts."""

    whole: tuple[str, ...]
    parts: tuple[str, ...]


def sentences(taxonomy: Taxonomy, category: str) -> Phrases:
    """Phrase a category in sentences of its language, as a sentence encoder likes them."""
    names = taxonomy.names_on_path(category)
    node = taxonomy[category]
    phrasing = PHRASINGS.get(taxonomy.language, ANY_LANGUAGE)
    words = {"name": names[-1], "root": names[0], "above": ", ".join(reversed(names[:-1])), "parent": names[-2] if names[1:] else ""}
    whole = phrasing.whole + (phrasing.below_a_parent if names[1:] else ())
    described = (f"{node.name}: {node.description}",) if node.description else ()
    parts = (*parts_of(node.name), *node.aliases)
    return Phrases(
        tuple(template.format(**words) for template in whole) + described,
        tuple(phrasing.part.format(part=part, **words) for part in parts) + node.examples,
    )


def keywords(taxonomy: Taxonomy, category: str) -> Phrases:
    """Phrase a category in its bare words, to be compared letter by letter."""
    node = taxonomy[category]
    path = " ".join(taxonomy.names_on_path(category))
    return Phrases((f"{path} {node.description}".strip(),), (node.name, *node.aliases, *node.examples))


def parts_of(name: str) -> tuple[str, ...]:
    """Split a name that lists several things; a name that does not is its own only part.

    >>> parts_of("Shirts/Blouses & Polo Shirts"), parts_of("Tea")
    (('Shirts', 'Blouses', 'Polo Shirts'), ('Tea',))
    """
    # A lone Latin letter (the A of "A/C") is no word; a lone Chinese character is.
    parts = tuple(part for each in _SPLIT.split(name) if len(part := each.strip()) > 1 or not part.isascii())
    return parts or (name,)
