"""The facade that everything enters by: its names, what it takes, what it keeps, and what it refuses.

The shop speaks Chinese, so that the embedded preset needs no encoder; where a test needs one, or probabilities known by hand, it puts
them in. What makes a run go on, stand or begin anew is in test_runs.py.
"""

from __future__ import annotations

import errno
import gc
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from test_models import PATHS as ENGLISH_PATHS
from test_models import TEXTS as ENGLISH_TEXTS
from test_models import WordEncoder, WordLM

import fewtag
from fewtag import FewtagError, ModelSettings, Product, Tag, Tagger, Taxonomy, parts, tagger
from fewtag.errors import CatalogueError, LabelError, ModelError, PromptError, TaxonomyError, WorkspaceError
from fewtag.ladder import Ladder
from fewtag.models.lm.model import LanguageModel
from fewtag.models.source import Source
from fewtag.store import Ledger, ModelIdentity, Run
from fewtag.sweep import Outcome
from fewtag.taxonomy import Category

PATHS = ["饮料 > 茶叶", "饮料 > 咖啡", "日用 > 香皂", "日用 > 毛巾"]
TEXTS = ["西湖绿茶 茶叶", "咖啡豆 深烘", "香皂 三块装", "纯棉毛巾", "红茶 茶叶 50包", "速溶咖啡", "毛巾 两条", "洁白香皂"]
SHOP = Taxonomy.from_paths(PATHS)
TEA, COFFEE, SOAP, TOWEL = SHOP.classes
RIGHT = [TEA, COFFEE, SOAP, TOWEL, TEA, COFFEE, TOWEL, SOAP]


