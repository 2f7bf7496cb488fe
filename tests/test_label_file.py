"""Labels from files of every kind: which column is which, whose text a label takes, and what refuses a file.

The trap: the catalogue may be a million products, so it comes as a stream that can be read once.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from fewtag.core import Label, Product
from fewtag.errors import CatalogueError, FewtagError, LabelError
from fewtag.label_file import EMPTY, id_of_text, read_labels
from fewtag.taxonomy import Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Dolls", "Toys > Other", "Pets > Other"])
CATALOGUE = [Product("7", "Assam leaf tea"), Product("8", "Espresso beans"), Product("9", "Rag doll"), Product("10", "Rag doll")]

Found = list[tuple[Label, str]]


def catalogue() -> Iterator[Product]:
    yield from CATALOGUE


def read(path: Path, content: str | bytes = "", *, id_column: str | None = None) -> Found:
    if content:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path, SHOP, catalogue(), "ann", id_column).labels


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def test_a_row_says_which_product_has_which_category_and_the_reader_says_who(file: Path) -> None:
    assert read(file, "product_id,category\n8,Coffee\n7,drinks > tea\n9,toys/dolls\n") == [
        (Label("8", "drinks/coffee", "ann"), "Espresso beans"),
        (Label("7", "drinks/tea", "ann"), "Assam leaf tea"),
        (Label("9", "toys/dolls", "ann"), "Rag doll"),
    ]


def test_every_kind_of_file_says_the_same(tmp_path: Path) -> None:
    rows = [
        {"SKU": "7", "Label": "Tea", "Not": "", "By": "bob"},
        {"SKU": "8", "Label": "Toys", "Not": "x", "By": ""},
    ]
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    files = {
        "a.csv": "\n".join(lines).encode(),
        "b.csv": "\n".join(lines).replace(",", ";").encode("utf-16"),
        "c.tsv": "\n".join(lines).replace(",", "\t").encode(),
        "d.csv.gz": gzip.compress("\n".join(lines).encode()),
        "e.jsonl": "\n".join(map(json.dumps, rows)).encode(),
    }
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "f.parquet")
    expected = [
        (Label("7", "drinks/tea", "bob"), "Assam leaf tea"),
        (Label("8", "toys", "ann", negative=True), "Espresso beans"),
    ]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert {path.name: read(path) for path in tmp_path.iterdir()} == dict.fromkeys([*files, "f.parquet"], expected)


def titled() -> Iterator[Product]:
    """Products whose text is more than their title."""
    for number, title, maker in (("1", "Assam tea", "Ashby"), ("2", "Rag doll", "Sol"), ("3", "Rag doll", "Mar"), ("4", "Beans", "Sol")):
        yield Product(number, f"{title}. {maker}", {"sku": number, "Title": title, "maker": maker})


def test_a_title_means_the_product_whose_column_holds_it(file: Path) -> None:
    file.write_text("title,category\nAssam  tea,Tea\nBeans. Sol,Coffee\nOolong,Tea\nSol,Dolls\n", encoding="utf-8")
    assert read_labels(file, SHOP, titled(), "ann").labels == [
        (Label("1", "drinks/tea", "ann"), "Assam tea. Ashby"),
        (Label("4", "drinks/coffee", "ann"), "Beans. Sol"),
        (Label(id_of_text("Oolong"), "drinks/tea", "ann"), "Oolong"),
        (Label(id_of_text("Sol"), "toys/dolls", "ann"), "Sol"),  # a maker is no title
    ]


def test_a_title_of_several_products_is_refused(file: Path) -> None:
    file.write_text("title,category\nAssam tea,Tea\nRag doll,Dolls\n", encoding="utf-8")
    with pytest.raises(LabelError) as told:
        read_labels(file, SHOP, titled(), "ann")
    problem = "several products are called 'Rag doll': 2, 3 -> name the product by its id, in a column 'product_id'"
    assert str(told.value) == f"{file}:3: {problem}"
    file.write_text("title,category\nRag doll. Mar,Dolls\n", encoding="utf-8")
    assert read_labels(file, SHOP, titled(), "ann").labels[0][0].product_id == "3"


def test_what_the_catalogue_has_not_is_counted_with_an_id_and_without(file: Path) -> None:
    file.write_text("sku,title,category\n1,,Tea\n,Beans,Coffee\n,Oolong,Tea\n99,Sencha,Tea\n", encoding="utf-8")
    assert read_labels(file, SHOP, titled(), "ann").strangers == {"99", id_of_text("Oolong")}
    file.write_text("title,category\nOolong,Tea\n", encoding="utf-8")
    assert read_labels(file, SHOP, None, "ann").strangers == set(), "where there is no catalogue, nothing is strange to it"


def test_a_text_counts_before_a_title(file: Path) -> None:
    both = [Product("1", "Tea. Ashby", {"title": "Tea"}), Product("2", "Tea", {"title": "Green tea"})]
    file.write_text("title,category\nTea,Tea\n", encoding="utf-8")
    assert read_labels(file, SHOP, both, "ann").labels[0][0].product_id == "2"


def test_numbers_truths_and_nothing_are_read_as_they_are_meant(tmp_path: Path) -> None:
    rows = [{"id": 7, "category": "Tea", "negative": True}, {"id": 8.0, "category": "Coffee", "negative": None}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [label for label, _ in read(tmp_path / "rows.jsonl")] == [
        Label("7", "drinks/tea", "ann", negative=True),
        Label("8", "drinks/coffee", "ann"),
    ]


@pytest.mark.parametrize(
    ("word", "negative"), [("", False), ("0", False), ("No", False), ("FALSE", False), ("1", True), ("yes", True), ("X", True)]
)
def test_a_denial_is_written_in_several_words(file: Path, word: str, negative: bool) -> None:
    [(label, _)] = read(file, f"id,category,negative\n7,Tea,{word}\n")
    assert label.negative is negative


@pytest.mark.parametrize("name", ["category", "Label", "PATH", "类目", "分类"])
def test_the_category_has_several_names(file: Path, name: str) -> None:
    assert read(file, f"id,{name}\n7,Tea\n") == [(Label("7", "drinks/tea", "ann"), "Assam leaf tea")]


def test_of_several_columns_the_likelier_counts(file: Path) -> None:
    # As `fewtag export` and annotation tools write them: the id is of the row, the path is another way to say the category.
    content = "id,path,category,product_id,name,title\n1,?,Tea,none,?,Assam leaf tea, first flush\n".replace(", f", " f")
    assert read(file, content) == [(Label("none", "drinks/tea", "ann"), "Assam leaf tea first flush")]


def test_the_catalogues_own_name_for_ids_comes_first(file: Path) -> None:
    content = "product_id,artikelnr,category\n7,8,Coffee\n"
    assert read(file, content)[0][0].product_id == "7"
    assert read(file, content, id_column="artikelnr")[0][0].product_id == "8"
    assert read(file, content, id_column="ean")[0][0].product_id == "7"


def test_a_text_finds_its_product_in_the_catalogue_or_gets_an_id_of_its_own(file: Path) -> None:
    content = "text,category\n<b>Assam</b>  leaf tea,Tea\nRag doll,Dolls\nTin robot,Toys > Other\n"
    assert read(file, content) == [
        (Label("7", "drinks/tea", "ann"), "Assam leaf tea"),
        (Label("9", "toys/dolls", "ann"), "Rag doll"),  # the first of two with this text
        (Label(id_of_text("Tin robot"), "toys/other", "ann"), "Tin robot"),
    ]


def test_the_catalogues_text_comes_before_the_files_own(file: Path) -> None:
    assert read(file, "id,text,category\n7,TEA!,Tea\n11,Kite,Toys > Other\n,Espresso beans,Coffee\n") == [
        (Label("7", "drinks/tea", "ann"), "Assam leaf tea"),
        (Label("11", "toys/other", "ann"), "Kite"),
        (Label("8", "drinks/coffee", "ann"), "Espresso beans"),
    ]


def test_sources_may_differ_and_rows_repeat(file: Path) -> None:
    found = read(file, "id,category,source\n7,Tea,\n7,Coffee,bob\n7,Tea,ann\n7,Dolls,cal\n")
    assert [(label.category, label.source) for label, _ in found] == [
        ("drinks/tea", "ann"),
        ("drinks/coffee", "bob"),
        ("drinks/tea", "ann"),
        ("toys/dolls", "cal"),
    ]


ID_OR_TEXT = "call one of category, colour 'product_id' or 'text'"
REFUSED = {
    "no category column": ("id,class\n7,Tea\n", "1: no column is called like a category -> call one of id, class 'category'"),
    "no product column": ("category,colour\nTea,red\n", f"1: no column is called like a product's id or text -> {ID_OR_TEXT}"),
    "two columns of one name": ("id,Category,category\n7,Tea,Tea\n", "1: two columns are called 'category' -> rename one of them"),
    "no product": ("id,category\n7,Tea\n ,Tea\n", "3: the row names no product -> give its id or its text, or delete the row"),
    "text that is nothing": ("text,category\n&nbsp;,Tea\n", "2: the row names no product -> give its id or its text, or delete the row"),
    "no category": ("id,label\n7,Tea\n8,\n", "3: product '8' has no category -> fill 'label', or delete the row"),
    "no category of a text": ("text,label\nKite,\n", "2: product 'Kite' has no category -> fill 'label', or delete the row"),
    "unknown category": ("id,category\n7,Cofee\n", "2: there is no category 'Cofee' -> did you mean 'drinks/coffee'?"),
    "ambiguous category": ("id,category\n7,Other\n", "2: 'Other' may mean toys/other, pets/other -> write the id or the full path"),
    "inner category": (
        "id,category\n7,Tea\n8,Toys\n",
        "3: no product belongs to 'toys' itself -> write one of its children: toys/dolls, toys/other",
    ),
    "negative that is no truth": ("id,category,Not\n7,Tea,maybe\n", "2: 'Not' holds 'maybe' -> write true or false, or leave it empty"),
    "unknown product": (
        "id,category\n7,Tea\n99,Tea\n",
        "3: there is no product '99' in the catalogue"
        " -> write an id as the catalogue has it, or give the product's text in a column 'text'",
    ),
    "one source, two categories": (
        "id,category\n7,Tea\n8,Tea\n7,Coffee\n",
        "4: product '7' is 'drinks/coffee' here, and 'drinks/tea' at line 2"
        " -> delete one of the two rows, or say in a column 'source' who says which",
    ),
    "one source, a category and its denial": (
        "id,category,not\n7,Drinks,x\n7,Tea,\n",
        "3: product '7' is 'drinks/tea' here, and not 'drinks' at line 2"
        " -> delete one of the two rows, or say in a column 'source' who says which",
    ),
    "one product by id and by text": (
        "id,text,category\n7,,Tea\n,Assam leaf tea,Coffee\n",
        "3: product '7' is 'drinks/coffee' here, and 'drinks/tea' at line 2"
        " -> delete one of the two rows, or say in a column 'source' who says which",
    ),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_a_file_is_refused_for_a_row_that_cannot_be_understood(file: Path, content: str, told: str) -> None:
    with pytest.raises(LabelError) as caught:
        read(file, content)
    assert str(caught.value) == f"{file}:{told}"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for name, content, told in [
        ("absent.csv", b"", "there is no such file -> name a file of labels that is there"),
        ("none.csv", b"id,category\n", "the file has no labels -> write one in each row"),
        ("empty.csv", b"\n", f"the file is empty -> {EMPTY}"),
        ("empty.jsonl", b"\n", f"the file is empty -> {EMPTY}"),
    ]:
        with pytest.raises(FewtagError) as caught:
            read(tmp_path / name, content)
        assert str(caught.value) == f"{tmp_path / name}: {told}"
    with pytest.raises(CatalogueError, match=r"nul\.csv:3: 'id' holds a NUL byte"):
        read(tmp_path / "nul.csv", "id,category\n7,Tea\n8\0,Tea\n")
    with pytest.raises(CatalogueError, match=r"ragged\.csv:3: the row has 3 cells and the header 2"):
        read(tmp_path / "ragged.csv", "id,category\n7,Tea\n8,Tea,x\n")


def test_the_lines_of_a_file_are_its_own(file: Path) -> None:
    with pytest.raises(LabelError, match=r"labels\.csv:5: there is no category 'Milk'"):
        read(file, 'text,category\n"Rag\ndoll",Dolls\n\nKite,Milk\n')
