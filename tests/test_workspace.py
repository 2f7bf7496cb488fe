"""The workspace: where it is found, who holds it, and what is said where it cannot be written.

The trap: root may write anywhere, so a refusal is either a file that stands in the way or an OSError put in the system's mouth.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fewtag import workspace
from fewtag.errors import WorkspaceError
from fewtag.workspace import FOLDER, VARIABLE, Workspace, now, write_atomically, writing

HOLDS = """
import sys
from pathlib import Path
from fewtag.workspace import Workspace
sys.argv = ["fewtag", "bootstrap", "taxonomy.yaml", "--precision", "0.9"]
with Workspace(Path(%r)).lock():
    print("held", flush=True)
    sys.stdin.read()
"""
TRIES = """
from pathlib import Path
from fewtag.errors import WorkspaceError
from fewtag.workspace import Workspace
try:
    with Workspace(Path(%r)).lock():
        print("free")
except WorkspaceError as error:
    print(error)
"""


@contextmanager
def held_by_another(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that holds the lock until its stdin is closed or it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLDS % str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.kill()


@pytest.fixture(autouse=True)
def no_workspace_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / FOLDER)


def test_a_workspace_is_a_folder_that_git_ignores_and_that_says_its_format(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "deep" / FOLDER)
    assert sorted(file.name for file in made.root.iterdir()) == [".gitignore", "workspace.json"]
    assert (made.root / ".gitignore").read_text() == "*\n"
    assert json.loads((made.root / "workspace.json").read_text()) == {"format": 1}
    assert [made.ledger.name, made.vectors.name, made.tagger.name] == ["fewtag.db", "vectors", "tagger"]
    assert {made.ledger.parent, made.vectors.parent, made.tagger.parent} == {made.root}


def test_creating_it_again_changes_nothing(made: Workspace) -> None:
    (made.root / ".gitignore").write_text("mine\n")
    before = (made.root / "workspace.json").stat().st_mtime_ns
    assert Workspace.create(made.root) == made
    assert (made.root / ".gitignore").read_text() == "mine\n"
    assert (made.root / "workspace.json").stat().st_mtime_ns == before


def test_a_folder_left_half_made_by_a_kill_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / ".gitignore").write_text("*\n")
    Workspace.create(tmp_path / FOLDER)
    assert Workspace.find(tmp_path).root == tmp_path / FOLDER


def test_it_is_found_upwards_and_the_nearest_one_counts(made: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert Workspace.find(tmp_path / "a" / "b") == made
    nearer = Workspace.create(tmp_path / "a" / FOLDER)
    assert Workspace.find(tmp_path / "a" / "b") == nearer
    assert Workspace.find(tmp_path) == made


def test_a_folder_without_workspace_json_is_passed_by(made: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a" / FOLDER).mkdir(parents=True)
    assert Workspace.find(tmp_path / "a") == made


def test_the_option_goes_before_the_variable_and_the_variable_before_the_search(
    made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, third = Workspace.create(tmp_path / "second"), Workspace.create(tmp_path / "third")
    monkeypatch.setenv(VARIABLE, str(second.root))
    assert Workspace.find(tmp_path, third.root) == third
    assert Workspace.find(tmp_path, str(third.root)) == third
    assert Workspace.find(tmp_path) == second
    monkeypatch.setenv(VARIABLE, "")
    assert Workspace.find(tmp_path) == made


def test_where_there_is_none_the_error_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = "there is no workspace here -> run `fewtag bootstrap taxonomy.yaml` first"
    monkeypatch.setattr(workspace, "FOLDER", ".absent")
    with pytest.raises(WorkspaceError) as caught:
        Workspace.find(tmp_path)
    assert str(caught.value) == f"{tmp_path}: {end}"
    with pytest.raises(WorkspaceError) as caught:
        Workspace.find(tmp_path, tmp_path / "named")
    assert str(caught.value) == f"{tmp_path / 'named'}: {end}"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "variable"))
    with pytest.raises(WorkspaceError) as caught:
        Workspace.find(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'variable'}: {end}"


def test_a_newer_workspace_is_refused(made: Workspace, tmp_path: Path) -> None:
    (made.root / "workspace.json").write_text('{"format": 2}')
    told = f"{made.root}: this workspace was made by a newer fewtag (its format is 2, this one knows 1) -> upgrade fewtag"
    for attempt in (lambda: Workspace.create(made.root), lambda: Workspace.find(tmp_path)):
        with pytest.raises(WorkspaceError) as caught:
            attempt()
        assert str(caught.value) == told


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": null}', '{"format": "x"}', "7", "\udcff"])
def test_a_damaged_workspace_json_is_told_and_nothing_else_need_be_deleted(made: Workspace, content: str) -> None:
    about = made.root / "workspace.json"
    about.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(WorkspaceError) as caught:
        Workspace.create(made.root)
    assert str(caught.value) == f"{about}: this file is no workspace's -> delete it and bootstrap again"
    made.ledger.write_text("what people said")
    about.unlink()
    assert Workspace.create(made.root).ledger.read_text() == "what people said"


def test_an_unreadable_workspace_is_not_taken_for_a_damaged_one(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    for method in ("read_text", "exists"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, refuse)
            with pytest.raises(WorkspaceError) as caught:
                Workspace.create(made.root)
        assert str(caught.value) == f"{made.root / 'workspace.json'}: this cannot be read: Permission denied -> check its permissions"


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    told = "a file stands where a folder is needed -> move that file away"
    for root in (file, file / FOLDER):
        with pytest.raises(WorkspaceError) as caught:
            Workspace.create(root)
        assert str(caught.value) == f"{root}: {told}"


WRITABLE = "name a folder that can be written with --workspace"
AGAIN = "free some space and run the same command again: it goes on where it stopped"


@pytest.mark.parametrize(
    ("number", "problem", "mend"),
    [
        (errno.ENOSPC, "the disk is full", AGAIN),
        (errno.EDQUOT, "your disk quota is used up", AGAIN),
        (errno.EROFS, "the file system is read-only", WRITABLE),
        (errno.EACCES, "you may not write here", WRITABLE),
        (errno.EPERM, "you may not write here", WRITABLE),
        (errno.ENOTDIR, "a file stands where a folder is needed", "move that file away"),
        (errno.EIO, "this cannot be written: Input/output error", "check the folder"),
    ],
)
def test_a_refusal_of_the_system_is_told_with_its_mend(
    number: int, problem: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WorkspaceError) as caught:
        Workspace.create(tmp_path / FOLDER)
    assert str(caught.value) == f"{tmp_path / FOLDER}: {problem} -> {mend}"
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_that_has_no_number_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught, writing(tmp_path):
        raise OSError("odd")
    assert str(caught.value) == f"{tmp_path}: this cannot be written: odd -> check the folder"


def test_a_bug_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        _ = 1 / 0


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, b"first, and longer")
    write_atomically(file, b"second")
    assert file.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError) as caught:
        write_atomically(file, b"new")
    assert str(caught.value) == f"{file}: the disk is full -> {AGAIN}"
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="a file stands where a folder is needed -> move that file away"):
        write_atomically(tmp_path / "file" / "below", b"new")


def test_the_lock_is_refused_with_the_name_of_who_holds_it(made: Workspace) -> None:
    with held_by_another(made.root) as other:
        with pytest.raises(WorkspaceError) as caught, made.lock():
            pytest.fail("two runs hold one workspace")
        since = json.loads((made.root / "lock.json").read_text())["since"]
        assert str(caught.value) == (
            f"{made.root}: another run holds this workspace: process {other.pid} on {socket.gethostname()}, "
            f"`fewtag bootstrap taxonomy.yaml`, since {since} -> wait for it to end, or stop it"
        )


def test_this_process_is_named_to_another(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fewtag", "tag"])
    with made.lock():
        said = subprocess.run([sys.executable, "-c", TRIES % str(made.root)], capture_output=True, text=True, check=True).stdout
    assert f"another run holds this workspace: process {os.getpid()} on {socket.gethostname()}, `fewtag tag`, since " in said
    freed = subprocess.run([sys.executable, "-c", TRIES % str(made.root)], capture_output=True, text=True, check=True).stdout
    assert freed == "free\n"


def test_a_killed_holder_holds_it_no_more(made: Workspace) -> None:
    with held_by_another(made.root) as other:
        other.kill()
        other.wait()
        assert json.loads((made.root / "lock.json").read_text())["pid"] == other.pid
        with made.lock():
            assert json.loads((made.root / "lock.json").read_text())["pid"] == os.getpid()


def test_the_lock_is_given_back_at_the_end_and_after_an_error(made: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), made.lock():
        _ = 1 / 0
    assert not (made.root / "lock.json").exists()
    with made.lock():
        assert (made.root / "lock.json").exists()
    assert not (made.root / "lock.json").exists()


@pytest.mark.parametrize("content", ["", '{"pid": 1', "{}", "[]", '{"pid": 1, "host": "h"}'])
def test_a_holder_that_has_not_said_who_it_is_yet_is_told_without_a_name(made: Workspace, content: str) -> None:
    with held_by_another(made.root):
        (made.root / "lock.json").write_text(content)
        with pytest.raises(WorkspaceError) as caught, made.lock():
            pytest.fail("two runs hold one workspace")
    assert str(caught.value) == f"{made.root}: another run holds this workspace -> wait for it to end, or stop it"


def test_a_lock_that_cannot_be_signed_is_given_back(made: Workspace) -> None:
    (made.root / "lock.json").mkdir()
    with pytest.raises(WorkspaceError, match=r"lock\.json: this cannot be written: Is a directory -> check the folder"), made.lock():
        pytest.fail("it is held")
    (made.root / "lock.json").rmdir()
    with made.lock():
        assert (made.root / "lock.json").is_file()


def test_a_lock_in_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WorkspaceError, match="a file stands where a folder is needed -> move that file away"),
        Workspace(tmp_path / "file" / FOLDER).lock(),
    ):
        pytest.fail("it is held")


def test_the_time_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())
