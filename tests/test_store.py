"""The ledger: what it keeps, what it refuses to forget, how a killed run goes on, and what is said of a disk or file that fails."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, String, create_engine, inspect

from fewtag import __version__, migrations, store
from fewtag.core import Label, Tag
from fewtag.errors import WorkspaceError
from fewtag.migrations import metadata, newest
from fewtag.store import Ledger, ModelIdentity, Run, StoredLabel

MODEL = ModelIdentity("minilm", "53aa", "3c29")
OTHER = ModelIdentity("minilm", "53aa", "4316")


def tag(product_id: str, category: str | None = "tea", confidence: float = 0.5) -> Tag:
    return Tag(product_id, category, confidence, "zero-shot", (("tea", 0.5), ("coffee", 0.25)), 0.5)


def start(ledger: Ledger, fingerprint: str = "f", kind: str = "bootstrap") -> Run:
    return ledger.start_run(kind, fingerprint, "v1", 7, {"precision": 0.9, "k": 5})


def say(ledger: Ledger, *labels: Label) -> None:
    ledger.add_labels([(label, f"text of {label.product_id}") for label in labels])


def said(ledger: Ledger) -> list[Label]:
    return [row.label for row in ledger.label_rows()]


def raw(place: Path, *statements: str) -> list[tuple[object, ...]]:
    """Say something to the file behind the ledger's back; returns the rows of the last statement."""
    connection = sqlite3.connect(place)
    try:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
        return rows
    finally:
        connection.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "fewtag.db"


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    with Ledger.open(place) as opened:
        yield opened


def test_an_empty_database_gets_every_table_and_the_schemas_number(ledger: Ledger, place: Path) -> None:
    tables = {"schema", "runs", "finishes", "models", "tags", "labels"}
    assert {name for (name,) in raw(place, "SELECT name FROM sqlite_master WHERE type = 'table'")} == tables
    assert raw(place, "SELECT version FROM schema") == [(newest(),)]
    assert len(raw(place, "SELECT name FROM sqlite_master WHERE type = 'trigger'")) == 2 * len(tables - {"schema"})
    assert (said(ledger), list(ledger.latest()), ledger.history("1"), ledger.counts(), ledger.last_run()) == ([], [], [], {}, None)


def test_opening_it_again_keeps_what_is_there(place: Path) -> None:
    for number in range(3):
        with Ledger.open(place) as ledger:
            assert len(said(ledger)) == number
            say(ledger, Label(str(number), "tea"))
    assert raw(place, "SELECT version FROM schema") == [(newest(),)]


def test_sqlite_writes_ahead_holds_foreign_keys_and_waits_for_others(ledger: Ledger, place: Path) -> None:
    assert raw(place, "PRAGMA journal_mode") == [("wal",)]
    with ledger._reading() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("foreign_keys", "busy_timeout", "synchronous")}
    assert pragmas == {"foreign_keys": 1, "busy_timeout": 5000, "synchronous": 1}


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    place = tmp_path / "what? 100% #1 茶" / "fewtag.db"
    place.parent.mkdir()
    with Ledger.open(place) as ledger:
        say(ledger, Label("1", "tea"))
    assert place.exists()
    assert [child.name for child in tmp_path.iterdir()] == [place.parent.name]


def test_a_database_may_be_named_by_its_url(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'team.db'}") as ledger:
        say(ledger, Label("1", "tea"))
    with Ledger.open(tmp_path / "team.db") as ledger:
        assert said(ledger) == [Label("1", "tea")]


def test_a_tag_comes_back_with_its_provenance(ledger: Ledger) -> None:
    run = start(ledger)
    given = Tag("1", "tea", 0.96875, "zero-shot", (("tea", 0.87654), ("coffee", 0.12346)), 0.875)
    ledger.add_tags(run, MODEL, [given])
    (kept,) = ledger.history("1")
    assert kept.tag == Tag("1", "tea", 0.96875, "zero-shot", (("tea", 0.8765), ("coffee", 0.1235)), 0.875)
    assert (kept.seq, kept.run_id, kept.model, kept.taxonomy_version) == (1, run.id, MODEL, "v1")
    assert kept.at >= ledger.last_run().started  # type: ignore[union-attr]
    assert list(ledger.latest()) == [kept]


def test_a_run_says_what_it_was_started_with(ledger: Ledger) -> None:
    run = start(ledger)
    row = ledger.last_run()
    assert row is not None
    assert (row.id, row.kind, row.fingerprint, row.taxonomy_version, row.seed) == (run.id, "bootstrap", "f", "v1", 7)
    assert (json.loads(row.settings), row.fewtag_version) == ({"precision": 0.9, "k": 5}, __version__)
    assert row.finished is None
    ledger.finish_run(run)
    row = ledger.last_run()
    assert row is not None
    assert row.finished >= row.started


