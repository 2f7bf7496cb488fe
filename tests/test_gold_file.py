"""Gold from files: what labels may not say and gold may, and what is left out of it. Columns and kinds are in test_label_file.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewtag.core import Product
from fewtag.errors import LabelError
from fewtag.gold_file import Gold, read_gold
from fewtag.label_file import id_of_text
from fewtag.taxonomy import Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Dolls"])
CATALOGUE = [Product("7", "Assam leaf tea"), Product("8", "Espresso beans"), Product("9", "Gift card")]


def read(folder: Path, content: str) -> Gold:
    file = folder / "gold.csv"
    file.write_text(content, encoding="utf-8")
    return read_gold(file, SHOP, iter(CATALOGUE), "id")


def test_products_are_found_by_id_or_text_and_an_empty_category_says_nowhere(tmp_path: Path) -> None:
    found = read(tmp_path, "id,text,category\n7,,Tea\n,Espresso beans,drinks > coffee\n9,,\n,Rag doll,dolls\n")
    assert found.products == (*CATALOGUE, Product(id_of_text("Rag doll"), "Rag doll"))
    assert found.categories == ("drinks/tea", "drinks/coffee", None, "toys/dolls")
    assert (found.contradicted, found.denied) == (0, 0)


def test_a_product_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    assert read(tmp_path, "id,category,source\n7,Tea,ann\n7,Tea,bob\n7,Tea,ann\n").categories == ("drinks/tea",)


def test_what_sources_disagree_on_and_what_is_only_denied_is_left_out_and_counted(tmp_path: Path) -> None:
    table = """\
id,text,category,not,source
7,,Tea,,ann
7,,Coffee,,bob
8,,Coffee,,ann
8,,Drinks,x,bob
9,,,,ann
9,,Dolls,,bob
A,Rag doll,Tea,x,ann
B,Green tea,Tea,,ann
B,Green tea,Toys,x,bob
"""
    found = read(tmp_path, table)
    assert found == Gold((Product("B", "Green tea"),), ("drinks/tea",), contradicted=3, denied=1, strangers=1)


def test_where_nothing_is_left_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabelError) as told:
        read(tmp_path, "id,category,not\n7,Tea,x\n")
    mend = "give gold that sources agree on, and that says what products are"
    assert str(told.value) == f"{tmp_path / 'gold.csv'}: no product is left to be evaluated -> {mend}"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("7,Tea\n7,\n", "product '7' is nowhere here, and 'drinks/tea' at line 2"),
        ("7,\n7,Tea\n", "product '7' is 'drinks/tea' here, and nowhere at line 2"),
        ("7,Tea\n6,Tea\n", "there is no product '6' in the catalogue"),
        ("8,Tea\n7,Juice\n", "there is no category 'Juice'"),
    ],
)
def test_a_row_that_cannot_be_understood_refuses_the_file(rows: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError) as told:
        read(tmp_path, f"id,category\n{rows}")
    assert (told.value.problem, told.value.where) == (problem, f"{tmp_path / 'gold.csv'}:3")


def test_that_a_product_is_not_nowhere_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="product '7' has no category"):
        read(tmp_path, "id,category,not\n7,,x\n")
