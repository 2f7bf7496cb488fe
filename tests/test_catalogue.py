"""Catalogues: every reader on the same rows, what is seen of encodings and delimiters, and each error with its line and its mend."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from fewtag.catalogue import SEPARATORS, as_products, clean, read_catalogue, unique_texts
from fewtag.catalogue_file import MAX_CELL, Columns
from fewtag.core import Product
from fewtag.errors import CatalogueError

EXPORT = "export it again"
ENCODING = "save it as UTF-8, or name a catalogue's encoding with `catalogue: {encoding: ...}`, such as utf-16-le, gb18030 or cp1252"
FILL = "fill the columns that `text` names, or delete the row"


def stream(folder: Path, content: str | bytes, name: str = "p.csv", **settings: Any) -> Iterator[Product]:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_catalogue(Columns(name, **settings), folder)


def read(folder: Path, content: str | bytes, name: str = "p.csv", **settings: Any) -> list[Product]:
    return list(stream(folder, content, name, **settings))


def texts(folder: Path, content: str | bytes, name: str = "p.csv", **settings: Any) -> dict[str, str]:
    return {product.id: product.text for product in read(folder, content, name, **settings)}


def told(folder: Path, content: str | bytes, name: str = "p.csv", **settings: Any) -> str:
    """Return what reading says, from the file's name on."""
    with pytest.raises(CatalogueError) as raised:
        read(folder, content, name, **settings)
    return str(raised.value).removeprefix(f"{folder}/")


def refused(source: Any, **settings: Any) -> str:
    with pytest.raises(CatalogueError) as raised:
        as_products(source, Columns("", **settings))
    return str(raised.value)


def parquet_bytes(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


# kinds of files

TEA_AND_JAM = [
    Product("1", "Earl Grey, 100 ct", {"sku": "1", "title": "Earl Grey, 100 ct", "brand": "Kettle"}),
    Product("2", "Plum jam", {"sku": "2", "title": "Plum jam", "brand": ""}),
]
CSV = 'sku,title,brand\n1,"Earl Grey, 100 ct",Kettle\n2,Plum jam,\n'
TSV = "sku\ttitle\tbrand\n1\tEarl Grey, 100 ct\tKettle\n2\tPlum jam\t\n"
JSONL = '{"sku": 1, "title": "Earl Grey, 100 ct", "brand": "Kettle"}\n{"sku": 2, "title": "Plum jam", "brand": null}\n'
KINDS = {
    "p.csv": CSV.encode(),
    "P.CSV": CSV.encode(),
    "p.tsv": TSV.encode(),
    "p.csv.gz": gzip.compress(CSV.encode()),
    "p.tsv.gz": gzip.compress(TSV.encode()),
    "p.jsonl": JSONL.encode(),
    "p.ndjson": JSONL.encode(),
    "p.jsonl.gz": gzip.compress(JSONL.encode()),
    "p.parquet": parquet_bytes({"sku": [1, 2], "title": ["Earl Grey, 100 ct", "Plum jam"], "brand": ["Kettle", None]}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_products(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, KINDS[name], name) == TEA_AND_JAM


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_frame_gives_the_same_products_as_a_file(frame: Any) -> None:
    columns = {"sku": [1, 2], "title": ["Earl Grey, 100 ct", "Plum jam"], "brand": ["Kettle", None]}
    assert as_products(frame(columns)) == TEA_AND_JAM


def test_a_path_of_a_file_gives_its_products(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CSV, encoding="utf-8")
    assert as_products(tmp_path / "p.csv") == as_products(str(tmp_path / "p.csv")) == TEA_AND_JAM
    named = as_products(tmp_path / "p.csv", Columns("other.csv", text="{{ brand }} {{ title }}"))
    assert [product.text for product in named] == ["Kettle Earl Grey, 100 ct", "Plum jam"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("name", "content"), [("p.csv", CSV), ("p.jsonl", JSONL)])
def test_whatever_ends_the_lines(tmp_path: Path, name: str, content: str, newline: str) -> None:
    assert read(tmp_path, content.replace("\n", newline), name) == TEA_AND_JAM


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    assert texts(tmp_path, "\nid,title\n\n1,Tea\n\n") == {"1": "Tea"}
    assert told(tmp_path, "\nid,title\n\n1,Tea\n\n,Jam\n").startswith("p.csv:6: a product has no id")
    assert told(tmp_path, '\n{"id": 1, "title": "Tea"}\n\n{"title": "Jam"}\n', "p.jsonl").startswith("p.jsonl:4: a product has no id")


# streaming


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", b"id,title\n1,Tea\n2,Jam\n,Oil\n4,Rum\n"),
        ("p.jsonl", b'{"id": 1, "title": "Tea"}\n{"id": 2, "title": "Jam"}\n{"title": \n'),
        ("p.parquet", parquet_bytes({"id": [1, 2, None], "title": ["Tea", "Jam", "Oil"]})),
    ],
)
def test_an_error_in_the_third_row_comes_behind_two_products(tmp_path: Path, name: str, content: bytes) -> None:
    products = stream(tmp_path, content, name)
    assert [next(products).text, next(products).text] == ["Tea", "Jam"]
    with pytest.raises(CatalogueError, match=rf"{name}:{4 if name == 'p.csv' else 3}: "):
        next(products)


LONG_CSV = "id,title\n" + "".join(f"{row},{'x' * 80}\n" for row in range(50_000))
LONG_JSONL = "".join(f'{{"id": {row}, "title": "{"x" * 80}"}}\n' for row in range(50_000))


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.csv", LONG_CSV.encode()), ("p.csv.gz", gzip.compress(LONG_CSV.encode(), 1, mtime=0)), ("p.jsonl", LONG_JSONL.encode())],
    ids=["csv", "csv.gz", "jsonl"],
)
def test_the_first_product_comes_without_the_file_in_memory(tmp_path: Path, name: str, content: bytes) -> None:
    products = stream(tmp_path, content, name)
    tracemalloc.start()
    try:
        assert next(products).id == "0"
        assert tracemalloc.get_traced_memory()[1] < len(LONG_CSV) / 2
    finally:
        tracemalloc.stop()


