"""Runs of a tagger: gone on with, left alone, or begun anew, by what has changed; and what is saved of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fewtag import Product, Tagger, Taxonomy
from fewtag.errors import CatalogueError
from fewtag.models.encoder import CachedEncoder
from fewtag.models.vectors import VectorCache
from fewtag.models.zero_shot.rung import ZeroShot
from fewtag.store import Ledger
from fewtag.tagger_folder import read_saved

PATHS = ["饮料 > 茶叶", "饮料 > 咖啡", "日用 > 香皂", "日用 > 毛巾"]
TEXTS = ["西湖绿茶 茶叶", "咖啡豆 深烘", "香皂 三块装", "纯棉毛巾", "红茶 茶叶 50包", "速溶咖啡", "毛巾 两条", "洁白香皂"]


def tagger(workspace: Path, precision: float = 0.9, name: str = "店") -> Tagger:
    taxonomy = Taxonomy.from_paths(PATHS, language="zh")
    named = Taxonomy([taxonomy[node] for node in taxonomy], name=name, language="zh")
    return Tagger(named, precision=precision, workspace=workspace)


def count_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    fits: list[int] = []
    fit = ZeroShot.fit

    def counted(self: ZeroShot, products: Sequence[Product], labels: Sequence[object] = ()) -> ZeroShot:
        fits.append(len(products))
        return fit(self, products)

    monkeypatch.setattr(ZeroShot, "fit", counted)
    return fits


def test_another_precision_costs_no_learning_and_is_what_the_next_command_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = count_fits(monkeypatch)
    tagger(tmp_path, 0.9).bootstrap(TEXTS)
    tagger(tmp_path, 0.3).bootstrap(TEXTS)
    assert fits == [8]
    assert read_saved(tmp_path / "tagger").precision == 0.3
    opened = Tagger.open(tmp_path)
    with Ledger.open(tmp_path / "fewtag.db") as ledger:
        stored = [each.tag.category for each in ledger.latest()]
    assert [tag.category for tag in opened.predict(TEXTS)] == stored


def test_unchanged_means_unchanged_and_anything_else_a_new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = count_fits(monkeypatch)
    assert not tagger(tmp_path).bootstrap(TEXTS).unchanged
    assert tagger(tmp_path).bootstrap(TEXTS).unchanged
    assert not tagger(tmp_path).bootstrap([*TEXTS[:-1], "香皂"]).unchanged
    assert not tagger(tmp_path, name="另一家店").bootstrap([*TEXTS[:-1], "香皂"]).unchanged
    assert fits == [8, 8, 8]


def test_a_tagger_from_elsewhere_settles_in_its_new_workspace(tmp_path: Path) -> None:
    first = tagger(tmp_path / "one")
    first.bootstrap(TEXTS)
    first.save(tmp_path / "shop.fewtag")
    Tagger.load(tmp_path / "shop.fewtag", workspace=tmp_path / "two").bootstrap(TEXTS)
    assert np.array_equal(Tagger.open(tmp_path / "two").predict_proba(TEXTS), first.predict_proba(TEXTS))


def test_a_loaded_tagger_learns_anew_as_a_fresh_one_does(tmp_path: Path) -> None:
    first = tagger(tmp_path / "one")
    first.bootstrap(TEXTS)
    first.save(tmp_path / "shop.fewtag")
    other = ["乌龙茶", "美式咖啡 冷萃", "手工香皂", "浴巾 毛巾", "花茶 茶叶"]
    loaded, fresh = Tagger.load(tmp_path / "shop.fewtag"), tagger(tmp_path / "three")
    loaded.bootstrap(other)
    fresh.bootstrap(other)
    assert np.array_equal(loaded.predict_proba(other), fresh.predict_proba(other))


def test_learning_that_was_interrupted_is_not_taken_for_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tagger(tmp_path)
    mine.bootstrap(TEXTS)
    before = mine.predict_proba(TEXTS)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ZeroShot, "_self_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mine.bootstrap(TEXTS[:4])
    monkeypatch.undo()
    mine.bootstrap(TEXTS)
    assert np.array_equal(mine.predict_proba(TEXTS), before)


def test_a_catalogue_that_has_moved_is_found_where_it_is(tmp_path: Path) -> None:
    rows = "id,title\n" + "".join(f"P{number},{text}\n" for number, text in enumerate(TEXTS))
    (tmp_path / "old.csv").write_text(rows, encoding="utf-8")
    tagger(tmp_path / "w").bootstrap(tmp_path / "old.csv")
    (tmp_path / "old.csv").rename(tmp_path / "new.csv")
    tagger(tmp_path / "w").bootstrap(tmp_path / "new.csv")
    assert Tagger.open(tmp_path / "w").product("P1").text == "咖啡豆 深烘"


@pytest.mark.parametrize("empty", [[], iter([])])
def test_no_products_are_told(tmp_path: Path, empty: object) -> None:
    with pytest.raises(CatalogueError, match="there are no products -> give at least one"):
        tagger(tmp_path / "w").bootstrap(empty)
    assert not (tmp_path / "w").exists()


def test_products_may_come_from_a_generator(tmp_path: Path) -> None:
    mine = tagger(tmp_path)
    assert mine.bootstrap(text for text in TEXTS).products == 8
    assert len(mine.predict(text for text in TEXTS)) == 8


def test_a_save_that_was_killed_between_its_renames_is_undone(tmp_path: Path) -> None:
    mine = tagger(tmp_path / "w")
    mine.bootstrap(TEXTS)
    (tmp_path / "w" / "tagger").rename(tmp_path / "w" / "tagger.old")
    assert np.array_equal(Tagger.open(tmp_path / "w").predict_proba(TEXTS), mine.predict_proba(TEXTS))
    shutil.rmtree(tmp_path / "w" / "tagger")
    assert not tagger(tmp_path / "w").bootstrap(TEXTS).resumed_at


WRITER = """
import sys, numpy as np
from pathlib import Path
from fewtag.models.vectors import VectorCache, text_key
cache = VectorCache(Path(sys.argv[1]), "encoder")
for number in range(40):
    texts = [f"{sys.argv[2]} {number} {each}" for each in range(5)]
    cache.add(texts, np.array([[text_key(text) % 1000, number] for text in texts], dtype=np.float32))
"""


def test_two_processes_share_one_cache_of_vectors(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in ("one", "two")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    texts = [f"{name} {number} {each}" for name in ("one", "two") for number in range(40) for each in range(5)]
    cache = VectorCache(tmp_path, "encoder")
    from fewtag.models.vectors import text_key

    assert cache.get(texts).tolist() == [[text_key(text) % 1000, int(text.split()[1])] for text in texts]


def test_what_another_process_has_embedded_is_there_after_the_next_add(tmp_path: Path) -> None:
    class Lengths:
        identity = "lengths"

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    one, two = CachedEncoder(Lengths(), tmp_path), CachedEncoder(Lengths(), tmp_path)
    one.encode(["a", "bb"])
    assert two.encode(["bb", "ccc"]).tolist() == [[2, 1], [3, 1]]
    assert one.encode(["a", "ccc"]).tolist() == [[1, 1], [3, 1]]
