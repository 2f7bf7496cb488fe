"""Files of tags: the same rows back from every kind of file, and the old file whole whatever interrupts the new one.

The trap: an id, a name or a path may hold whatever breaks a CSV file: commas, quotes, line breaks, another alphabet.
"""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fewtag import tag_file
from fewtag.core import Tag
from fewtag.errors import CatalogueError, WorkspaceError
from fewtag.store import Ledger, ModelIdentity
from fewtag.tag_file import COLUMNS, check_target, rows_of, stored_rows, stream_csv, write_tags
from fewtag.taxonomy import Category, Taxonomy
from fewtag.workspace import Workspace

SHOP = Taxonomy(
    [
        Category("food", 'Food, "fresh"\nand not'),
        Category("tea", "茶叶", parents=("food",)),
        Category("jam", "Jam; =1+1", parents=("food",)),
    ]
)
TAGS = [
    Tag("1", "tea", 0.98765432, "zero-shot", (("tea", 0.98765432), ("jam", 0.01234568)), 0.98765432),
    Tag('2, "two"\n', "food", 0.9, "zero-shot", (), 0.5),
    Tag("三", None, 1 / 3, "few-shot", (("jam", 1 / 3),), 1 / 3),
]
BY_HAND: list[dict[str, Any]] = [
    {
        "product_id": "1",
        "category": "tea",
        "path": 'Food, "fresh"\nand not > 茶叶',
        "confidence": 0.9877,
        "stage": "zero-shot",
        "alternatives": [["tea", 0.9877], ["jam", 0.0123]],
    },
    {
        "product_id": '2, "two"\n',
        "category": "food",
        "path": 'Food, "fresh"\nand not',
        "confidence": 0.9,
        "stage": "zero-shot",
        "alternatives": [],
    },
    {"product_id": "三", "category": None, "path": None, "confidence": 0.3333, "stage": "few-shot", "alternatives": [["jam", 0.3333]]},
]
Row = dict[str, Any]


def read_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    empty = {"category": None, "path": None}
    return [
        row | {"confidence": float(row["confidence"]), "alternatives": json.loads(row["alternatives"])} | (empty if not row["path"] else {})
        for row in rows
    ]


def read_parquet(path: Path) -> list[Row]:
    return [row | {"alternatives": json.loads(row["alternatives"])} for row in parquet.read_table(path).to_pylist()]


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "tags.csv": read_csv,
    "tags.jsonl": lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]],
    "tags.parquet": read_parquet,
    "TAGS.CSV": read_csv,
    "tags.v2.jsonl": lambda path: [json.loads(line) for line in path.open(encoding="utf-8")],
}


def test_rows_say_what_tags_say_in_columns() -> None:
    assert list(rows_of(TAGS, SHOP)) == BY_HAND
    assert tuple(BY_HAND[0]) == COLUMNS


@pytest.mark.parametrize("name", READERS)
def test_rows_come_back_from_the_file_as_they_were(name: str, tmp_path: Path) -> None:
    assert write_tags(rows_of(TAGS, SHOP), tmp_path / name) == 3
    assert READERS[name](tmp_path / name) == BY_HAND
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", READERS)
def test_no_tags_make_a_file_without_rows(name: str, tmp_path: Path) -> None:
    assert write_tags([], tmp_path / name) == 0
    assert READERS[name](tmp_path / name) == []


def test_files_without_rows_name_their_columns(tmp_path: Path) -> None:
    write_tags([], tmp_path / "tags.csv")
    write_tags([], tmp_path / "tags.parquet")
    assert (tmp_path / "tags.csv").read_text() == "product_id,category,path,confidence,stage,alternatives\n"
    assert tuple(parquet.read_table(tmp_path / "tags.parquet").column_names) == COLUMNS


