"""What people say of single products outweighs any model: by a product's id and text, or else by its text alone."""

from __future__ import annotations

import numpy as np
import pytest

from fewtag.core import Label, Product
from fewtag.label_file import id_of_text
from fewtag.taxonomy import Taxonomy
from fewtag.verdicts import Verdicts

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Water", "Toys > Guns"])
TEA, WATER, GUNS = SHOP.classes
PISTOL = Product("P1", "water pistol")
TEXT = Product(id_of_text("water pistol"), "water pistol")
SAID = np.float32([[0.25, 0.5, 0.25]])


def heard(own: list[Label], of_text: list[Label]) -> tuple[list[float], bool]:
    """What is said of a pistol, where some labels are of the product and others of its text alone, and whether they settle it."""
    labels = [Label(where.id, each.category, negative=each.negative) for where, some in ((PISTOL, own), (TEXT, of_text)) for each in some]
    verdicts = Verdicts.of([PISTOL, TEXT], labels, SHOP)
    return verdicts([PISTOL], SAID)[0].round(3).tolist(), verdicts.settle(PISTOL)


def is_(category: str) -> Label:
    return Label("", category)


def is_not(category: str) -> Label:
    return Label("", category, negative=True)


@pytest.mark.parametrize(
    ("own", "of_text", "expected", "settled"),
    [
        ([], [], [0.25, 0.5, 0.25], False),
        ([is_(GUNS)], [], [0.0, 0.0, 1.0], True),
        ([], [is_(GUNS)], [0.0, 0.0, 1.0], True),
        ([is_not("drinks")], [], [0.0, 0.0, 1.0], False),
        ([is_not(WATER)], [], [0.5, 0.0, 0.5], False),
        ([is_(GUNS)], [is_not(GUNS)], [0.0, 0.0, 1.0], True),
        ([is_(GUNS)], [is_(TEA)], [0.0, 0.0, 1.0], True),
        ([is_(TEA)], [is_not("drinks")], [1.0, 0.0, 0.0], True),
        ([is_not(GUNS)], [is_(GUNS)], [0.333, 0.667, 0.0], False),
        ([is_(TEA), is_not(GUNS)], [], [1.0, 0.0, 0.0], True),
        ([is_not(WATER)], [is_(TEA)], [1.0, 0.0, 0.0], True),
        ([is_not(WATER)], [is_not(GUNS)], [1.0, 0.0, 0.0], False),
    ],
)
def test_what_was_said_of_the_product_counts_before_what_was_said_of_its_text(
    own: list[Label], of_text: list[Label], expected: list[float], settled: bool
) -> None:
    assert heard(own, of_text) == (pytest.approx(expected, abs=1e-3), settled)


def test_a_label_outweighs_a_model_that_is_certain_of_another_class() -> None:
    verdicts = Verdicts.of([PISTOL], [Label("P1", GUNS)], SHOP)
    assert verdicts([PISTOL], np.float32([[1.0, 0.0, 0.0]]))[0].tolist() == pytest.approx([0, 0, 1], abs=1e-6)


def test_others_are_left_as_they_are() -> None:
    verdicts = Verdicts.of([PISTOL], [Label("P1", GUNS)], SHOP)
    others = [Product("P2", "water pistol"), Product("P1", "a bottle of water")]
    assert verdicts(others, np.repeat(SAID, 2, axis=0)).tolist() == np.repeat(SAID, 2, axis=0).tolist()
    assert not any(map(verdicts.settle, others))