def test_nothing_is_opened_before_the_first_product_is_asked_for(tmp_path: Path) -> None:
    products = read_catalogue(Columns("none.csv"), tmp_path)
    with pytest.raises(CatalogueError, match="there is no such catalogue"):
        next(products)


# encodings and delimiters

FRENCH = "id,title\n" + "".join(f"{row},{name}\n" for row, name in enumerate(["Café moulu", "Thé vert à la menthe", "Crème – 3 €", "Bœuf"]))
CHINESE = "编号,商品名称\n" + "".join(
    f"{row},{name}\n" for row, name in enumerate(["龙井茶叶 250克", "意式咖啡豆", "红烧牛肉面", "洗衣液"])
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "utf-8"),
        (FRENCH, "utf-8-sig"),
        (FRENCH, "utf-16"),
        (FRENCH, "utf-32"),
        (FRENCH, "cp1252"),
        (CHINESE, "utf-8"),
        (CHINESE, "utf-16"),
        (CHINESE, "gb18030"),
    ],
)
def test_the_encoding_is_seen(tmp_path: Path, text: str, encoding: str) -> None:
    expected = dict(line.split(",") for line in text.splitlines()[1:])
    assert texts(tmp_path, text.encode(encoding)) == expected


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_both_byte_orders_of_utf_16_are_seen(tmp_path: Path, mark: bytes) -> None:
    order = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    assert texts(tmp_path, mark + CHINESE.encode(order))["0"] == "龙井茶叶 250克"


@pytest.mark.parametrize("start", ["id,title\n", "iid,title\n"])
def test_the_encoding_is_seen_though_the_sample_ends_within_a_character(tmp_path: Path, start: str) -> None:
    """The sample is of an even length, so one of the two starts puts its end between the bytes of a character."""
    content = start + "".join(f"{row:05},{'龙井茶叶' * 4}\n" for row in range(4_000))
    products = read(tmp_path, content.encode("gb18030"), id=start.split(",")[0])
    assert len(products) == 4_000
    assert {product.text for product in products} == {"龙井茶叶" * 4}


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gb18030", CHINESE.encode("gb18030")),
        ("utf-8", CHINESE.encode()),
        ("UTF8", CHINESE.encode("utf-8-sig")),
        ("utf-16-le", b"\xff\xfe" + CHINESE.encode("utf-16-le")),
        ("utf-16-le", CHINESE.encode("utf-16-le")),
    ],
)
def test_the_encoding_can_be_named(tmp_path: Path, encoding: str, content: bytes) -> None:
    assert read(tmp_path, content, encoding=encoding)[0] == Product("0", "龙井茶叶 250克", {"编号": "0", "商品名称": "龙井茶叶 250克"})


def test_json_lines_may_start_with_a_mark_and_be_chinese(tmp_path: Path) -> None:
    assert texts(tmp_path, "\ufeff" + JSONL, "p.jsonl") == {"1": "Earl Grey, 100 ct", "2": "Plum jam"}
    assert texts(tmp_path, "\ufeff" + JSONL, "p.jsonl", encoding="utf-8") == {"1": "Earl Grey, 100 ct", "2": "Plum jam"}
    rows = [{"id": row, "title": title} for row, title in enumerate(["龙井茶叶 250克", "意式咖啡豆", "红烧牛肉面", "洗衣液 薰衣草香"])]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("gb18030")
    assert texts(tmp_path, content, "p.jsonl")["3"] == "洗衣液 薰衣草香"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen(tmp_path: Path, delimiter: str) -> None:
    other = ";" if delimiter == "," else ","
    rows = [["id", "title", "price"], ["1", f"Tea{other} green{other} loose{other} fine", "2"], ["2", f"Jam{other} red", "3"]]
    assert texts(tmp_path, "\n".join(map(delimiter.join, rows))) == {"1": rows[1][1], "2": rows[2][1]}