def test_a_later_tag_supersedes_and_the_earlier_one_stays_in_the_history(ledger: Ledger) -> None:
    first = start(ledger)
    ledger.add_tags(first, MODEL, [tag("1", "tea"), tag("2", "tea"), tag("3", "tea")])
    ledger.finish_run(first)
    second = start(ledger)
    ledger.add_tags(second, OTHER, [tag("2", "coffee"), tag("1", None)])
    assert [(each.tag.product_id, each.tag.category, each.seq) for each in ledger.latest()] == [
        ("3", "tea", 3),
        ("2", "coffee", 4),
        ("1", None, 5),
    ]
    assert [(each.tag.category, each.run_id, each.model) for each in ledger.history("1")] == [
        (None, second.id, OTHER),
        ("tea", first.id, MODEL),
    ]
    assert ledger.history("4") == []


def test_counts_are_of_the_latest_tags(ledger: Ledger) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, [tag("1", "tea", 0.5), tag("2", "tea", 1.0), tag("3", "coffee", 0.75), tag("4", None, 0.25)])
    assert ledger.counts() == {"tea": (2, 0, 0.75), "coffee": (1, 0, 0.75), None: (1, 0, 0.25)}
    ledger.add_tags(run, MODEL, [tag("1", "coffee", 0.25)])
    assert ledger.counts() == {"tea": (1, 0, 1.0), "coffee": (2, 0, 0.5), None: (1, 0, 0.25)}


def latest_of(ledger: Ledger) -> dict[str, str | None]:
    return {each.tag.product_id: each.tag.category for each in ledger.latest()}


def test_a_product_that_left_the_catalogue_keeps_its_history_and_is_counted_no_more(ledger: Ledger) -> None:
    first = start(ledger, "f")
    ledger.add_tags(first, MODEL, [tag("1"), tag("2")])
    ledger.finish_run(first)
    second = start(ledger, "g")
    ledger.add_tags(second, MODEL, [tag("2", "coffee")])
    assert latest_of(ledger) == {"1": "tea", "2": "coffee"}, "half of a bootstrap says nothing of the products that it has not reached"
    ledger.add_tags(second, MODEL, [tag("3", "coffee", 0.5)])
    ledger.finish_run(second)
    assert latest_of(ledger) == {"2": "coffee", "3": "coffee"}
    assert ledger.counts() == {"coffee": (2, 0, 0.5)}
    assert [each.tag.category for each in ledger.history("1")] == ["tea"]


def test_a_first_bootstrap_counts_before_it_has_finished(ledger: Ledger) -> None:
    ledger.add_tags(start(ledger), MODEL, [tag("1")])
    assert latest_of(ledger) == {"1": "tea"}


def test_another_runs_tags_hold_for_products_of_the_catalogue(ledger: Ledger) -> None:
    bootstrap, other = start(ledger), start(ledger, kind="tag")
    ledger.add_tags(bootstrap, MODEL, [tag("1"), tag("2")])
    ledger.finish_run(bootstrap)
    ledger.add_tags(other, OTHER, [tag("1", "coffee"), tag("elsewhere", "coffee")])
    assert latest_of(ledger) == {"1": "coffee", "2": "tea"}


def test_voices_are_those_of_the_tags_that_hold_the_loudest_first(ledger: Ledger) -> None:
    run = start(ledger)
    few_shot = Tag("3", "tea", 0.5, "few-shot")
    ledger.add_tags(run, ModelIdentity("bge"), [tag("1"), tag("2"), tag("3"), tag("4")])
    ledger.add_tags(run, MODEL, [tag("1"), tag("2"), few_shot])
    ledger.add_tags(run, OTHER, [tag("5"), tag("6")])
    # Minilm has said 1, 2, 5 and 6 with two prompts, and 3 by another rung; bge is left with 4.
    found = ledger.voices()
    assert found[0] == ("zero-shot", "minilm", 4)
    assert sorted(found[1:]) == [("few-shot", "minilm", 1), ("zero-shot", "bge", 1)]


