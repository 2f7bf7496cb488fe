"""The three nouns that every part of fewtag speaks of: a product, a label (what a person says) and a tag (what fewtag says)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["label", "zero-shot", "few-shot", "neighbours", "fine-tune"]
"""What decides a tag: a rung of the ladder, or the label that people have given the very product."""


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale. `text` is what the models read; `fields` are the catalogue's columns; `image` is a path or an address.

    >>> Product("4711", "Earl Grey tea bags 100 ct").text
    'Earl Grey tea bags 100 ct'
    """

    id: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """What a person, or a file that a person trusts, says: this product belongs to this category (an id), or, `negative`, does not.

    `source` is who says so. `weight`, above 0 and up to 1, is how much it counts in training: less than 1 for a tag that is learnt from.
    """

    product_id: str
    category: str
    source: str = ""
    negative: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Tag:
    """What fewtag says of one product.

    `category` is a category id: assignable, or an inner category where the tagger backed off, or None where it abstains.
    `confidence` is the probability, from 0 to 1, that the product lies in that category's subtree (of the best
    assignable category's where it abstains). `score` is the same probability of the best single assignable category before backing off.
    `alternatives` are the likeliest assignable categories with their probabilities, best first. `sources` are the labelled products
    that a propagated tag comes from, by id, with their similarity from 0 to 1, nearest first.
    """

    product_id: str
    category: str | None
    confidence: float
    stage: Stage
    alternatives: tuple[tuple[str, float], ...] = ()
    score: float = 0.0
    sources: tuple[tuple[str, float], ...] = ()
