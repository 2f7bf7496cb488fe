"""Answers of an audit: what a person wrote becomes a count and labels, and whatever cannot be understood refuses the file whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewtag.audit import Audit, read_answers
from fewtag.core import Label, Product
from fewtag.errors import FewtagError
from fewtag.taxonomy import Taxonomy

TAXONOMY = Taxonomy.from_paths(["Food > Tea", "Food > Jam", "Home > Soap"])
TEA, JAM, SOAP = TAXONOMY.classes
CATALOGUE = [Product(f"P{number}", f"product {number}") for number in range(1, 8)]
HEAD = "product_id,text,category,path,confidence,sources,right\n"


def answers(folder: Path, *rows: tuple[str, str, str]) -> Path:
    """Write an audit's file with a product, the category that was spread to it and the answer in each row."""
    path = folder / "audit.csv"
    path.write_text(
        HEAD + "".join(f"{product},as shown,{spread},Food,0.97,[],{said}\n" for product, spread, said in rows), encoding="utf-8"
    )
    return path


def test_answers_are_counted_and_become_labels_of_who_gave_them(tmp_path: Path) -> None:
    path = answers(
        tmp_path,
        ("P1", TEA, "y"),
        ("P2", TEA, " YES "),
        ("P3", TEA, "n"),
        ("P4", TEA, "Jam"),
        ("P5", TEA, "Food > Tea"),
        ("P6", JAM, ""),
        ("P7", SOAP, "不"),
    )
    said = [(1, TEA, False), (2, TEA, False), (3, TEA, True), (4, JAM, False), (5, TEA, False), (7, SOAP, True)]
    labels = tuple((Label(f"P{number}", category, "ann", negative), f"product {number}") for number, category, negative in said)
    assert read_answers(path, TAXONOMY, iter(CATALOGUE), "ann") == Audit(right=3, answered=6, unanswered=1, labels=labels)


def test_without_a_catalogue_the_texts_of_the_file_count(tmp_path: Path) -> None:
    found = read_answers(answers(tmp_path, ("P1", TEA, "y")), TAXONOMY, None, "ann")
    assert found.labels == ((Label("P1", TEA, "ann"), "as shown"),)


def test_a_spreadsheets_delimiter_and_encoding_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_bytes(HEAD.replace(",", ";").encode("utf-8-sig") + f"P1;thé vert;{TEA};Food;0,97;[];n\n".encode())
    assert read_answers(path, TAXONOMY, None, "ann").labels == ((Label("P1", TEA, "ann", negative=True), "thé vert"),)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("P1", TEA, "")], "audit.csv: no row has an answer -> write y, n or the right category into its column 'right'"),
        (
            [("P1", TEA, "y"), ("P2", TEA, "mayby")],
            "audit.csv:3: 'right' holds 'mayby': there is no category 'mayby' -> write y, n or a category: ",
        ),
        ([("P1", TEA, "x")], "audit.csv:2: 'right' holds 'x': there is no category 'x' -> write y, n or a category: "),
        ([("P1", TEA, "Food")], "audit.csv:2: 'right' holds 'Food': no product belongs to 'food' itself -> write y, n or a category: "),
        ([("P1", TEA, "y"), ("P1", TEA, "n")], "audit.csv:3: product 'P1' is there twice (first at line 2) -> delete one of the two rows"),
        ([("P9", TEA, "y")], "audit.csv:2: there is no product 'P9' in the catalogue -> leave the ids as the audit wrote them"),
        ([("", TEA, "y")], "audit.csv:2: the row names no product -> give its id back, or delete the row"),
        ([("P1", "gone", "y")], "audit.csv:2: there is no category 'gone' -> leave the categories as the audit wrote them"),
    ],
)
def test_what_cannot_be_understood_is_told_with_file_line_and_value(tmp_path: Path, rows: list[tuple[str, str, str]], told: str) -> None:
    with pytest.raises(FewtagError) as error:
        read_answers(answers(tmp_path, *rows), TAXONOMY, CATALOGUE, "ann")
    assert str(error.value).removeprefix(f"{tmp_path}/").startswith(told)


def test_a_file_that_is_no_audit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_text("product_id,category\nP1,tea\n", encoding="utf-8")
    with pytest.raises(FewtagError, match=r"audit\.csv:1: there is no column 'right' -> fill in a file that `fewtag propagate --audit N`"):
        read_answers(path, TAXONOMY, CATALOGUE, "ann")
    path.write_text("", encoding="utf-8")
    with pytest.raises(FewtagError, match=r"audit\.csv: the file is empty -> fill in a file that `fewtag propagate --audit N` wrote$"):
        read_answers(path, TAXONOMY, CATALOGUE, "ann")