def test_labels_come_back_the_oldest_first_with_all_that_is_known_of_them(ledger: Ledger) -> None:
    run = start(ledger, kind="label")
    ledger.add_labels([(Label("2", "tea", "ann"), "Assam"), (Label("1", "coffee", negative=True), "豆")])
    ledger.add_labels([], run)
    ledger.add_labels([(Label("2", "coffee", "bob"), "Assam, new")], run)
    ledger.withdraw_labels([Label("2", "", "ann")])
    ledger.withdraw_labels([Label("2", "", "bob")], run)
    rows = ledger.label_rows()
    assert [row.at >= ledger.last_run().started for row in rows] == [True] * 5  # type: ignore[union-attr]
    at = rows[0].at
    assert [replace(row, at=at) for row in rows] == [
        StoredLabel(Label("2", "tea", "ann"), "Assam", False, 1, None, at),
        StoredLabel(Label("1", "coffee", negative=True), "豆", False, 2, None, at),
        StoredLabel(Label("2", "coffee", "bob"), "Assam, new", False, 3, run.id, at),
        StoredLabel(Label("2", "", "ann"), "", True, 4, None, at),
        StoredLabel(Label("2", "", "bob"), "", True, 5, run.id, at),
    ]


def test_a_label_of_a_run_that_there_is_not_is_refused_and_so_are_those_beside_it(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="FOREIGN KEY constraint failed"):
        ledger.add_labels([(Label("1", "tea"), "Assam"), (Label("2", "tea"), "Ceylon")], Run(7))
    assert ledger.label_rows() == []


def test_how_much_a_label_counts_in_training_is_not_what_a_person_says(ledger: Ledger) -> None:
    say(ledger, Label("1", "tea", weight=0.5))
    assert said(ledger) == [Label("1", "tea")]


def test_a_model_is_written_down_once(ledger: Ledger, place: Path) -> None:
    run = start(ledger)
    for model in (MODEL, OTHER, MODEL, ModelIdentity("minilm"), MODEL):
        ledger.add_tags(run, model, [tag("1")])
    named = raw(place, "SELECT name, revision, prompt_hash FROM models ORDER BY id")
    assert named == [("minilm", "53aa", "3c29"), ("minilm", "53aa", "4316"), ("minilm", "", "")]
    assert [each.model for each in ledger.history("1")] == [MODEL, ModelIdentity("minilm"), MODEL, OTHER, MODEL]


def test_a_killed_run_goes_on_behind_the_tags_it_has_written(place: Path) -> None:
    with Ledger.open(place) as ledger:
        run = start(ledger)
        ledger.add_tags(run, MODEL, [tag("1"), tag("2")])
        ledger.add_tags(run, MODEL, [])
    with Ledger.open(place) as ledger:
        again = start(ledger)
        assert again == Run(run.id, resumed=True)
        assert (run.resumed, ledger.tagged_count(again)) == (False, 2)
        ledger.add_tags(again, MODEL, [tag("3")])
        assert ledger.tagged_count(run) == 3
        assert not ledger.has_swept("f")
        ledger.finish_run(again)
        assert ledger.has_swept("f")


def test_a_run_with_another_fingerprint_starts_anew_and_so_does_one_behind_it(ledger: Ledger) -> None:
    first = start(ledger, "f")
    second = start(ledger, "g")
    third = start(ledger, "f")
    assert [each.resumed for each in (first, second, third)] == [False, False, False]
    assert first.id < second.id < third.id


def test_a_finished_run_is_not_gone_on_with(ledger: Ledger) -> None:
    first = start(ledger)
    ledger.finish_run(first)
    second = start(ledger)
    assert (second.id, second.resumed, ledger.tagged_count(second)) == (first.id + 1, False, 0)
    assert not ledger.has_swept("f"), "the latest run of this kind is under way"


def test_runs_of_another_kind_are_no_matter(ledger: Ledger) -> None:
    first = start(ledger)
    other = start(ledger, kind="tag")
    assert other.id != first.id
    assert start(ledger).id == first.id
    ledger.finish_run(first)
    assert ledger.has_swept("f")
    assert not ledger.has_swept("g")


@pytest.mark.parametrize("table", ["tags", "labels", "runs", "finishes", "models"])
def test_nothing_is_changed_or_deleted(ledger: Ledger, place: Path, table: str) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, [tag("1")])
    say(ledger, Label("1", "tea"))
    ledger.finish_run(run)
    before = raw(place, f"SELECT * FROM {table}")
    column = {"tags": "category", "labels": "category", "runs": "seed", "finishes": "at", "models": "name"}[table]
    for statement in (f"UPDATE {table} SET {column} = 'coffee'", f"DELETE FROM {table}"):
        with pytest.raises(sqlite3.IntegrityError, match="the ledger is append-only"):
            raw(place, statement)
    assert raw(place, f"SELECT * FROM {table}") == before
    assert len(before) == 1