def test_a_tsv_file_holds_tabs_whatever_else_it_holds(tmp_path: Path) -> None:
    assert texts(tmp_path, "id\ttitle, a, b, c\n1\tTea, a, b, c\n", "p.tsv", text='{{ fields["title, a, b, c"] }}') == {"1": "Tea, a, b, c"}


def test_a_header_that_holds_another_delimiter_does_not_decide_alone(tmp_path: Path) -> None:
    template = '{{ fields["title, brand, size"] }}'
    assert texts(tmp_path, "id;title, brand, size\n1;Tea\n2;Jam\n3;Oil\n", text=template) == {"1": "Tea", "2": "Jam", "3": "Oil"}


def test_the_delimiter_can_be_named(tmp_path: Path) -> None:
    assert texts(tmp_path, "id~title\n1~Tea, green\n", delimiter="~") == {"1": "Tea, green"}


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert texts(tmp_path, "title\nTea\nJam\n") == {"1": "Tea", "2": "Jam"}


def test_cells_with_line_breaks_quotes_and_blanks_before_them(tmp_path: Path) -> None:
    content = 'id, "title", size\n1, "Tea, ""green""\nleaf", 5" pot\n2, Jam,\n'
    products = read(tmp_path, content)
    assert products[0].fields == {"id": "1", "title": 'Tea, "green"\nleaf', "size": '5" pot'}
    assert [product.text for product in products] == ['Tea, "green" leaf', "Jam"]


# columns and templates


@pytest.mark.parametrize(
    "header", ["id,title", "SKU,Title", " id , title ", "Product ID,Product Name", "商品ID,标题", "handle,NAME", ",title"]
)
def test_columns_are_known_by_their_usual_names(tmp_path: Path, header: str) -> None:
    assert texts(tmp_path, f"{header}\n1,Tea\n") == {"1": "Tea"}


def test_a_title_goes_before_a_name_whatever_their_order(tmp_path: Path) -> None:
    assert texts(tmp_path, "name,title\nA,B\n") == {"1": "B"}


def test_of_two_titles_the_first_is_taken(tmp_path: Path) -> None:
    assert texts(tmp_path, "TITLE,title,Title\nA,B,C\n") == {"1": "A"}


def test_rows_without_an_id_column_are_numbered(tmp_path: Path) -> None:
    assert texts(tmp_path, "title,price\nTea,2\nJam,3\n") == {"1": "Tea", "2": "Jam"}


def test_the_columns_can_be_named(tmp_path: Path) -> None:
    products = read(tmp_path, "id,ean,title,photo\n1,77,Tea,t.jpg\n2,78,Jam,\n", id="ean", text="{{ title }} {{ id }}", image="photo")
    assert [(product.id, product.text, product.image) for product in products] == [("77", "Tea 1", "t.jpg"), ("78", "Jam 2", None)]


def test_nameless_columns_are_left_out(tmp_path: Path) -> None:
    """A frame's export starts with one for the row's number, and a spreadsheet's ends with empty ones."""
    assert read(tmp_path, ",id,title,,\n0,1,Tea,x,y\n") == [Product("1", "Tea", {"id": "1", "title": "Tea"})]


def test_a_template_is_rendered_and_tidied(tmp_path: Path) -> None:
    content = "id,title,brand\n1,Tea &amp; milk,Kettle\n2,Jam,\n"
    assert texts(tmp_path, content, text="{{ title }}. {{ brand }}") == {"1": "Tea & milk. Kettle", "2": "Jam"}
    assert texts(tmp_path, content, text="{% if brand %}{{ brand }}: {% endif %}{{ title }}")["1"] == "Kettle: Tea & milk"


def test_a_template_reaches_columns_whose_names_are_no_identifiers(tmp_path: Path) -> None:
    content = "id,Product Name,in,品牌\n1,Tea,shop,茶牌\n"
    assert texts(tmp_path, content, text='{{ fields["Product Name"] }} {{ fields["in"] }} {{ 品牌 }}') == {"1": "Tea shop 茶牌"}


def test_a_column_called_fields_is_a_column(tmp_path: Path) -> None:
    assert texts(tmp_path, "id,fields\n1,Tea\n", text="{{ fields }}") == {"1": "Tea"}


