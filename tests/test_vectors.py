"""The vector cache: what comes back is what went in, rounded to float16, whatever a kill or a full disk left of the two files."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtag.errors import WorkspaceError
from fewtag.models.vectors import VectorCache, text_key

WIDTH = 3
ROW = 2 * WIDTH
KEY = 8


def vector(text: str) -> list[float]:
    """Three numbers that tell texts apart and that a float16 holds exactly."""
    return [float(len(text)), float(sum(place * byte for place, byte in enumerate(text.encode(), 1)) % 2048), 0.5]


def vectors(texts: list[str]) -> npt.NDArray[np.float32]:
    return np.array([vector(text) for text in texts], dtype=np.float32).reshape(len(texts), WIDTH)


def opened(folder: Path, identity: str = "minilm@53aa") -> VectorCache:
    return VectorCache(folder, identity)


def filled(folder: Path, *texts: str) -> VectorCache:
    cache = opened(folder)
    cache.add(list(texts), vectors(list(texts)))
    return cache


def files(cache: VectorCache) -> tuple[Path, Path]:
    return cache.folder / "keys.u64", cache.folder / "rows.f16"


def sizes(cache: VectorCache) -> tuple[int, int]:
    keys, rows = files(cache)
    return keys.stat().st_size, rows.stat().st_size


def test_an_empty_cache_misses_everything_and_writes_nothing(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    assert cache.missing(["tea", "coffee", "tea"]) == ["tea", "coffee"]
    assert cache.missing([]) == []
    assert cache.get([]).shape == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_vectors_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    cache = filled(tmp_path, "tea", "coffee", "milk")
    cache.add(["", "茶"], vectors(["", "茶"]))
    asked = ["milk", "茶", "tea", "tea", ""]
    for each in (cache, opened(tmp_path)):
        found = each.get(asked)
        assert found.dtype == np.float32
        assert found.tolist() == vectors(asked).tolist()
        assert each.missing(["salt", "tea", "oil", "salt"]) == ["salt", "oil"]
        assert each.get([]).shape == (0, WIDTH)
    assert sizes(cache) == (5 * KEY, 5 * ROW)


def test_a_text_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as caught:
        filled(tmp_path, "tea").get(["tea", "coffee", "milk"])
    assert caught.value.args == ("coffee",)
    with pytest.raises(KeyError, match="tea"):
        opened(tmp_path, "other").get(["tea"])


def test_numbers_are_rounded_to_float16(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.add(["tea"], np.array([[0.1, -1 / 3, 1e-9]], dtype=np.float32))
    # Ten bits behind the leading one: 0.1 lies between 2^-4 and 2^-3, so its steps are 2^-14; a third's are 2^-12.
    assert cache.get(["tea"]).tolist() == [[1638 / 2**14, -1365 / 2**12, 0.0]]
    many = np.random.default_rng(0).standard_normal((50, WIDTH)).astype(np.float32)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    cache.add([str(number) for number in range(50)], many)
    assert np.abs(cache.get([str(number) for number in range(50)]) - many).max() <= 2**-12


def test_one_text_twice_in_one_batch_has_one_vector(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.add(["tea", "coffee", "tea"], np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], dtype=np.float32))
    for each in (cache, opened(tmp_path)):
        assert each.get(["tea", "coffee"]).tolist() == [[1, 1, 1], [2, 2, 2]]
        assert each.missing(["tea", "coffee"]) == []


def test_two_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    one, other = filled(tmp_path, "tea"), opened(tmp_path, "bge@77aa")
    assert other.missing(["tea"]) == ["tea"]
    other.add(["tea"], np.array([[7, 8]], dtype=np.float32))
    assert opened(tmp_path, "bge@77aa").get(["tea"]).tolist() == [[7, 8]]
    assert opened(tmp_path).get(["tea"]).tolist() == [vector("tea")]
    assert one.folder != other.folder
    assert {each.parent for each in (one.folder, other.folder)} == {tmp_path}


def test_the_folder_says_whose_vectors_it_holds(tmp_path: Path) -> None:
    cache = filled(tmp_path, "tea")
    assert json.loads((cache.folder / "about.json").read_text()) == {"encoder": "minilm@53aa", "dimensions": WIDTH}


def test_nothing_added_is_nothing_written(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.add([], np.empty((0, 0), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []
    cache.add(["tea"], vectors(["tea"]))
    cache.add([], np.empty((0, WIDTH), dtype=np.float32))
    assert opened(tmp_path).get(["tea"]).tolist() == [vector("tea")]


@pytest.mark.parametrize(("texts", "shape"), [(["coffee"], (1, 2)), (["coffee", "milk"], (1, 3)), (["coffee"], (3,))])
def test_vectors_of_another_shape_are_refused_before_they_push_the_rest_aside(
    texts: list[str], shape: tuple[int, ...], tmp_path: Path
) -> None:
    cache = filled(tmp_path, "tea")
    wanted = f"vectors of shape ({len(texts)}, 3) are wanted, not {shape}"
    with pytest.raises(ValueError, match="are wanted") as caught:
        cache.add(texts, np.ones(shape, dtype=np.float32))
    assert str(caught.value) == wanted
    assert sizes(cache) == (KEY, ROW)


def test_a_key_is_a_hash_that_does_not_change() -> None:
    # printf tea | b2sum -l 64
    assert text_key("tea") == int.from_bytes(bytes.fromhex("ba6587c1bb84c490"), "little")
    assert len({text_key(str(number)) for number in range(10_000)}) == 10_000


BEFORE = ["tea", "coffee"]
KILLED = ["milk", "oat drink", "salt"]


@pytest.mark.parametrize("keys", [0, 1, 7, 8, 15, 16, 17, 39, 40])
@pytest.mark.parametrize("rows", [0, 1, 5, 6, 11, 12, 13, 29, 30])
def test_whatever_a_kill_leaves_is_cut_to_whole_vectors(keys: int, rows: int, tmp_path: Path) -> None:
    cache = filled(tmp_path, *BEFORE, *KILLED)
    os.truncate(files(cache)[0], keys)
    os.truncate(files(cache)[1], rows)
    again = opened(tmp_path)
    whole = min(keys // KEY, rows // ROW)
    texts = [*BEFORE, *KILLED]
    assert sizes(again) == (keys, rows), "who only reads leaves the files to who may just be writing them"
    assert again.get(texts[:whole]).tolist() == vectors(texts[:whole]).tolist()
    assert again.missing(texts) == texts[whole:]
    again.add(texts[whole:], vectors(texts[whole:]))
    for each in (again, opened(tmp_path)):
        assert each.get(texts).tolist() == vectors(texts).tolist()


@pytest.mark.parametrize("lost", [("keys.u64",), ("rows.f16",), ("keys.u64", "rows.f16"), ("about.json",)])
def test_a_lost_file_costs_its_vectors_and_never_mixes_them_up(lost: tuple[str, ...], tmp_path: Path) -> None:
    cache = filled(tmp_path, *BEFORE)
    for name in lost:
        (cache.folder / name).unlink()
    again = opened(tmp_path)
    assert again.missing(BEFORE) == BEFORE
    again.add(KILLED, vectors(KILLED))
    again.add(again.missing(BEFORE), vectors(again.missing(BEFORE)))
    for each in (again, opened(tmp_path)):
        assert each.get([*KILLED, *BEFORE]).tolist() == vectors([*KILLED, *BEFORE]).tolist()


def test_a_kill_while_the_folder_is_made_leaves_no_half_written_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            filled(tmp_path, "tea")
    assert filled(tmp_path, "tea").get(["tea"]).tolist() == [vector("tea")]


class FullDisk(io.BytesIO):
    """Stands in for a file: puts `room` bytes into the true one and refuses the rest."""

    def __init__(self, file: Path, room: int) -> None:
        super().__init__()
        self._file, self._room = file, room

    def write(self, content: Any) -> int:
        with open(self._file, "ab") as stream:
            stream.write(bytes(content)[: self._room])
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("full", ["keys.u64", "rows.f16"])
@pytest.mark.parametrize("room", [0, 5, 9, 16])
def test_a_full_disk_is_told_and_the_same_cache_goes_on_once_there_is_room(
    full: str, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = filled(tmp_path, *BEFORE)
    true_open = Path.open

    def open_on_full_disk(file: Path, mode: str = "r", **rest: Any) -> Any:
        return FullDisk(file, room) if file.name == full and mode == "ab" else true_open(file, mode, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_full_disk)
        with pytest.raises(WorkspaceError) as caught:
            cache.add(KILLED, vectors(KILLED))
    mend = "free some space and run the same command again: it goes on where it stopped"
    assert str(caught.value) == f"{cache.folder / full}: the disk is full -> {mend}"
    assert cache.get(BEFORE).tolist() == vectors(BEFORE).tolist()
    cache.add(KILLED, vectors(KILLED))
    for each in (cache, opened(tmp_path)):
        assert each.get([*KILLED, *BEFORE]).tolist() == vectors([*KILLED, *BEFORE]).tolist()


def test_a_second_writer_does_not_mix_the_vectors_up(tmp_path: Path) -> None:
    one, other = filled(tmp_path, "tea"), opened(tmp_path)
    one.add(["coffee"], vectors(["coffee"]))
    other.add(["milk"], vectors(["milk"]))
    one.add(["salt"], vectors(["salt"]))
    for each in (one, opened(tmp_path)):
        assert each.get(["salt", "milk", "coffee", "tea"]).tolist() == vectors(["salt", "milk", "coffee", "tea"]).tolist()
    assert other.get(["milk", "coffee"]).tolist() == vectors(["milk", "coffee"]).tolist()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="a file stands where a folder is needed -> move that file away"):
        filled(tmp_path / "file", "tea")


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=6), max_size=6),
    random=st.randoms(use_true_random=False),
)
def test_any_batches_behave_like_a_dictionary(batches: list[list[str]], random: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache, known = opened(folder), {}
    for texts in batches:
        missing = cache.missing(texts)
        assert missing == [text for text in dict.fromkeys(texts) if text not in known]
        cache.add(missing, vectors(missing))
        known |= {text: vector(text) for text in missing}
        if random.random() < 0.5:
            cache = opened(folder)
        asked = random.choices(list(known), k=5) if known else []
        assert cache.get(asked).tolist() == [known[text] for text in asked]