def test_parquet_keeps_confidence_a_number_and_is_written_group_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_file, "ROWS_PER_GROUP", 2)
    write_tags(rows_of(TAGS, SHOP), tmp_path / "tags.parquet")
    file = parquet.ParquetFile(tmp_path / "tags.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [2, 1]
    assert {field.name: str(field.type) for field in file.schema_arrow} == dict.fromkeys(COLUMNS, "string") | {"confidence": "double"}
    assert read_parquet(tmp_path / "tags.parquet") == BY_HAND


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    write_tags(rows_of(TAGS, SHOP), tmp_path / "tags.csv")
    assert write_tags(rows_of(TAGS[:1], SHOP), tmp_path / "tags.csv") == 1
    assert read_csv(tmp_path / "tags.csv") == BY_HAND[:1]


def stopping(error: BaseException) -> Iterator[Row]:
    yield BY_HAND[0]
    raise error


@pytest.mark.parametrize("name", ["tags.csv", "tags.jsonl", "tags.parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), CatalogueError("the 2nd row has no id")], ids=["Ctrl-C", "bad row"])
def test_an_interrupted_write_leaves_the_old_file_whole_and_nothing_beside_it(name: str, error: BaseException, tmp_path: Path) -> None:
    write_tags(rows_of(TAGS, SHOP), tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(type(error)):
        write_tags(stopping(error), tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["tags.csv", "tags.jsonl", "tags.parquet"])
def test_a_full_disk_is_told_and_leaves_no_file_where_there_was_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as told:
        write_tags(stopping(OSError(errno.ENOSPC, "No space left on device")), tmp_path / name)
    assert str(told.value).startswith(f"{tmp_path / name}: the disk is full -> free some space")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tags.xlsx", "'tags.xlsx' is of no known kind -> name a file that ends in .csv, .jsonl, .parquet"),
        ("tags", "'tags' is of no known kind -> name a file that ends in .csv, .jsonl, .parquet"),
        ("no/tags.csv", "its folder does not exist -> make the folder first"),
        ("folder.csv", "this is a folder -> name a file within it"),
    ],
)
def test_a_target_that_cannot_be_is_told_before_the_first_row_is_asked_for(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for refuse in (check_target, lambda path: write_tags(stopping(AssertionError("a row was asked for")), path)):
        with pytest.raises(CatalogueError) as refused:
            refuse(tmp_path / name)
        assert str(refused.value) == f"{tmp_path / name}: {told}"
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_stream_whose_first_row_cannot_be_had_stays_empty() -> None:
    stream = io.StringIO()
    with pytest.raises(CatalogueError):
        stream_csv((row for row in rows_of(failing(), SHOP)), stream)
    assert stream.getvalue() == ""


def failing() -> Iterator[Tag]:
    raise CatalogueError("there is no such catalogue")
    yield


def test_the_rows_of_a_workspace_are_the_tags_that_hold_in_the_order_of_its_catalogue(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / ".fewtag")
    with pytest.raises(WorkspaceError) as told:
        list(stored_rows(workspace))
    assert str(told.value) == f"{workspace.root}: nothing has been tagged yet -> run `fewtag bootstrap taxonomy.yaml` first"
    workspace.tagger.mkdir()
    (workspace.tagger / "taxonomy.json").write_text(SHOP.to_json(), encoding="utf-8")
    with Ledger.open(workspace.ledger) as ledger:
        for fingerprint, tags in (("first", TAGS[:2]), ("second", TAGS[::-1])):
            run = ledger.start_run("bootstrap", fingerprint, SHOP.version, 0, {})
            ledger.add_tags(run, ModelIdentity("minilm"), tags)
            ledger.finish_run(run)
    assert list(stored_rows(workspace)) == list(rows_of(TAGS[::-1], SHOP))
    assert [row["product_id"] for row in stored_rows(workspace)] == ["三", '2, "two"\n', "1"]


@settings(deadline=None)
@example([("\r", 0.0), ("0\r1", 0.5), ("\u2028", 1.0)])
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.floats(0, 1)), max_size=5))
def test_any_id_comes_back_from_every_kind_of_file(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, float]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    tags = [Tag(product_id, "tea", confidence, "zero-shot") for product_id, confidence in pairs]
    for name in ("tags.csv", "tags.jsonl", "tags.parquet"):
        assert write_tags(rows_of(tags, SHOP), folder / name) == len(pairs)
        assert [(row["product_id"], row["confidence"]) for row in READERS[name](folder / name)] == [
            (product_id, round(confidence, 4)) for product_id, confidence in pairs
        ]