TEMPLATES = {
    "{{ titel }}": "t.yaml:4: p.csv has no column 'titel' -> did you mean 'title'?",
    "{{ zzz }}": "t.yaml:4: p.csv has no column 'zzz' -> the columns are id, title, Product Name",
    "{{ Product_Name }}": "t.yaml:4: p.csv has no column 'Product_Name' -> did you mean 'fields[\"Product Name\"]'?",
    '{{ fields["titel"] }}': "t.yaml:4: p.csv has no column 'titel' -> did you mean 'title'?",
    "{{ Product Name }}": "t.yaml:4: the text template does not parse: expected token 'end of print statement', got 'Name' "
    '-> mend the jinja2 syntax; a column whose name has blanks is written {{ fields["Product Name"] }}',
    "{{ title | shout }}": "t.yaml:4: the text template does not parse: No filter named 'shout'. "
    '-> mend the jinja2 syntax; a column whose name has blanks is written {{ fields["Product Name"] }}',
    "title": 't.yaml:4: the text template names no column -> write a column in braces: "{{ title }}"',
    "{{ title.split()[1] }}": "t.yaml:4: the text template fails on p.csv:3: list object has no element 1 -> mend the template",
    "{{ 12 // (title | length - 3) }}": "t.yaml:4: the text template fails on p.csv:3: integer division or modulo by zero "
    "-> mend the template",
    "{{ title.encode('xx') }}": "t.yaml:4: the text template fails on p.csv:2: unknown encoding: xx -> mend the template",
    "{{ title.__class__ }}": "t.yaml:4: the text template fails on p.csv:2: access to attribute '__class__' of 'str' object is unsafe. "
    "-> mend the template",
    "{% for i in range(10**9) %}{{ title }}{% endfor %}": "t.yaml:4: the text template fails on p.csv:2: Range too big. "
    "The sandbox blocks ranges larger than MAX_RANGE (100000). -> mend the template",
}  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_wrong_template_is_told_with_its_line_in_the_taxonomy(tmp_path: Path, template: str) -> None:
    content = "id,title,Product Name\n1,Green tea,x\n2,Jam,y\n"
    assert told(tmp_path, content, text=template, where="t.yaml:4") == TEMPLATES[template]


@pytest.mark.parametrize("setting", ["id", "image"])
def test_a_column_that_is_not_there_is_told_with_its_line_in_the_taxonomy(tmp_path: Path, setting: str) -> None:
    content = "id,title,photo\n1,Tea,x\n"
    near = told(tmp_path, content, where="t.yaml:4", **{setting: "photos"})
    assert near == "t.yaml:4: p.csv has no column 'photos' -> did you mean 'photo'?"
    far = told(tmp_path, content, where="t.yaml:4", **{setting: "xyz"})
    assert far == "t.yaml:4: p.csv has no column 'xyz' -> the columns are id, title, photo"


# rows that cannot become products


COLUMN = 'set `catalogue: {text: "{{ column }}"}` over'
QUOTE = 'close each quote that opens a cell, and write a quote within such a cell twice ("")'
ROWS = {
    "\n": f"p.csv: the file is empty -> {EXPORT}",
    "\ufeff": f"p.csv: the file is empty -> {EXPORT}",
    "": f"p.csv: the file is empty -> {EXPORT}",
    "id,title": f"p.csv: the catalogue has no rows -> {EXPORT}",
    "id,title\n": f"p.csv: the catalogue has no rows -> {EXPORT}",
    "id,text,title,title\n1,a,b,c\n": "p.csv:1: two columns are called 'title' -> rename one of them",
    "id, title,title \n1,a,b\n": "p.csv:1: two columns are called 'title' -> rename one of them",
    "id,label\n1,Tea\n": f"p.csv:1: no column is called like a title -> {COLUMN} id, label",
    "id,title\n1,Tea\n,Jam\n": "p.csv:3: a product has no id -> give it one, or delete the row",
    "id,title\n1,Tea\n 1 ,Jam\n": "p.csv:3: the id '1' is there twice (first at line 2) -> give each product an id of its own",
    'id,title\n1,"Tea\n\n"\n2,Jam\n1,Oil\n': "p.csv:6: the id '1' is there twice (first at line 2) -> give each product an id of its own",
    "id,title\n1,Tea\n2, \n": f"p.csv:3: product '2' has no text -> {FILL}",
    "id,title\n1,Tea\n2,&nbsp;. -\n": f"p.csv:3: product '2' has no text -> {FILL}",
    "id,title\n1,Tea\n2\n": "p.csv:3: the row has 1 cells and the header 2 -> put a text that holds the delimiter in quotes, "
    "or name a catalogue's delimiter with `delimiter:`",
    "id,title\n1,Tea\n2,Jam, red\n3,Oil\n": "p.csv:3: the row has 3 cells and the header 2 -> put a text that holds the delimiter in "
    "quotes, or name a catalogue's delimiter with `delimiter:`",
    'id,title\n1,Tea\n2,"Jam\n3,Oil\n4,Rum\n': f"p.csv:3: this is not valid CSV: unexpected end of data -> {QUOTE}",
    'id,title\n1,Tea\n2,"Jam\n3,"Oil"\n': f"p.csv:3: this is not valid CSV: ',' expected after '\"' -> {QUOTE}",
    'id,title\n1,Tea\n2,"Jam" red\n': f"p.csv:3: this is not valid CSV: ',' expected after '\"' -> {QUOTE}",
    "id,title\n1,Tea\n2,J\0am\n": f"p.csv:3: 'title' holds a NUL byte -> delete it, or {EXPORT}",
}  # fmt: skip