def test_a_batch_is_written_whole_or_not_at_all(ledger: Ledger) -> None:
    run = start(ledger)
    broken = Tag("2", "tea", None, "zero-shot")  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"NOT NULL constraint failed: tags\.confidence"):
        ledger.add_tags(run, MODEL, [tag("1"), broken])
    assert (ledger.tagged_count(run), ledger.history("1")) == (0, [])


def test_a_full_disk_is_told_and_costs_one_batch(ledger: Ledger, place: Path) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, [tag("1")])
    with ledger._reading() as connection:  # the pool has one connection, and hands it out again
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    many = [tag(f"p{number}") for number in range(1000)]
    with pytest.raises(WorkspaceError) as caught:
        ledger.add_tags(run, MODEL, many)
    again = "free some space and run the same command again: it goes on where it stopped"
    assert str(caught.value) == f"{place}: the disk is full -> {again}"
    assert ledger.tagged_count(run) == 1
    with ledger._reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    ledger.add_tags(run, MODEL, many)
    assert ledger.tagged_count(run) == 1001


def test_a_ledger_that_cannot_be_written_is_told_and_can_be_read(place: Path) -> None:
    with Ledger.open(place) as ledger:
        say(ledger, Label("1", "tea"))
    with Ledger.open(f"sqlite:///file:{place}?mode=ro&uri=true") as ledger:
        assert said(ledger) == [Label("1", "tea")]
        with pytest.raises(WorkspaceError, match="the ledger is read-only -> name a workspace that can be written with --workspace"):
            say(ledger, Label("2", "tea"))


def test_what_is_no_file_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "fewtag.db", tmp_path / "absent" / "fewtag.db"):
        with pytest.raises(WorkspaceError) as caught:
            Ledger.open(place)
        assert str(caught.value) == f"{place}: the ledger cannot be opened -> name a workspace that can be written with --workspace"


def test_a_file_that_is_no_ledger_is_told_and_left_alone(place: Path) -> None:
    place.write_text("sku,title\n" * 1000)
    with pytest.raises(WorkspaceError) as caught:
        Ledger.open(place)
    assert str(caught.value) == f"{place}: this file is no ledger -> move it away and bootstrap again"
    assert place.read_text() == "sku,title\n" * 1000


