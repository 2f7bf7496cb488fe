"""What people say of single products outweighs any model: by a product's id and text, or else by its text alone."""

from __future__ import annotations

import numpy as np
import pytest

from fewtag.core import Label, Product
from fewtag.label_file import id_of_text
from fewtag.labels import Standing, standing
from fewtag.store import StoredLabel
from fewtag.taxonomy import Taxonomy
from fewtag.verdicts import Verdicts, fates_of

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


def test_of_what_people_said_it_is_told_what_became_of_it() -> None:
    product = Product("P1", "red tea")
    rows = [
        StoredLabel(Label("P1", TEA, "ann"), "red tea", False, 1, None, "1"),
        StoredLabel(Label("P1", WATER, "bob"), "red tea", False, 2, None, "2"),
        StoredLabel(Label("P2", GUNS, "ann"), "a gun", False, 3, None, "3"),
    ]
    both = standing(rows, SHOP)
    ann, bob, gone = rows[0].label, rows[1].label, Label("P1", GUNS, "eve", negative=True)

    def fates(learnt: list[tuple[Label, str]], said: Standing, product: Product = product) -> list[tuple[str, str, str]]:
        return [(each.label.source, each.at, each.fate) for each in fates_of(product, learnt, said, SHOP)]

    assert fates([(bob, "red tea")], both) == [("ann", "1", "outvoted"), ("bob", "2", "heeded")]
    assert fates([], both) == [("ann", "1", "outvoted"), ("bob", "2", "waiting")]
    assert fates([(ann, "red tea")], both) == [("ann", "1", "heeded"), ("bob", "2", "waiting")]
    assert fates([(gone, "red tea")], standing(rows[2:], SHOP)) == [("eve", "", "taken back")]
    other = Product("P1", "green tea")
    assert fates([(bob, "red tea")], both, other) == [("ann", "1", "outvoted"), ("bob", "2", "earlier text")]
    gone_since = StoredLabel(Label("P1", "toys", "ann"), "red tea", False, 5, None, "5")
    assert fates([], standing([gone_since], SHOP)) == [("ann", "5", "category gone")], "no product can be toys alone"
    of_text = StoredLabel(Label(id_of_text("red tea"), GUNS, "eve"), "red tea", False, 4, None, "4")
    assert fates([(of_text.label, "red tea")], standing([of_text], SHOP)) == [("eve", "4", "heeded")]
    agreed = standing([*rows[1:2], StoredLabel(Label("P1", WATER, "eve"), "red tea", False, 6, None, "6")], SHOP)
    assert fates([(bob, "red tea")], agreed) == [("bob", "2", "heeded"), ("eve", "6", "heeded")], "they say the same"
    assert fates([], standing([of_text], SHOP)) == [("eve", "4", "waiting")]
    assert fates([(bob, "red tea")], standing([of_text], SHOP)) == [("eve", "4", "waiting"), ("bob", "", "taken back")]
    all_learnt = [(bob, "red tea"), (of_text.label, "red tea")]
    assert fates(all_learnt, standing([rows[1], of_text], SHOP)) == [("bob", "2", "heeded"), ("eve", "4", "outvoted")]