@pytest.mark.parametrize("content", ROWS, ids=range(len(ROWS)))
def test_the_first_row_that_is_no_product_is_told_with_its_line(tmp_path: Path, content: str) -> None:
    assert told(tmp_path, content) == ROWS[content]


def test_a_cell_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    said = "p.csv:3: a cell has more than 1,000,000 characters -> close the quote that opens there, or shorten the cell"
    assert told(tmp_path, f"id,title\n1,Tea\n2,{'x' * 10_000_000}\n") == said
    assert texts(tmp_path, f"id,title\n1,{'x' * MAX_CELL}\n") == {"1": "x" * MAX_CELL}


def test_a_quote_that_is_never_closed_is_told_where_it_opens(tmp_path: Path) -> None:
    products = stream(tmp_path, 'id,title\n1,Tea\n2,"Jam\n' + "3,Plum jam with rum\n" * 100_000)
    assert next(products).text == "Tea"
    with pytest.raises(CatalogueError, match=r"p\.csv:3: a cell has more than 1,000,000 characters -> close the quote that opens there"):
        next(products)


# bytes that are no text


@pytest.mark.parametrize(("name", "row"), [("p.csv", "{},Tea\n"), ("p.jsonl", '{{"id": {}, "title": "Tea"}}\n')])
@pytest.mark.parametrize("compress", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_bad_byte_late_in_the_file_is_told_with_its_line(tmp_path: Path, name: str, row: str, compress: bool) -> None:
    rows = [row.format(number) for number in range(30_000)]
    content = ("id,title\n" if name == "p.csv" else "").encode() + "".join(rows).encode() + row.format('"caf\xe9"').encode("latin-1")
    content, name = (gzip.compress(content, 1), f"{name}.gz") if compress else (content, name)
    products = stream(tmp_path, content, name)
    seen = 0
    with pytest.raises(CatalogueError) as raised:
        for seen, _ in enumerate(products, 1):  # noqa: B007
            pass
    line = 30_002 if "csv" in name else 30_001
    assert str(raised.value).startswith(f"{tmp_path}/{name}:{line}: the file is not utf-8 text: invalid continuation byte in b'\\xe9\"")
    assert str(raised.value).endswith(f"-> {ENCODING}")
    assert 0 < seen <= 30_000


def test_one_bad_byte_does_not_turn_chinese_into_another_encoding(tmp_path: Path) -> None:
    said = told(tmp_path, CHINESE.encode() + b"5,\xff\n")
    assert said == f"p.csv:6: the file is not utf-8 text: invalid start byte in b'\\xff\\n' -> {ENCODING}"


def test_one_bad_byte_behind_a_mark_does_not_turn_utf_8_into_another_encoding(tmp_path: Path) -> None:
    said = told(tmp_path, b"\xef\xbb\xbfid,title\n1,caf\xe9\n")
    assert said == f"p.csv:2: the file is not utf-8 text: invalid continuation byte in b'\\xe9\\n' -> {ENCODING}"


def test_the_wrong_encoding_is_told(tmp_path: Path) -> None:
    said = told(tmp_path, "id,title\n1,caf\xe9\n".encode("cp1252"), encoding="utf-8")
    assert said == f"p.csv:2: the file is not utf-8 text: invalid continuation byte in b'\\xe9\\n' -> {ENCODING}"
    said = told(tmp_path, CHINESE.encode("gb18030"), encoding="ascii")
    assert said.startswith("p.csv:1: the file is not ascii text: ordinal not in range(128) in b'\\xb1")
    assert told(tmp_path, "id,title\n1,Tea\n", encoding="utf-16").startswith("p.csv: the file is not utf-16 text: ")


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "base64", "undefined", "a\0b"])
def test_what_is_no_encoding_is_told_with_its_line_in_the_taxonomy(tmp_path: Path, encoding: str) -> None:
    said = told(tmp_path, "id,title\n1,Tea\n", encoding=encoding, where="t.yaml:4")
    assert said == f"t.yaml:4: there is no encoding '{encoding}' -> {ENCODING}"


@pytest.mark.parametrize("delimiter", ["\\t", "::", '"', "\n", "\r", "\0"])
def test_what_is_no_delimiter_is_told_with_its_line_in_the_taxonomy(tmp_path: Path, delimiter: str) -> None:
    said = told(tmp_path, "id,title\n1,Tea\n", delimiter=delimiter, where="t.yaml:4")
    assert said == f't.yaml:4: the delimiter {delimiter!r} cannot be one -> write one character, and a tab as "\\t" in double quotes'


def test_utf_16_without_a_mark_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, "id,title\n1,Tea\n".encode("utf-16-le")) == f"p.csv:1: the header holds NUL bytes -> {ENCODING}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04...", "p.csv: the file is no text but a zip or an Excel file -> save it as CSV in UTF-8"),
        (gzip.compress(b"id,title\n", mtime=0), "p.csv: the file is no text but compressed -> let its name end in .gz"),
        (KINDS["p.parquet"], "p.csv: the file is no text but Parquet -> let its name end in .parquet"),
    ],
)
def test_another_kind_of_file_under_the_name_of_a_csv_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    assert told(tmp_path, content) == said


