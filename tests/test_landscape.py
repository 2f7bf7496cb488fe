"""What lies where on the map, and which products read alike: by hand, in a tree and where a category has two parents."""

from __future__ import annotations

from fewtag.core import Product, Tag
from fewtag.landscape import judge, landscape, whole
from fewtag.near_duplicates import contradicting_twins
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Kites"])
TEA, COFFEE, KITES = SHOP.classes
TAGS = [
    Tag("1", TEA, 0.9, "few-shot", ((TEA, 0.9), (COFFEE, 0.1)), 0.9),
    Tag("2", "drinks", 0.8, "zero-shot", ((COFFEE, 0.5), (TEA, 0.3)), 0.5),
    Tag("3", None, 0.3, "few-shot", ((KITES, 0.3),), 0.3),
    Tag("4", "gone", 1.0, "few-shot", (("gone", 1.0),), 1.0),
]


def test_a_product_lies_in_its_likeliest_category_and_in_all_above() -> None:
    found = landscape(TAGS, SHOP)
    assert list(found) == list(SHOP)
    drinks = found["drinks"]
    assert (drinks.products, drinks.own, drinks.tagged, drinks.backed_off, drinks.open) == (2, 0, 1, 1, 0)
    assert (drinks.coverage, drinks.confidence) == (0.5, (0.9 + 0.5) / 2)
    assert (found[COFFEE].own, found[COFFEE].backed_off, found[COFFEE].coverage) == (1, 1, 0.0)
    labelled = landscape([*TAGS, Tag("5", TEA, 1.0, "label", ((TEA, 1.0),), 1.0)], SHOP)["drinks"]
    assert (labelled.products, labelled.confidence) == (3, drinks.confidence), "a label is no model's confidence"
    toys = found["toys"]
    assert (toys.products, toys.open, toys.coverage, toys.stage) == (1, 1, 0.0, "few-shot")


def test_what_no_product_lies_in_has_no_figures() -> None:
    kites = landscape(TAGS[:1], SHOP)[KITES]
    assert (kites.products, kites.coverage, kites.confidence, kites.stage, kites.precision) == (0, None, None, None, None)


def test_gold_judges_tags_and_leaves_out_what_has_none() -> None:
    found = landscape(TAGS, SHOP)
    judge(found, TAGS[:3], [True, False, False], SHOP)
    assert [(found[each].judged, found[each].right) for each in ("drinks", TEA, COFFEE, KITES)] == [(2, 1), (1, 1), (1, 0), (0, 0)]
    assert found["drinks"].precision == 0.5
    assert found[KITES].precision is None


def test_a_category_with_two_parents_lies_below_the_first_of_them() -> None:
    either = Taxonomy([Category("a", "A"), Category("b", "B"), Category("c", "C", parents=("a", "b"))])
    found = landscape([Tag("1", "c", 1.0, "zero-shot", (("c", 1.0),), 1.0)], either)
    assert [found[each].products for each in ("a", "b", "c")] == [1, 0, 1]


def test_all_products_are_the_roots_together() -> None:
    found = landscape(TAGS, SHOP)
    every = whole([found[root] for root in SHOP.roots])
    assert (every.products, every.tagged, every.backed_off, every.open) == (3, 1, 1, 1)
    assert every.stages == {"few-shot": 2, "zero-shot": 1}


def test_products_that_read_alike_contradict_each_other_on_different_branches_alone() -> None:
    products = [Product(str(number), text) for number, text in enumerate(["Red Tea 50g", "red tea, 100 g", "RED-TEA (g)", "Red kite"])]
    [twins] = contradicting_twins(zip(products, [TEA, KITES, TEA, KITES], strict=True), SHOP)
    assert [(category, [each.id for each in group]) for category, group in twins.tagged] == [(TEA, ["0", "2"]), (KITES, ["1"])]
    assert contradicting_twins(zip(products, [TEA, "drinks", None, KITES], strict=True), SHOP) == []


def test_the_largest_group_of_twins_stands_first() -> None:
    products = [Product(str(number), text) for number, text in enumerate(["Mug", "mug", "Tea 1", "Tea 2", "Tea 3"])]
    found = contradicting_twins(zip(products, [TEA, KITES, TEA, COFFEE, TEA], strict=True), SHOP)
    assert [group.count for group in found] == [3, 2]