def test_the_public_names_are_these_and_no_others() -> None:
    assert fewtag.__all__ == ["Columns", "FewtagError", "ModelSettings", "Product", "Tag", "Tagger", "Taxonomy", "TrainSettings"]
    assert dir(fewtag) == [
        "Columns",
        "FewtagError",
        "ModelSettings",
        "Product",
        "Tag",
        "Tagger",
        "Taxonomy",
        "TrainSettings",
        "__version__",
    ]
    for name in fewtag.__all__:
        assert getattr(fewtag, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'fewtag' has no attribute 'Classifier'"):
        fewtag.Classifier  # noqa: B018


def test_the_tagger_is_made_of_a_taxonomy_and_settings_by_name() -> None:
    signature = str(inspect.signature(Tagger))
    assert signature == (
        "(taxonomy: 'Taxonomy', *, preset: 'str | ModelSettings' = 'embedded', prompt: 'str | None' = None, "
        "precision: 'float | None' = None, seed: 'int' = 0, workspace: 'str | Path | None' = None) -> 'None'"
    )


def test_the_taggers_methods_are_these_and_no_others() -> None:
    found = {name: list(inspect.signature(value).parameters) for name, value in inspect.getmembers(Tagger, callable) if name[0] != "_"}
    assert found == {
        "bootstrap": ["self", "products"],
        "doubts": ["self"],
        "evaluate": ["self", "products", "gold"],
        "explain": ["self", "product", "shortlist"],
        "fit": ["self", "products", "labels", "tune", "fine_tune"],
        "from_file": ["path", "preset", "encoder", "lm", "arguments"],
        "history": ["self", "product_id"],
        "holding": ["self", "share"],
        "is_outdated": ["self"],
        "load": ["folder", "workspace"],
        "look": ["self"],
        "open": ["workspace"],
        "predict": ["self", "products", "hold"],
        "predict_proba": ["self", "products"],
        "product": ["self", "product_id"],
        "products": ["self"],
        "propagate": ["self", "products", "precision", "dry_run"],
        "report": ["self", "gold"],
        "save": ["self", "folder"],
        "second_opinion": ["self", "top"],
        "stream": ["self", "products", "hold"],
        "take_back": ["self", "run_id"],
        "train": ["self", "products", "tune", "fine_tune", "trials", "tags"],
        "voices": ["self"],
    }
    assert Tagger(SHOP).classes_ == (TEA, COFFEE, SOAP, TOWEL)


@dataclass
class ShopEncoder(WordEncoder):
    """The encoder without weights, as the ladder takes it: with a source; `revision` is what its weights are known by."""

    revision: str = "1"

    def __post_init__(self) -> None:
        self.source = Source("words", "nowhere", self.revision)
        self.identity = self.source.identity


def speaking(monkeypatch: pytest.MonkeyPatch, revision: str = "1") -> ShopEncoder:
    """Put an encoder in the place of whichever is named."""
    encoder = ShopEncoder(revision=revision)
    monkeypatch.setattr(parts, "SentenceEncoder", lambda *_: encoder)
    return encoder


def english(**arguments: Any) -> Tagger:
    return Tagger(Taxonomy.from_paths(ENGLISH_PATHS), **arguments)


def hand_made(monkeypatch: pytest.MonkeyPatch, shares: dict[str, Sequence[float]]) -> list[int]:
    """Let the ladder say what is worked out by hand, text to probabilities; returns the sizes of the batches that it is asked for."""
    sizes: list[int] = []

    def predict_proba(_: Ladder, products: Sequence[Product]) -> Any:
        sizes.append(len(products))
        return np.array([shares[product.text] for product in products], dtype=np.float32)

    monkeypatch.setattr(Ladder, "predict_proba", predict_proba)
    return sizes


def latest(workspace: Path) -> dict[str, Tag]:
    with Ledger.open(workspace / "fewtag.db") as ledger:
        return {each.tag.product_id: each.tag for each in ledger.latest()}


NAMED = [Product(f"P{number}", text) for number, text in enumerate(TEXTS)]
COLUMNS = {"sku": [product.id for product in NAMED], "title": TEXTS, "price": [1.5] * 8}
SOURCES = {
    "texts": TEXTS,
    "a tuple of texts": tuple(TEXTS),
    "products": NAMED,
    "a pandas frame": pd.DataFrame(COLUMNS),
    "a pandas frame whose index has gaps": pd.DataFrame(COLUMNS, index=range(10, 90, 10)),
    "a polars frame": pl.DataFrame(COLUMNS),
    "the path of a CSV file": "shop.csv",
    "the path of a Parquet file": Path("shop.parquet"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_products_come_in_every_shape(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SOURCES[name]
    ids = [product.id.removeprefix("P" if "texts" in name else "") for product in NAMED]  # texts are numbered
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(COLUMNS).write_csv("shop.csv")
    pl.DataFrame(COLUMNS).write_parquet("shop.parquet")
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    assert mine.bootstrap(source) == Outcome(products=8, tagged=8, backed_off=0, abstained=0)
    assert {product_id: tag.category for product_id, tag in latest(tmp_path / "w").items()} == dict(zip(ids, RIGHT, strict=True))
    assert [(tag.product_id, tag.category) for tag in mine.predict(source)] == list(zip(ids, RIGHT, strict=True))
    found = mine.predict_proba(source)
    assert (found.dtype, found.shape) == (np.dtype(np.float32), (8, 4))
    assert [mine.classes_[column] for column in found.argmax(axis=1)] == RIGHT


SHARES = {
    "surely tea": [0.97, 0.01, 0.01, 0.01],
    "surely soap": [0.02, 0.02, 0.95, 0.01],
    "some drink": [0.5, 0.46, 0.02, 0.02],
    "no idea": [0.4, 0.2, 0.2, 0.2],
    "none at all": [0.25, 0.25, 0.25, 0.25],
}


def test_an_outcome_counts_what_was_tagged_backed_off_and_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_made(monkeypatch, SHARES)
    mine = Tagger(SHOP, workspace=tmp_path)
    assert mine.bootstrap(list(SHARES)) == Outcome(products=5, tagged=2, backed_off=1, abstained=2)
    assert [tag.category for tag in latest(tmp_path).values()] == [TEA, SOAP, "饮料", None, None]
    assert latest(tmp_path)["2"].confidence == pytest.approx(0.96)
    assert latest(tmp_path)["3"].confidence == pytest.approx(0.4)
    # With less precision asked for, the same probabilities say more.
    easy = Tagger(SHOP, workspace=tmp_path, precision=0.5)
    assert easy.bootstrap(list(SHARES)) == Outcome(products=5, tagged=3, backed_off=0, abstained=2)


def test_a_batch_is_as_large_as_its_matrix_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = hand_made(monkeypatch, dict.fromkeys(TEXTS, SHARES["no idea"]))
    monkeypatch.setattr(tagger, "TAGS_PER_BATCH", 5)
    mine = Tagger(SHOP)
    mine.bootstrap(TEXTS)
    monkeypatch.setattr(tagger, "CELLS_PER_BATCH", 13)  # of four columns
    mine.predict(TEXTS)
    monkeypatch.setattr(tagger, "CELLS_PER_BATCH", 1)
    mine.predict_proba(TEXTS[:2])
    assert sizes == [5, 3, 3, 3, 2, 1, 1]


@pytest.mark.parametrize("written", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_tags(written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger, "TAGS_PER_BATCH", 3)
    Tagger(SHOP, workspace=tmp_path / "whole").bootstrap(NAMED)
    add_tags, finish_run, calls = Ledger.add_tags, Ledger.finish_run, iter(range(99))

    def killed(self: Ledger, run: Run, model: ModelIdentity, batch: Sequence[Tag]) -> None:
        if next(calls) == written:
            raise KeyboardInterrupt
        add_tags(self, run, model, batch)

    def killed_last(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "add_tags", killed)
    monkeypatch.setattr(Ledger, "finish_run", killed_last)
    with pytest.raises(KeyboardInterrupt):
        Tagger(SHOP, workspace=tmp_path / "killed").bootstrap(NAMED)
    assert len(latest(tmp_path / "killed")) == min(3 * written, 8)
    monkeypatch.setattr(Ledger, "add_tags", add_tags)
    monkeypatch.setattr(Ledger, "finish_run", finish_run)
    monkeypatch.setattr(Ladder, "fit", killed_last)  # what was learnt before the kill is not learnt again
    again = Tagger(SHOP, workspace=tmp_path / "killed")
    assert again.bootstrap(NAMED) == Outcome(8, 8, 0, 0, resumed_at=min(3 * written, 8))
    assert latest(tmp_path / "killed") == latest(tmp_path / "whole")
    assert [len(again.history(product.id)) for product in NAMED] == [1] * 8
    assert again.bootstrap(NAMED) == Outcome(8, 8, 0, 0, unchanged=True)


def test_the_tags_of_a_run_that_is_gone_on_with_belong_to_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run that was given up for another is left behind as it is."""
    monkeypatch.setattr(tagger, "TAGS_PER_BATCH", 3)
    add_tags, calls = Ledger.add_tags, iter(range(99))

    def killed(self: Ledger, run: Run, model: ModelIdentity, batch: Sequence[Tag]) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        add_tags(self, run, model, batch)

    monkeypatch.setattr(Ledger, "add_tags", killed)
    with pytest.raises(KeyboardInterrupt):
        Tagger(SHOP, workspace=tmp_path).bootstrap(NAMED)
    assert Tagger(SHOP, workspace=tmp_path, precision=0.8).bootstrap(NAMED).resumed_at == 0
    mine = Tagger(SHOP, workspace=tmp_path, precision=0.9)
    assert mine.bootstrap(NAMED).resumed_at == 0
    assert [each.run_id for each in mine.history("P0")] == [3, 2, 1]
    assert [each.run_id for each in mine.history("P7")] == [3, 2]


def test_the_encoder_is_asked_for_what_is_new_and_for_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = speaking(monkeypatch)
    english(workspace=tmp_path).bootstrap(list(ENGLISH_TEXTS))
    assert sum(first.asked.count(text) for text in ENGLISH_TEXTS) == len(ENGLISH_TEXTS)
    second = speaking(monkeypatch)
    mine = english(workspace=tmp_path, precision=0.5)
    assert not mine.bootstrap(list(ENGLISH_TEXTS)).unchanged
    mine.predict(list(ENGLISH_TEXTS))
    assert second.asked == []
    third = speaking(monkeypatch)
    assert not english(workspace=tmp_path).bootstrap([*ENGLISH_TEXTS[1:], "Oolong tea"]).unchanged
    assert third.asked == ["Oolong tea"]
    fourth = speaking(monkeypatch, revision="2")  # other weights: every vector is another
    assert not english(workspace=tmp_path).bootstrap([*ENGLISH_TEXTS[1:], "Oolong tea"]).unchanged
    assert set(ENGLISH_TEXTS[1:]) < set(fourth.asked)


def models(folder: Path, **names: str) -> ModelSettings:
    """Make folders that pass for models, as long as nobody loads them."""
    for name in names.values():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "model.safetensors").write_bytes(name.encode())
    return ModelSettings(**{part: str(folder / name) for part, name in names.items()})


def test_every_tag_names_its_model_its_weights_and_its_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Tagger(SHOP, workspace=tmp_path / "plain")
    plain.bootstrap(NAMED)
    assert plain.history("P1")[0].model == ModelIdentity("character n-grams", "", "")
    assert plain.history("P1")[0].taxonomy_version == SHOP.version
    assert plain.history("P1")[0].tag.category == COFFEE
    speaking(monkeypatch)
    stub = WordLM()
    monkeypatch.setattr(LanguageModel, "load", lambda _: stub)
    mine = english(preset=models(tmp_path, lm="tiny"), workspace=tmp_path / "mine")
    mine.bootstrap(list(ENGLISH_TEXTS))
    [history] = mine.history("0")
    parts = mine._ladder.parts
    assert parts.lm is not None
    assert parts.prompt is not None
    assert parts.prompt.name == "category.v1"
    assert history.model == ModelIdentity(f"words + {tmp_path / 'tiny'}", f"1 + {parts.lm.revision}", parts.prompt.hash)
    assert any("Sencha green tea" in prompt for prompt in stub.asked)


UNLEARNT = {
    "predict": lambda mine: mine.predict(TEXTS),
    "stream": lambda mine: next(mine.stream(TEXTS)),
    "predict_proba": lambda mine: mine.predict_proba(TEXTS),
    "explain": lambda mine: mine.explain("绿茶"),
    "save": lambda mine: mine.save("shop.fewtag"),
}


@pytest.mark.parametrize("ask", UNLEARNT.values(), ids=UNLEARNT)
def test_a_tagger_that_has_seen_no_products_says_so(ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as told:
        ask(Tagger(SHOP))
    assert str(told.value) == "the tagger has seen no products yet -> call `bootstrap(products)` first"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", [0, -0.1, 1.0001, 90, float("nan")])
def test_a_precision_that_is_no_share_is_refused(precision: float, tmp_path: Path) -> None:
    with pytest.raises(FewtagError) as told:
        Tagger(SHOP, precision=precision, workspace=tmp_path / "w")
    assert str(told.value) == f"the precision is {precision} -> give a number above 0 and up to 1, such as 0.9"
    assert Tagger(SHOP, precision=1).precision == 1
    assert not (tmp_path / "w").exists()


def test_a_preset_that_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match="there is no preset 'large' -> use one of embedded, small, base, multilingual, chinese"):
        Tagger(SHOP, preset="large")


def test_a_prompt_that_nothing_reads_is_refused_before_any_work(tmp_path: Path) -> None:
    mine = Tagger(SHOP, prompt="category.v1", workspace=tmp_path / "w")
    for ask in (mine.voices, lambda: mine.bootstrap(TEXTS)):
        with pytest.raises(ModelError, match=r"the prompt 'category\.v1' has no language model to read it -> name one with"):
            ask()
    with pytest.raises(PromptError, match=r"there is no prompt 'no\.v1'"):
        Tagger(SHOP, preset=models(tmp_path, lm="tiny"), prompt="no.v1").voices()
    assert not (tmp_path / "w").exists()


GRAPH = Taxonomy(
    [
        Category("z", "饮料"),
        Category("tea", "茶叶", aliases=("绿茶",), parents=("z", "gifts")),
        Category("a", "咖啡", examples=("咖啡豆 500g",), parents=("z",)),
        Category("gifts", "礼品", assignable=True),
        Category("soap", "香皂", description="洗手", parents=("gifts",)),
        Category("colour", "颜色", select="many"),
        Category("red", "红色", parents=("colour",)),
        Category("blue", "蓝色", parents=("colour",)),
    ],
    name="店",
)
"""Two parents, an inner category that is assignable, and a second facet; the ids are not in the order of the alphabet."""


def test_what_is_saved_and_loaded_is_the_same_tagger(tmp_path: Path) -> None:
    mine = Tagger(GRAPH, precision=0.4, seed=5, workspace=tmp_path / "w")
    mine.columns = replace(mine.columns, id="sku", text="{{ title }} {{ brand }}", delimiter=";")
    (tmp_path / "shop.csv").write_text("sku;title;brand\nS1;绿茶;山\nS2;咖啡豆;山\nS3;香皂;白\n", encoding="utf-8")
    mine.bootstrap(tmp_path / "shop.csv")
    mine.save(tmp_path / "shop.fewtag")
    loaded = Tagger.load(str(tmp_path / "shop.fewtag"))
    assert list(loaded.taxonomy) == list(GRAPH)
    assert loaded.taxonomy.version == GRAPH.version
    assert loaded.taxonomy.name == "店"
    assert loaded.classes_ == mine.classes_ == ("tea", "a", "gifts", "soap")
    assert (loaded.precision, loaded.seed, loaded.prompt, loaded.settings) == (0.4, 5, None, ModelSettings(preset="embedded"))
    assert (loaded.columns.id, loaded.columns.text, loaded.columns.delimiter) == ("sku", "{{ title }} {{ brand }}", ";")
    assert loaded.columns.file == ""  # where a catalogue lies is not the tagger's to know
    assert np.array_equal(loaded.predict_proba(TEXTS), mine.predict_proba(TEXTS))
    assert loaded.predict(tmp_path / "shop.csv") == mine.predict(tmp_path / "shop.csv")
    assert loaded.explain("绿茶") == mine.explain("绿茶")
    assert loaded.workspace.root != mine.workspace.root


def test_a_saved_tagger_can_be_moved_and_saved_again(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    mine.bootstrap(TEXTS)
    mine.save(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    Tagger.load(tmp_path / "two").save(tmp_path / "deep" / "three")
    assert np.array_equal(Tagger.load(tmp_path / "deep" / "three").predict_proba(TEXTS), mine.predict_proba(TEXTS))


def test_a_tagger_is_not_loaded_with_other_weights_than_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speaking(monkeypatch, revision="53aa")
    mine = english(workspace=tmp_path / "w")
    mine.bootstrap(list(ENGLISH_TEXTS))
    mine.save(tmp_path / "shop")
    speaking(monkeypatch, revision="f00d")
    with pytest.raises(ModelError) as told:
        Tagger.load(tmp_path / "shop")
    assert str(told.value) == (
        f"{tmp_path / 'shop'}: the tagger was made with words at '53aa', and here is 'f00d'"
        " -> bring what it was made with, or bootstrap again"
    )
    speaking(monkeypatch, revision="53aa")
    assert Tagger.load(tmp_path / "shop").classes_ == mine.classes_


def test_a_tagger_is_not_loaded_with_another_prompt_than_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speaking(monkeypatch)
    monkeypatch.setattr(LanguageModel, "load", lambda _: WordLM())
    prompt = tmp_path / "mine.j2"
    prompt.write_text("{{ product.text }} is", encoding="utf-8")
    mine = english(preset=models(tmp_path, lm="tiny"), prompt=str(prompt), workspace=tmp_path / "w")
    mine.bootstrap(list(ENGLISH_TEXTS))
    mine.save(tmp_path / "shop")
    assert np.array_equal(Tagger.load(tmp_path / "shop").predict_proba(ENGLISH_TEXTS), mine.predict_proba(ENGLISH_TEXTS))
    prompt.write_text("{{ product.text }} is a", encoding="utf-8")
    with pytest.raises(ModelError, match=r"the tagger was made with the prompt at '.{16}', and here is '.{16}' -> bring what it was made"):
        Tagger.load(tmp_path / "shop")
    prompt.unlink()
    with pytest.raises(PromptError, match="there is no prompt"):
        Tagger.load(tmp_path / "shop")


def test_a_tagger_of_a_newer_fewtag_is_not_loaded(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    mine.bootstrap(TEXTS)
    mine.save(tmp_path / "shop")
    about = json.loads((tmp_path / "shop" / "tagger.json").read_text(encoding="utf-8"))
    (tmp_path / "shop" / "tagger.json").write_text(json.dumps(about | {"format": 2, "fewtag": "9.1", "sofar": "unknown"}))
    with pytest.raises(WorkspaceError) as told:
        Tagger.load(tmp_path / "shop")
    assert str(told.value) == f"{tmp_path / 'shop'}: the tagger was saved by the newer fewtag 9.1 -> upgrade fewtag"


def test_where_there_is_no_tagger_none_is_loaded(tmp_path: Path) -> None:
    for load in (Tagger.load, lambda place: Tagger.open(place.parent)):
        with pytest.raises(WorkspaceError) as told:
            load(tmp_path / "tagger")
        mend = "run `fewtag bootstrap TAXONOMY`, or name a folder that `Tagger.save` wrote"
        assert str(told.value) == f"{tmp_path / 'tagger'}: there is no tagger here -> {mend}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(errno.ENOSPC, "full"), WorkspaceError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["full disk", "Ctrl-C"],
)
@pytest.mark.parametrize("method", ["save", "write_saved"])
def test_a_save_that_fails_leaves_the_old_tagger_whole_and_nothing_beside_it(
    method: str, error: BaseException, told: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    mine.bootstrap(TEXTS)
    mine.save(tmp_path / "shop")
    before = mine.predict_proba(TEXTS)
    mine.bootstrap(TEXTS[:4])

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(*((Ladder, "save") if method == "save" else (tagger, "write_saved")), fails)
    with pytest.raises(told):
        mine.save(tmp_path / "shop")
    with pytest.raises(told):
        mine.save(tmp_path / "new")
    assert np.array_equal(Tagger.load(tmp_path / "shop").predict_proba(TEXTS), before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop", "w"]
    monkeypatch.undo()
    mine.save(tmp_path / "shop")
    assert np.array_equal(Tagger.load(tmp_path / "shop").predict_proba(TEXTS), mine.predict_proba(TEXTS))
    assert not np.array_equal(mine.predict_proba(TEXTS), before)


def test_a_save_whose_last_renaming_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    mine.bootstrap(TEXTS)
    mine.save(tmp_path / "shop")
    before = mine.predict_proba(TEXTS)
    rename = Path.replace

    def refused(self: Path, target: Path) -> Path:
        if self.name == "shop.part":
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(WorkspaceError, match="shop: you may not write here"):
        mine.save(tmp_path / "shop")
    monkeypatch.undo()
    assert np.array_equal(Tagger.load(tmp_path / "shop").predict_proba(TEXTS), before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop", "w"]


def test_a_save_does_not_take_the_place_of_anything_else(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    mine.bootstrap(TEXTS)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "notes").write_text("mine")
    for name in ("photos", "notes"):
        with pytest.raises(WorkspaceError) as told:
            mine.save(tmp_path / name)
        problem = "something else stands where the tagger should go -> move it away, or name another folder"
        assert str(told.value) == f"{tmp_path / name}: {problem}"
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"
    assert (tmp_path / "notes").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "photos", "w"]


def test_only_the_first_facet_is_tagged_and_the_tagger_says_which_are_not(tmp_path: Path) -> None:
    mine = Tagger(GRAPH, precision=0.3, workspace=tmp_path)
    assert mine.classes_ == ("tea", "a", "gifts", "soap")
    assert mine.voices() == [
        "encoder: character n-grams of the catalogue alone, as no encoder of this preset speaks 'zh'",
        "language model: none, encoder scores decide alone",
        "an encoder that does comes with `--preset multilingual` or `--preset chinese`, from the Hugging Face hub",
        "facets not tagged yet: 颜色",
    ]
    texts = ["绿茶", "咖啡豆", "香皂", "红色 香皂", "蓝色"]
    mine.bootstrap(texts)
    assert mine.predict_proba(texts).shape == (5, 4)
    said = {tag.category for tag in latest(tmp_path).values()}
    assert said <= {"z", "tea", "a", "gifts", "soap", None}
    assert {"tea", "soap"} <= said
    assert "facets" not in Tagger(SHOP).voices()[-1]


def test_a_tag_backs_off_in_a_graph_and_to_an_inner_category_that_is_assignable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The columns are tea (below drinks and gifts), coffee (below drinks), gifts itself, and soap (below gifts).
    shares = {
        "tea": [0.92, 0.04, 0.02, 0.02],
        "a drink": [0.5, 0.45, 0.03, 0.02],
        "a gift": [0.02, 0.02, 0.95, 0.01],
        "tea or soap": [0.45, 0.04, 0.05, 0.46],
        "soap or coffee": [0.0, 0.5, 0.0, 0.5],
    }
    hand_made(monkeypatch, shares)
    mine = Tagger(GRAPH, precision=0.9, workspace=tmp_path)
    # Gifts hold three of the four classes: only odds of 3 to 1 times 3 are evidence for them, that is 0.9; tea or soap has 0.96.
    assert mine.bootstrap(list(shares)) == Outcome(products=5, tagged=3, backed_off=1, abstained=1)
    assert [tag.category for tag in latest(tmp_path).values()] == ["tea", "z", "gifts", "gifts", None]
    assert [round(tag.confidence, 2) for tag in latest(tmp_path).values()] == [0.92, 0.95, 0.98, 0.96, 0.5]


def shop_folder(folder: Path, models: str = "") -> Path:
    """Write a taxonomy.yaml with its catalogue in a folder below it; returns the yaml."""
    (folder / "data").mkdir(parents=True)
    rows = "".join(f"P{number};{text}\n" for number, text in enumerate(TEXTS))
    (folder / "data" / "products.csv").write_text(f"sku;title\n{rows}", encoding="utf-8")
    SHOP.save(folder / "taxonomy.yaml")
    head = f'catalogue: {{file: data/products.csv, id: sku, text: "{{{{ title }}}}", delimiter: ";"}}\n{models}'
    body = (folder / "taxonomy.yaml").read_text(encoding="utf-8")
    (folder / "taxonomy.yaml").write_text(body.replace("categories:", f"{head}categories:"), encoding="utf-8")
    return folder / "taxonomy.yaml"


def test_a_file_finds_its_catalogue_and_its_models_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "models: {preset: base, encoder: mine/encoder, lm: mine/lm, classifier: organisation/model}\nprompt: category.zh.v1\n"
    yaml = shop_folder(tmp_path / "shop", names)
    (tmp_path / "shop" / "mine").mkdir()
    models(tmp_path / "shop" / "mine", encoder="encoder", lm="lm")
    (tmp_path / "elsewhere" / "mine" / "lm").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    mine = Tagger.from_file(Path("..") / "shop" / yaml.name, precision=0.7, workspace=tmp_path / "w")
    assert mine.settings.encoder == str(tmp_path / "shop" / "mine" / "encoder")
    assert mine.settings.lm == str(tmp_path / "shop" / "mine" / "lm")
    assert mine.settings.classifier == "organisation/model"  # no folder of that name, so it is an id of the hub
    assert mine.columns.file == str(tmp_path / "shop" / "data" / "products.csv")
    assert (mine.settings.preset, mine.prompt, mine.precision) == ("base", "category.zh.v1", 0.7)
    assert mine.voices()[:2] == [
        f"encoder: {tmp_path / 'shop' / 'mine' / 'encoder'}, with character n-grams of the catalogue beside it",
        f"language model: {tmp_path / 'shop' / 'mine' / 'lm'}",
    ]
    assert Tagger.from_file(yaml, preset="multilingual").settings.preset == "multilingual"


def test_a_file_needs_nothing_else_to_be_bootstrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = shop_folder(tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    mine = Tagger.from_file("shop/taxonomy.yaml", workspace="w")
    assert mine.bootstrap() == Outcome(8, 8, 0, 0)
    assert [tag.category for tag in latest(tmp_path / "w").values()] == RIGHT
    assert mine.explain("P3") == mine.explain(mine.product("P3"))
    assert mine.explain("P99").product.text == "P99", "no product that was tagged has this id, so it is a text"
    assert mine.product("P4").text == "红茶 茶叶 50包"
    assert [product.id for product in mine.products()] == [f"P{number}" for number in range(8)]
    with pytest.raises(CatalogueError) as told:
        mine.product("P8")
    place = yaml.parent / "data" / "products.csv"
    assert str(told.value) == f"{place}: there is no product 'P8' -> write an id as the catalogue has it"


def test_a_tagger_without_a_catalogue_asks_for_one(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path / "w")
    for ask in (mine.bootstrap, lambda: mine.product("1"), lambda: list(mine.products())):
        with pytest.raises(CatalogueError) as told:
            ask()
        mend = "add `catalogue: {file: products.csv}` to its file, or give the products (--catalogue)"
        assert str(told.value) == f"the taxonomy names no catalogue -> {mend}"
    with pytest.raises(TaxonomyError, match=r"no\.yaml: "):
        Tagger.from_file(tmp_path / "no.yaml")
    assert not (tmp_path / "w").exists()


def test_a_workspace_opens_as_the_tagger_and_the_catalogue_of_its_last_bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = shop_folder(tmp_path / "shop")
    (tmp_path / "shop" / "other.csv").write_text("sku;title\nX1;绿茶 茶叶\nX2;咖啡豆\n", encoding="utf-8")
    first = Tagger.from_file(yaml, workspace=tmp_path / "w", precision=0.6)
    first.bootstrap()
    opened = Tagger.open(tmp_path / "w")
    assert (opened.precision, opened.workspace.root, opened.classes_) == (0.6, tmp_path / "w", SHOP.classes)
    assert opened.product("P7").text == "洁白香皂"
    assert opened.predict(TEXTS) == first.predict(TEXTS)
    assert [each.tag.category for each in opened.history("P7")] == [SOAP]
    assert opened.bootstrap().unchanged
    # The catalogue is found again from any folder, although it was given by a path from this one.
    monkeypatch.chdir(tmp_path / "shop")
    Tagger.from_file(yaml, workspace=tmp_path / "w").bootstrap("other.csv")
    monkeypatch.chdir(tmp_path)
    other = Tagger.open("w")
    assert [product.id for product in other.products()] == ["X1", "X2"]
    assert other.product("X1").text == "绿茶 茶叶"
    assert other.history("P7")[0].tag.category == SOAP
    assert other.history("nobody") == []


def test_a_shop_that_is_moved_with_its_workspace_finds_its_catalogue_again(tmp_path: Path) -> None:
    yaml = shop_folder(tmp_path / "shop")
    Tagger.from_file(yaml, workspace=tmp_path / "shop" / ".fewtag").bootstrap()
    (tmp_path / "shop").rename(tmp_path / "moved")
    opened = Tagger.open(tmp_path / "moved" / ".fewtag")
    assert opened.product("P7").text == "洁白香皂"
    assert Tagger.from_file(tmp_path / "moved" / "taxonomy.yaml", workspace=tmp_path / "moved" / ".fewtag").bootstrap().products == 8


def test_a_line_that_moves_in_the_taxonomy_begins_no_new_run(tmp_path: Path) -> None:
    yaml = shop_folder(tmp_path / "shop")
    Tagger.from_file(yaml, workspace=tmp_path / "w").bootstrap()
    yaml.write_text("# a comment\n" + yaml.read_text(encoding="utf-8"), encoding="utf-8")
    assert Tagger.from_file(yaml, workspace=tmp_path / "w").bootstrap().unchanged


def test_a_prompt_of_ones_own_is_found_from_the_files_folder(tmp_path: Path) -> None:
    yaml = shop_folder(tmp_path / "shop", "prompt: mine.j2\n")
    assert Tagger.from_file(yaml).prompt == str(tmp_path / "shop" / "mine.j2")


def test_a_tagger_is_saved_into_an_empty_folder(tmp_path: Path) -> None:
    mine = Tagger(SHOP)
    mine.bootstrap(TEXTS)
    (tmp_path / "empty").mkdir()
    mine.save(tmp_path / "empty")
    assert Tagger.load(tmp_path / "empty").predict(TEXTS) == mine.predict(TEXTS)


def test_without_a_workspace_the_tags_go_when_the_tagger_goes() -> None:
    mine = Tagger(SHOP)
    mine.bootstrap(TEXTS)
    place = mine.workspace.root
    assert [tag.category for tag in latest(place).values()] == RIGHT
    del mine
    gc.collect()
    assert not place.exists()


def test_predicting_writes_nothing(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path)
    mine.bootstrap(NAMED)
    before = latest(tmp_path)
    assert [tag.category for tag in mine.predict(["绿茶 茶叶", "绿茶 茶叶"])] == [TEA, TEA]
    assert mine.predict([]) == []
    assert mine.predict_proba([]).shape == (0, 4)
    assert latest(tmp_path) == before
    assert len(mine.history("P0")) == 1


def test_a_file_is_tagged_batch_by_batch_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger, "TAGS_PER_BATCH", 2)
    mine = Tagger(SHOP)
    mine.bootstrap(TEXTS)
    (tmp_path / "shop.csv").write_text("id,title\n1,绿茶 茶叶\n2,咖啡豆\n3,香皂\n,毛巾\n", encoding="utf-8")
    stream = mine.stream(tmp_path / "shop.csv")
    assert [next(stream).product_id for _ in range(2)] == ["1", "2"]
    with pytest.raises(CatalogueError, match=r"shop\.csv:5: a product has no id -> give it one, or delete the row"):
        next(stream)


def test_an_explanation_says_of_the_likeliest_categories_how_they_came_to_be(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path)
    mine.bootstrap(NAMED)
    found = mine.explain(Product("P9", "绿茶 茶叶 礼盒"), shortlist=3)
    [tag] = mine.predict([Product("P9", "绿茶 茶叶 礼盒")])
    assert found.product == Product("P9", "绿茶 茶叶 礼盒")
    assert found.tag == tag
    best = found.candidates[0]
    assert (best.category, best.path, best.nearest) == (TEA, "饮料 > 茶叶", "茶叶")
    assert [(each.category, each.probability) for each in found.candidates] == list(tag.alternatives[:3])
    [row] = mine.predict_proba(["绿茶 茶叶 礼盒"])
    assert [each.probability for each in found.candidates] == sorted(map(float, row), reverse=True)[:3]
    assert best.similarity == max(each.similarity for each in found.candidates)
    whole = mine.explain("绿茶 茶叶 礼盒", shortlist=99).candidates
    assert len(whole) == 4
    for stage in ("probability", "before_calibration", "after_calibration"):
        assert sum(getattr(each, stage) for each in whole) == pytest.approx(1, abs=1e-5)


def test_alternatives_hold_what_is_asked_and_tags_stay_the_same(tmp_path: Path) -> None:
    mine = Tagger(SHOP, workspace=tmp_path)
    mine.bootstrap(NAMED)
    texts = ["绿茶 茶叶", "毛巾 香皂", "xyz"]
    plain, sets = mine.predict(texts), mine.predict(texts, hold=0.8)
    assert [replace(tag, alternatives=()) for tag in sets] == [replace(tag, alternatives=()) for tag in plain]
    for tag in sets:
        shares = [share for _, share in tag.alternatives]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) >= 0.8 > sum(shares[:-1])
    assert [len(tag.alternatives) for tag in plain] == [4, 4, 4]
    assert [len(tag.alternatives) for tag in mine.predict(texts, hold=1.0)] == [4, 4, 4]
    for hold in (0.0, 1.5):
        with pytest.raises(FewtagError, match=f"the share that alternatives are to hold is {hold} -> give a number above 0 and up to 1"):
            mine.predict(texts, hold=hold)


@pytest.mark.usefixtures("few_resamples")
def test_an_evaluation_is_of_what_predict_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = Tagger(SHOP, workspace=tmp_path / "w")
    tagger.bootstrap(NAMED)
    monkeypatch.setattr("fewtag.tagger.TAGS_PER_BATCH", 3)
    gold = [SHOP.path(TEA), "咖啡", *RIGHT[2:7], None]  # a path, a name, ids, and one that belongs nowhere
    found = tagger.evaluate(NAMED, gold)
    tags = tagger.predict(NAMED)
    assert [(row["product_id"], row["tag"], row["confidence"]) for row in found.rows] == [
        (tag.product_id, tag.category, round(tag.confidence, 4)) for tag in tags
    ]
    assert [row["gold"] for row in found.rows] == [*RIGHT[:7], None]
    assert (found.products, found.nowhere, found.learnt_from, found.precision) == (8, 1, 0, 0.9)
    assert (
        found.ranking.precision_at_1.value == sum(tag.alternatives[0][0] == truth for tag, truth in zip(tags, RIGHT[:7], strict=False)) / 7
    )


@pytest.mark.usefixtures("few_resamples")
def test_what_the_tagger_was_taught_is_left_out_of_an_evaluation(tmp_path: Path) -> None:
    taxonomy = Taxonomy([*(SHOP[node] for node in SHOP if node != TOWEL), replace(SHOP[TOWEL], examples=(TEXTS[6],))])
    tagger = Tagger(taxonomy, workspace=tmp_path / "w")
    tagger.bootstrap(NAMED)
    tagger.fit(NAMED, [TEA, COFFEE, *6 * [None]], tune=False)
    # Left out: two by id, one more as its text is that of a label, and an example of the taxonomy.
    asked = [*NAMED, Product("elsewhere", TEXTS[0])]
    found = tagger.evaluate(asked, [*RIGHT, TEA])
    assert [row["product_id"] for row in found.rows] == ["P2", "P3", "P4", "P5", "P7"]
    assert (found.products, found.learnt_from) == (5, 4)
    assert [row["gold"] for row in tagger.evaluate(TEXTS, RIGHT).rows] == [RIGHT[each] for each in (2, 3, 4, 5, 7)]
    with pytest.raises(LabelError) as told:
        tagger.evaluate(NAMED[:2], RIGHT[:2])
    assert told.value.problem == "all products with gold are such that the tagger has learnt from"


def test_an_evaluation_asks_for_gold_of_each_product_and_of_known_categories(tmp_path: Path) -> None:
    tagger = Tagger(SHOP, workspace=tmp_path / "w")
    with pytest.raises(ModelError, match="the tagger has seen no products yet"):
        tagger.evaluate(NAMED, RIGHT)
    tagger.bootstrap(NAMED)
    with pytest.raises(FewtagError, match="there are 8 products and 7 gold categories"):
        tagger.evaluate(NAMED, RIGHT[:7])
    with pytest.raises(TaxonomyError, match="there is no category '咖'"):
        tagger.evaluate(NAMED, ["咖", *RIGHT[1:]])
    with pytest.raises(LabelError, match="no product belongs to '饮料' itself"):
        tagger.evaluate(NAMED, ["饮料", *RIGHT[1:]])