# files that cannot be read


NO_SUCH = "there is no such catalogue -> name a file that is there, with `catalogue: {file: ...}` or on the command line"
KNOWN = "name a file that ends in .csv, .tsv, .csv.gz, .tsv.gz, .jsonl, .ndjson, .jsonl.gz, .parquet, or save it as one"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("none.csv", f"none.csv: {NO_SUCH}"),
        ("none/none.csv", f"none/none.csv: {NO_SUCH}"),
        ("here.csv/none.csv", f"here.csv/none.csv: {NO_SUCH}"),
        ("here.xlsx", f"here.xlsx: 'here.xlsx' is of no known kind -> {KNOWN}"),
        ("here", f"here: 'here' is of no known kind -> {KNOWN}"),
        ("folder.csv", "folder.csv: this is a folder -> name a file within it"),
        ("folder", "folder: this is a folder -> name a file within it"),
        (f"{'a' * 300}.csv", f"{'a' * 300}.csv: the file cannot be read: File name too long -> check that it is whole"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, file: str, said: str) -> None:
    for name in ("folder", "folder.csv"):
        (tmp_path / name).mkdir()
    for name in ("here.csv", "here.xlsx", "here"):
        (tmp_path / name).write_text("id,title\n", encoding="utf-8")
    with pytest.raises(CatalogueError) as raised:
        next(read_catalogue(Columns(file), tmp_path))
    assert str(raised.value).removeprefix(f"{tmp_path}/") == said


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    products = stream(tmp_path, KINDS[name], name)
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(gzip, "open", refuse)
    with pytest.raises(CatalogueError) as raised:
        next(products)
    assert str(raised.value) == f"{tmp_path}/{name}: you may not read this file -> get the right to read it"


def test_a_compressed_file_that_is_broken_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(("id,title\n" + "".join(f"{row},Tea {row * 7919 % 9973}\n" for row in range(50_000))).encode())
    ended = "Compressed file ended before the end-of-stream marker was reached"
    assert told(tmp_path, whole[:-9], "p.csv.gz") == f"p.csv.gz: the file cannot be read: {ended} -> check that it is whole"
    assert "CRC check failed" in told(tmp_path, whole[:-8] + bytes(8), "p.csv.gz")
    assert "Error -3 while decompressing data" in told(tmp_path, whole[:10_000] + b"\xff" * 5_000 + whole[15_000:], "p.csv.gz")
    assert "Not a gzipped file (b'id') -> check that it is whole" in told(tmp_path, "id,title\n", "p.csv.gz")
    assert told(tmp_path, gzip.compress(b""), "p.csv.gz") == f"p.csv.gz: the file is empty -> {EXPORT}"


# JSON lines and Parquet: numbers, nested values and what is missing


def test_numbers_and_nested_values_of_json_become_text(tmp_path: Path) -> None:
    row = (
        '{"id": 12345678901234567890, "title": "Tea", "whole": 2.0, "part": 2.5, "nan": NaN, "none": null, "yes": true, '
        '"tags": ["a", 1.0, null], "size": {"höhe": 2}, "empty": []}\n'
    )
    assert read(tmp_path, row, "p.jsonl")[0].fields == {
        "id": "12345678901234567890",
        "title": "Tea",
        "whole": "2",
        "part": "2.5",
        "nan": "",
        "none": "",
        "yes": "True",
        "tags": "a, 1, ",
        "size": '{"höhe": 2}',
        "empty": "",
    }


def test_a_key_that_some_objects_leave_out_is_empty_there(tmp_path: Path) -> None:
    rows = '{"id": 1, "title": "Tea"}\n{"id": 2, "title": "Jam", "brand": "Kettle"}\n'
    assert texts(tmp_path, rows, "p.jsonl", text="{{ title }}, {{ brand }}") == {"1": "Tea", "2": "Jam, Kettle"}


JSON_MEND = "write one object on each line"
LINES = {
    "  \n\n": f"p.jsonl: the file is empty -> {EXPORT}",
    "{}\n": f"p.jsonl: the file is empty -> {EXPORT}",
    "[1, 2]\n": f"p.jsonl:1: the line is no JSON object -> {JSON_MEND}",
    '{"id": 1, "title": "Tea"}\nnull\n': f"p.jsonl:2: the line is no JSON object -> {JSON_MEND}",
    '\n{\n"id": 1}\n': "p.jsonl:2: this is not valid JSON: Expecting property name enclosed in double quotes "
    f"-> {JSON_MEND}",
    '{"id": 1, "title": "Tea"}\n{"id": 1.0, "title": "Jam"}\n': "p.jsonl:2: the id '1' is there twice (first at line 1) "
    "-> give each product an id of its own",
    '{"id": 1, "title": "Tea"}\n{"id": null, "title": "Jam"}\n': "p.jsonl:2: a product has no id -> give it one, or delete the row",
    '{"id": 1, "title": null}\n': f"p.jsonl:1: product '1' has no text -> {FILL}",
    '{"id": 1, "title": "T\\u0000ea"}\n': f"p.jsonl:1: 'title' holds a NUL byte -> delete it, or {EXPORT}",
    '{"id": 1, "title": "Tea \\ud83d"}\n': f"p.jsonl:1: 'title' holds half of a character -> delete it, or {EXPORT}",
    '{"id": 1, "title": "Tea", "about": "' + "x" * (MAX_CELL + 1) + '"}\n': "p.jsonl:1: 'about' has more than 1,000,000 characters "
    "-> shorten it",
    '{"id": 1, "title": "Tea"}\n{"id": ' + "[" * 100_000 + "\n": "p.jsonl:2: this is not valid JSON: maximum recursion depth exceeded "
    f"while decoding a JSON array from a unicode string -> {JSON_MEND}",
}  # fmt: skip