def test_a_damaged_ledger_is_told(place: Path) -> None:
    with Ledger.open(place) as ledger:
        say(ledger, *(Label(str(number), "tea") for number in range(1000)))
    content = bytearray(place.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    place.write_bytes(content)
    with pytest.raises(WorkspaceError) as caught, Ledger.open(place) as ledger:
        said(ledger)
    assert str(caught.value) == f"{place}: the ledger is damaged -> restore it from a backup, or move it away and bootstrap again"


def test_a_ledger_that_another_program_holds_is_told(ledger: Ledger, place: Path) -> None:
    with ledger._reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(WorkspaceError) as caught:
            say(ledger, Label("1", "tea"))
        assert str(caught.value) == f"{place}: another program holds the ledger -> wait for it to end"
        assert said(ledger) == []
        with Ledger.open(place) as second:
            assert said(second) == [], "a ledger can be read while another program writes"
    finally:
        other.close()
    say(ledger, Label("1", "tea"))
    assert said(ledger) == [Label("1", "tea")]


def test_a_newer_ledger_is_refused(ledger: Ledger, place: Path) -> None:
    newer = newest() + 1
    raw(place, f"UPDATE schema SET version = {newer}")
    with pytest.raises(WorkspaceError) as caught:
        Ledger.open(place)
    problem = f"the ledger was made by a newer fewtag (its schema is {newer}, this one knows {newest()})"
    assert str(caught.value) == f"{place}: {problem} -> upgrade fewtag"


def noted(table: str = "labels") -> MetaData:
    """Today's tables, of which one has a further column."""
    grown = MetaData()
    for each in metadata.sorted_tables:
        each.to_metadata(grown)
    grown.tables[table].append_column(Column("note", String, nullable=False, server_default=""))
    return grown


def add_note(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE labels ADD COLUMN note VARCHAR NOT NULL DEFAULT ''")


def add_nullable_note(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE labels ADD COLUMN note VARCHAR DEFAULT ''")


def shape(place: Path) -> dict[str, object]:
    """All that a database is but for its rows: the tables' columns, keys and indexes, whatever their order, and the triggers."""
    found = inspect(create_engine(f"sqlite:///{place}"))
    tables = {
        name: (
            {column["name"]: str(column) for column in found.get_columns(name)},
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(str(key) for key in found.get_foreign_keys(name)),
            sorted(str(key) for key in (*found.get_unique_constraints(name), *found.get_indexes(name))),
        )
        for name in found.get_table_names()
    }
    return tables | {"triggers": sorted(raw(place, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))}


def test_an_older_ledger_takes_only_the_steps_it_lacks(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(place) as ledger:
        say(ledger, Label("1", "tea"))

    def third(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE added (id INTEGER)")

    before = newest()
    for steps in ((add_note,), (add_note, third)):  # a step taken twice would fail: the column, the table is there
        monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS[: before - 1], *steps))
        for _ in range(2):
            with Ledger.open(place) as ledger:
                assert said(ledger) == [Label("1", "tea")]
        assert raw(place, "SELECT version FROM schema") == [(before + len(steps),)]
    assert raw(place, "SELECT note FROM labels") == [("",)]
    assert raw(place, "SELECT * FROM added") == []


def test_a_fresh_ledger_takes_no_step(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, add_note))
    monkeypatch.setattr(migrations, "metadata", noted())
    with Ledger.open(place):
        pass  # with the step, the column would be there twice
    assert raw(place, "SELECT version FROM schema") == [(newest(),)]
    assert raw(place, "SELECT note FROM labels") == []


@pytest.mark.parametrize(
    ("step", "table", "same"), [(add_note, "labels", True), (add_nullable_note, "labels", False), (add_note, "tags", False)]
)
def test_steps_lead_to_the_schema_that_a_fresh_ledger_has(
    place: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[[Connection], None], table: str, same: bool
) -> None:
    Ledger.open(place).close()
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
    monkeypatch.setattr(migrations, "metadata", noted(table))
    Ledger.open(place).close()
    fresh = place.with_name("fresh.db")
    Ledger.open(fresh).close()
    assert (shape(place) == shape(fresh)) is same


def test_a_kill_amid_the_making_of_the_tables_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(connection: Connection, table: str) -> None:
        if table == "tags":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "make_append_only", killed)
        with pytest.raises(KeyboardInterrupt):
            Ledger.open(place)
    assert raw(place, "SELECT name FROM sqlite_master") == []
    with Ledger.open(place) as ledger:
        assert said(ledger) == []


def test_a_kill_amid_a_step_leaves_the_ledger_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(place) as ledger:
        say(ledger, Label("1", "tea"))
    before = shape(place)

    def killed(connection: Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", (*migrations.STEPS, add_note, killed))
        with pytest.raises(KeyboardInterrupt):
            Ledger.open(place)
    assert shape(place) == before
    with Ledger.open(place) as ledger:
        assert said(ledger) == [Label("1", "tea")]


def test_processes_that_open_an_empty_database_at_once_make_one_schema(place: Path) -> None:
    script = f"""
from pathlib import Path
from fewtag.core import Label
from fewtag.store import Ledger
input()
with Ledger.open(Path({str(place)!r})) as ledger:
    ledger.add_labels([(Label("1", "tea"), "text")])
"""
    others = [subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True) for _ in range(3)]
    for other in others:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
    for other in others:
        other.communicate()
    assert [other.returncode for other in others] == [0, 0, 0]
    assert raw(place, "SELECT version FROM schema") == [(newest(),)]
    assert raw(place, "SELECT count(*) FROM labels") == [(3,)]


def test_an_address_that_is_none_is_told_without_repeating_it() -> None:
    with pytest.raises(WorkspaceError) as caught:
        Ledger.open("me:secret@host")
    problem = "the address of the ledger is no database URL"
    assert str(caught.value) == f"{problem} -> write it as postgresql://user@host/database"


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(WorkspaceError) as caught:
        Ledger.open("postgresql+psycopg2://me:secret@host/shop")
    assert str(caught.value) == "the ledger's database driver 'psycopg2' is not installed -> pip install psycopg2"


@pytest.mark.parametrize("address", ["postgresql://me:secret@host/shop", "postgresql://me@host/shop?password=secret"])
def test_errors_do_not_show_a_password(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "create_engine", lambda _: create_engine(f"sqlite:///{tmp_path}"))  # a folder is no database
    with pytest.raises(WorkspaceError) as caught:
        Ledger.open(address)
    assert str(caught.value).startswith("postgresql://me")
    assert str(caught.value).partition("@")[2].startswith("host/shop: the ledger cannot be opened -> ")
    assert "secret" not in str(caught.value)


def test_the_tables_are_those_that_the_code_knows(ledger: Ledger, place: Path) -> None:
    found = inspect(create_engine(f"sqlite:///{place}"))
    for name, table in metadata.tables.items():
        assert {column["name"] for column in found.get_columns(name)} == set(table.columns.keys())
        assert {index["name"] for index in found.get_indexes(name)} >= {index.name for index in table.indexes}