@pytest.mark.parametrize("content", LINES, ids=range(len(LINES)))
def test_the_first_line_that_is_no_product_is_told(tmp_path: Path, content: str) -> None:
    assert told(tmp_path, content, "p.jsonl") == LINES[content]


def test_a_whole_emoji_is_no_half_character(tmp_path: Path) -> None:
    assert texts(tmp_path, '{"id": 1, "title": "Tea \\ud83c\\udf75"}\n', "p.jsonl") == {"1": "Tea 🍵"}


def test_values_of_parquet_become_text(tmp_path: Path) -> None:
    columns = {
        "id": [1.0],
        "title": ["茶".encode()],
        "none": pa.array([None], pa.int64()),
        "day": [date(2024, 1, 31)],
        "price": [Decimal("1.50")],
        "tags": [["a", "b"]],
        "size": [{"w": 2}],
    }
    fields = read(tmp_path, parquet_bytes(columns), "p.parquet")[0].fields
    assert fields == {"id": "1", "title": "茶", "none": "", "day": "2024-01-31", "price": "1.50", "tags": "a, b", "size": '{"w": 2}'}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (parquet_bytes({"id": [1, None], "title": ["Tea", "Jam"]}), "p.parquet:2: a product has no id -> give it one, or delete the row"),
        (parquet_bytes({"id": [1, 2], "title": ["Tea", None]}), f"p.parquet:2: product '2' has no text -> {FILL}"),
        (parquet_bytes({"id": [], "title": []}), f"p.parquet: the catalogue has no rows -> {EXPORT}"),
    ],
)
def test_a_row_of_parquet_that_is_no_product_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    assert told(tmp_path, content, "p.parquet") == said


def test_parquet_that_is_broken_is_told(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).permutation(20_000)
    whole = parquet_bytes({"id": rows.astype(str), "title": np.char.add("Tea ", rows.astype(str))})
    middle = len(whole) // 2
    for content in (b"id,title\n1,Tea\n", whole[:-4], whole[: middle - 5_000] + b"\xff" * 10_000 + whole[middle + 5_000 :]):
        said = told(tmp_path, content, "p.parquet")
        assert said.startswith("p.parquet: this is not valid Parquet: ")
        assert said.endswith(f"-> {EXPORT}")


# lists and frames


def test_texts_are_numbered_and_products_kept() -> None:
    mine = Product("mine", "Jam")
    assert as_products(["Tea", mine, "Oil"]) == [Product("0", "Tea"), mine, Product("2", "Oil")]
    assert (
        as_products(iter(["Tea"])) == as_products(np.array(["Tea"])) == as_products(pd.Series(["Tea"], index=[7])) == [Product("0", "Tea")]
    )
    assert as_products([]) == []


GIVE = "give texts, products, a frame or a path"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, f"NoneType is no list of products -> {GIVE}"),
        (7, f"int is no list of products -> {GIVE}"),
        (Product("1", "Tea"), f"Product is no list of products -> {GIVE}"),
        ({"1": "Tea"}, f"dict is no list of products -> {GIVE}"),
        (pl.LazyFrame({"title": ["Tea"]}), f"LazyFrame is no list of products -> {GIVE}"),
        (["Tea", float("nan")], f"the text of product '1' is of type float -> {GIVE}"),
        ([{"id": 1, "title": "Tea"}], f"the text of product '0' is of type dict -> {GIVE}"),
        ([Product(7, "Tea")], f"the id of product '7' is of type int -> {GIVE}"),  # type: ignore[arg-type]
        (["Tea", " \n"], "product '1' has no text -> give it one, or leave it out"),
        ([Product("a", "Tea"), Product("a", "Jam")], "the id 'a' is there twice -> give each product an id of its own"),
        (["Tea", "Jam\ud83d"], f"product '1': 'text' holds half of a character -> delete it, or {EXPORT}"),
        (["Tea", Product("0", "Jam")], "the id '0' is there twice -> give each product an id of its own"),
        ("Green tea", f"Green tea: 'Green tea' is of no known kind -> {KNOWN}"),
    ],
)
def test_a_list_of_products_is_held_to_the_rules_of_a_file(source: Any, said: str) -> None:
    assert refused(source) == said


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"id": [1.0, None], "title": ["Tea", "Jam"]}), "the frame:2: a product has no id -> give it one, or delete the row"),
        (pl.DataFrame({"id": [1, 1], "title": ["Tea", "Jam"]}), "the frame:2: the id '1' is there twice (first at line 1) "
                                                                "-> give each product an id of its own"),
        (pd.DataFrame({"id": [1], "title": [None]}), f"the frame:1: product '1' has no text -> {FILL}"),
        (pd.DataFrame([[1, "a", "b"]], columns=["id", "title", "title"]), "the frame:1: two columns are called 'title' "
                                                                          "-> rename one of them"),
        (pd.DataFrame({"id": [], "title": []}), f"the frame: the catalogue has no rows -> {EXPORT}"),
        (pd.DataFrame([["Tea"]]), f"the frame:1: no column is called like a title -> {COLUMN} 0"),
    ],
)  # fmt: skip
def test_a_row_of_a_frame_that_is_no_product_is_told(frame: Any, said: str) -> None:
    assert refused(frame) == said


def test_values_of_a_frame_become_text() -> None:
    frame = pd.DataFrame(
        {
            "id": [1.0, 2.0],
            "title": pd.Categorical(["Tea", "NaT"]),
            "count": pd.array([3, None], dtype="Int64"),
            "day": [pd.Timestamp("2024-01-31"), pd.NaT],
            "tags": [np.array(["a", "b"]), ["c"]],
            7: [0.5, float("nan")],
        }
    )
    one, two = as_products(frame, Columns("", text='{{ title }} {{ fields["7"] }}'))
    assert one == Product(
        "1", "Tea 0.5", {"id": "1", "title": "Tea", "count": "3", "day": "2024-01-31 00:00:00", "tags": "a, b", "7": "0.5"}
    )
    assert two == Product("2", "NaT", {"id": "2", "title": "NaT", "count": "", "day": "", "tags": "c", "7": ""})
    assert as_products(pl.DataFrame({"id": [1], "title": ["Tea"], "tags": [["a", "b"]]}))[0].fields["tags"] == "a, b"


# texts


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Salt &amp; vinegar crisps . ,  6x25g. ", "Salt & vinegar crisps, 6x25g"),
        ("Tea&nbsp;bags\n\t100 ct", "Tea bags 100 ct"),
        ("Tea.  - Kettle", "Tea - Kettle"),
        ("A/B/ - - C", "A/B - C"),
        ("Tea - , Kettle", "Tea, Kettle"),
        (" / Tea | ", "Tea"),
        ("Tea : green", "Tea: green"),
        ("half .5 l, https://x.y/z, 1/2 lb, C++", "half .5 l, https://x.y/z, 1/2 lb, C++"),
        ("Tea... green", "Tea. green"),
        ("龙井茶叶。 ", "龙井茶叶。"),
        ("<p class='x'>Green <B>tea</B><br/>250 g</p>", "Green tea 250 g"),
        ("&lt;b&gt;Tea&lt;/b&gt;", "Tea"),
        ("Ring <Gold 585>, cable <USB>, size a<b and c>d", "Ring <Gold 585>, cable <USB>, size a<b and c>d"),
        ("tubes < 5 mm and > 2 mm, x<y, <3 tea, 5<6>4", "tubes < 5 mm and > 2 mm, x<y, <3 tea, 5<6>4"),
        (" . - ", ""),
    ],
)
def test_a_text_is_tidied(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text("ab \n.,;:|/-&\u3000", max_size=30))
def test_a_tidied_text_has_single_blanks_and_no_separators_around_it(text: str) -> None:
    cleaned = clean(text)
    assert cleaned == " ".join(cleaned.split())
    assert cleaned == cleaned.strip(SEPARATORS)
    assert not any(f" {mark} " in cleaned for mark in ".,;:")
    assert [letter for letter in cleaned if letter in "ab"] == [letter for letter in text if letter in "ab"]


def test_a_long_rule_of_dashes_is_tidied_at_once() -> None:
    """With a look-ahead it took time in the square of its length, which for this text is hours."""
    assert clean("-" * 500_000 + "x") == "x"
    assert clean("Tea " + "- " * 250_000 + "-x") == "Tea " + "- " * 250_000 + "-x"


def test_distinct_texts_come_in_the_order_seen_with_the_place_of_each_product() -> None:
    distinct, place = unique_texts([Product(str(number), text) for number, text in enumerate(["tea", "jam", "tea", "oil", "jam"])])
    assert distinct == ["tea", "jam", "oil"]
    assert place.tolist() == [0, 1, 0, 2, 1]
    assert place.dtype == np.int64


def test_no_products_have_no_texts() -> None:
    distinct, place = unique_texts([])
    assert distinct == []
    assert place.shape == (0,)
    assert place.dtype == np.int64
