"""Words of categories: what is kept of what a model wrote, that nothing is asked twice, and that a person's word outlives every rerun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from test_lm import load, save

from fewtag.core import Product
from fewtag.enriched_file import Entry, read_enriched, write_enriched
from fewtag.enrichment import enrich, look_up, spoken
from fewtag.errors import ModelError, TaxonomyError
from fewtag.models.lm.enrich import MOST_WORDS, WORD_LENGTH, Writer, Written, parse
from fewtag.models.lm.model import LanguageModel
from fewtag.models.presets import resolve
from fewtag.models.source import Source
from fewtag.parts import Parts
from fewtag.prompts import Prompt
from fewtag.tagger import Tagger
from fewtag.taxonomy import Taxonomy
from fewtag.taxonomy_file import ModelSettings, read_taxonomy_file
from fewtag.workspace import Workspace

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Pets"])
TEA, COFFEE, PETS = SHOP.classes
SOURCE = Source("tiny", "nowhere", "0123456789abcdef")
PROMPT = Prompt.load("enrich.v1", "enrich")
SAYS = {
    "Drinks > Tea": "oolong, sencha\nTitles: Sencha tin 50 g",
    "Drinks > Coffee": "espresso, beans\nTitles: Espresso beans 1 kg",
    "Pets": "kibble",
}


@dataclass
class Author:
    """A language model that writes what a table has for the path in the last question of a prompt."""

    table: dict[str, str] = field(default_factory=lambda: dict(SAYS))
    asked: list[str] = field(default_factory=list)
    dies_after: int = 99

    def write(self, prompt: str, most: int, *, chat: bool = False) -> str:
        if len(self.asked) == self.dies_after:
            raise KeyboardInterrupt
        path = prompt.rsplit("Category: ", 1)[1].splitlines()[0]
        self.asked.append(path)
        return self.table[path]


@pytest.fixture
def author(monkeypatch: pytest.MonkeyPatch) -> Author:
    made = Author()
    monkeypatch.setattr(LanguageModel, "load", lambda source: made)
    return made


def parts(source: Source = SOURCE, writes: Prompt | None = PROMPT) -> Parts:
    return Parts(None, source, Prompt.load("category.v1"), None, writes)


def run_enrich(folder: Path, source: Source = SOURCE, taxonomy: Taxonomy = SHOP) -> Taxonomy:
    return enrich(taxonomy, parts(source), Workspace.create(folder))


@pytest.mark.parametrize(
    ("said", "words", "titles"),
    [
        (" matcha, oolong, green tea", ("matcha", "oolong", "green tea"), ()),
        ("matcha\n- oolong\n* sencha\n3. mate", ("matcha", "oolong", "sencha", "mate"), ()),
        ("Words: matcha; oolong.", ("matcha", "oolong"), ()),
        ("Tea, teas, TEA, matcha, Matcha", ("matcha",), ()),
        ("<b>matcha</b>, [oolong](x), **sencha**, `mate`, http://x.com", ("sencha", "mate"), ()),
        (f"{'x' * WORD_LENGTH}, {'x' * (WORD_LENGTH + 1)}, 12, -, a, \u0000z", ("x" * WORD_LENGTH,), ()),
        ("matcha\nTitles: Sencha tin, 50 g; Mate; Mate\n\nCategory: Jam\nWords: plum", ("matcha",), ("Sencha tin, 50 g", "Mate")),
        ("matcha\nCategory: Jam\nTitles: Plum jam", ("matcha",), ()),
        ("抹茶、乌龙；茶\n标题：龙井 50克；抹茶粉", ("抹茶", "乌龙", "茶"), ("龙井 50克", "抹茶粉")),
        ("Titles: Sencha", (), ("Sencha",)),
        ("", (), ()),
        ("\n\n\n", (), ()),
        ("99���9", (), ()),
    ],
)
def test_what_is_kept_of_an_answer(said: str, words: tuple[str, ...], titles: tuple[str, ...]) -> None:
    assert parse(said, "Tea") == Written(words, titles)


def test_no_more_words_than_a_category_needs() -> None:
    assert len(parse(", ".join(f"word{letter}" for letter in "abcdefghijklmnopqrst"), "Tea").words) == MOST_WORDS


def test_every_category_is_asked_about_once_with_its_path_and_siblings(author: Author, tmp_path: Path) -> None:
    writer = Writer(SOURCE, PROMPT, SHOP, tmp_path / "written.jsonl")
    found = writer.write([TEA, COFFEE])
    assert found == {
        TEA: Written(("oolong", "sencha"), ("Sencha tin 50 g",)),
        COFFEE: Written(("espresso", "beans"), ("Espresso beans 1 kg",)),
    }
    assert writer._question(TEA).endswith("Category: Drinks > Tea\nBeside it: Coffee\nWords:")
    assert Writer(SOURCE, PROMPT, SHOP, tmp_path / "written.jsonl").write([TEA, COFFEE]) == found
    assert author.asked == ["Drinks > Tea", "Drinks > Coffee"]


def test_another_model_another_prompt_or_another_question_is_asked_anew(author: Author, tmp_path: Path) -> None:
    file = tmp_path / "written.jsonl"
    longer = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Drinks > Water", "Pets"])
    others = [(SOURCE, PROMPT, SHOP), (Source("tiny", "nowhere", "1"), PROMPT, SHOP), (SOURCE, PROMPT, longer)]
    for source, prompt, taxonomy in others:
        Writer(source, prompt, taxonomy, file).write([TEA])
    assert author.asked == ["Drinks > Tea"] * 3


def test_a_kill_costs_one_answer_and_half_a_line_is_forgotten(author: Author, tmp_path: Path) -> None:
    file = tmp_path / "written.jsonl"
    author.dies_after = 2
    with pytest.raises(KeyboardInterrupt):
        Writer(SOURCE, PROMPT, SHOP, file).write(SHOP.classes)
    file.write_bytes(file.read_bytes()[:-9])  # the second answer lost its end
    author.dies_after = 99
    assert set(Writer(SOURCE, PROMPT, SHOP, file).write(SHOP.classes)) == {TEA, COFFEE, PETS}
    assert author.asked == ["Drinks > Tea", "Drinks > Coffee", "Drinks > Coffee", "Pets"]
    assert set(Writer(SOURCE, PROMPT, SHOP, file).write(SHOP.classes)) == {TEA, COFFEE, PETS}
    assert len(author.asked) == 4


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_a_real_model_writes_the_same_twice_and_no_more_than_it_may(kind: str, tmp_path: Path) -> None:
    lm = load(save(tmp_path, kind))
    said = lm.write("Category: Tea\nWords:", 12)
    assert said
    assert said == lm.write("Category: Tea\nWords:", 12)
    assert len(lm.tokenizer(said)["input_ids"]) <= 4 * 12
    assert len(lm.write("tea " * 900, 12)) > 0  # longer than its context


def test_what_cannot_write_says_so(tmp_path: Path) -> None:
    lm = load(save(tmp_path, "llama"))
    lm.model.can_generate = lambda: False
    with pytest.raises(ModelError, match=r"cannot write text -> leave out `models: \{enrich: true\}`"):
        lm.write("Words:", 4)


def test_words_become_aliases_and_titles_examples(author: Author, tmp_path: Path) -> None:
    said = run_enrich(tmp_path / "w")
    assert (said[TEA].aliases, said[TEA].examples) == (("oolong", "sencha"), ("Sencha tin 50 g",))
    assert said[PETS].aliases == ("kibble",)
    assert said.classes == SHOP.classes
    assert SHOP[TEA].aliases == ()
    text = (tmp_path / "w" / "enriched.yaml").read_text(encoding="utf-8")
    assert (
        f"  {TEA}:\n    by: tiny 0123456789ab, enrich.v1 {PROMPT.hash}\n    words: [oolong, sencha]\n    titles: [Sencha tin 50 g]\n"
        in text
    )


def test_without_a_prompt_to_write_by_nothing_is_asked_or_read(author: Author, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    workspace.enriched.write_text("categories: nonsense", encoding="utf-8")
    assert enrich(SHOP, parts(writes=None), workspace) is SHOP
    assert author.asked == []


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "enriched.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_refused_word_stays_refused_whichever_model_writes_it_again(author: Author, tmp_path: Path) -> None:
    run_enrich(tmp_path)
    edit(tmp_path, "words: [oolong, sencha]", "words: [sencha]\n    refused: [Oolong]  # we sell none")
    assert run_enrich(tmp_path)[TEA].aliases == ("sencha",)
    author.table["Drinks > Tea"] = "oolong, matcha"
    assert run_enrich(tmp_path, Source("other", "nowhere", "2"))[TEA].aliases == ("matcha",)
    assert author.asked.count("Drinks > Tea") == 2
    assert "refused: [Oolong]  # we sell none" in (tmp_path / "enriched.yaml").read_text(encoding="utf-8")
    assert run_enrich(tmp_path, Source("other", "nowhere", "2"))[TEA].aliases == ("matcha",)
    assert author.asked.count("Drinks > Tea") == 2


def test_an_edited_entry_is_never_written_anew_and_others_are(author: Author, tmp_path: Path) -> None:
    run_enrich(tmp_path)
    edit(tmp_path, "words: [oolong, sencha]", "words: [builder's brew, sencha]")
    author.table |= {"Drinks > Tea": "nonsense", "Pets": "leash"}
    said = run_enrich(tmp_path, Source("other", "nowhere", "2"))
    assert (said[TEA].aliases, said[PETS].aliases) == (("builder's brew", "sencha"), ("leash",))
    assert author.asked.count("Drinks > Tea") == 1


def test_an_entry_by_hand_holds_an_emptied_one_too_and_a_deleted_one_is_written(author: Author, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    workspace.enriched.write_text(
        f"categories:\n  {TEA}:\n    words: [chai]\n  {COFFEE}:\n    words: []\n  gone: {{words: [x]}}\n", encoding="utf-8"
    )
    said = run_enrich(tmp_path)
    assert (said[TEA].aliases, said[COFFEE].aliases, said[PETS].aliases) == (("chai",), (), ("kibble",))
    assert author.asked == ["Pets"]
    assert set(read_enriched(workspace.enriched)) == {TEA, COFFEE, PETS, "gone"}


def test_what_is_written_and_read_back_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "enriched.yaml"
    entry = Entry(("no", "007", "a: b"), ("Tin, 50 g",), by="tiny 1, enrich.v1 0")
    write_enriched(file, {TEA: entry})
    assert read_enriched(file) == {TEA: entry}
    assert spoken(SHOP, {TEA: entry})[TEA].aliases == ("no", "007", "a: b")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", "", "the file is empty -> delete it"),
        ("- tea", ":1", "the file is no mapping"),
        ("categories:\n  tea: [chai]", ":2", "'tea' is no mapping -> write `words: [...]` below it"),
        ("categories:\n  tea:\n    wrods: [chai]", ":3", "'tea' has the unknown key 'wrods' -> did you mean 'words'?"),
        ("categories:\n  tea:\n    words: [yes, 1.50]", ":3", "`words` holds '1.5', which YAML does not read as text"),
        ("categories:\n  tea:\n    words: [chai", ":3", "this is not valid YAML"),
        ("category:\n  tea: {}", ":1", "the file has the unknown key 'category'"),
        ("categories: [tea]", ":1", "`categories` is no mapping"),
    ],
)
def test_a_broken_file_is_told_with_its_line(text: str, line: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "enriched.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TaxonomyError) as caught:
        read_enriched(file)
    assert str(caught.value).startswith(f"{file}{line}: {problem}")


def test_words_are_asked_for_where_a_model_can_write_them_alone() -> None:
    assert resolve(ModelSettings(enrich=True, lm="folder")).enrich
    assert not resolve(ModelSettings(lm="folder")).enrich
    with pytest.raises(ModelError, match="there is no language model to write them -> name one"):
        resolve(ModelSettings(enrich=True))


def test_the_taxonomys_file_turns_it_on(shop: Path, run: Run) -> None:
    file = shop / "taxonomy.yaml"
    text = file.read_text(encoding="utf-8")
    for said, wanted in (("true", True), ("false", False)):
        file.write_text(text.replace("language: zh\n", f"language: zh\nmodels: {{enrich: {said}}}\n"), encoding="utf-8")
        assert read_taxonomy_file(file).models.enrich is wanted
    assert run("bootstrap", "taxonomy.yaml").code == 0
    file.write_text(text.replace("language: zh\n", "language: zh\nmodels:\n  enrich: perhaps\n"), encoding="utf-8")
    assert run("bootstrap", "taxonomy.yaml").talk == ["Error: taxonomy.yaml:6: `enrich` is 'perhaps' -> write true or false"]
    file.write_text(text.replace("language: zh\n", "language: zh\nmodels: {enrich: true}\n"), encoding="utf-8")
    refused = run("bootstrap", "taxonomy.yaml")
    assert (refused.code, refused.out) == (2, "")
    assert "taxonomy.yaml:5: `enrich` asks for words of categories, and there is no language model to write them" in refused.err


def products(texts: Sequence[str]) -> list[Product]:
    return [Product(str(number), text) for number, text in enumerate(texts)]


def test_the_whole_way_with_a_tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model writes gibberish, which changes what is said of the category; an edit makes the next bootstrap learn anew."""
    lm = save(tmp_path / "lm", "llama")
    taxonomy = Taxonomy.from_paths(["茶叶", "咖啡"], language="zh")
    catalogue = products(["绿茶 茶叶", "咖啡豆", "龙井 礼盒", "拿铁 速溶"])
    settings = ModelSettings(lm=str(lm), enrich=True)

    def tagger() -> Tagger:
        return Tagger(taxonomy, preset=settings, workspace=tmp_path / "w")

    first = tagger()
    assert not first.bootstrap(catalogue).unchanged
    said = read_enriched(tmp_path / "w" / "enriched.yaml")
    assert set(said) == set(taxonomy.classes)
    assert all(entry.by.startswith(str(lm)) and "enrich.zh.v1" in entry.by for entry in said.values())
    asked: list[Any] = []
    monkeypatch.setattr(LanguageModel, "write", lambda *told, **more: asked.append(told))
    assert tagger().bootstrap(catalogue).unchanged
    write_enriched(tmp_path / "w" / "enriched.yaml", {taxonomy.classes[0]: Entry(("龙井",), by="")})
    second = tagger()
    assert not second.bootstrap(catalogue).unchanged
    assert asked == []
    before, after = (each.predict_proba(["龙井 礼盒"])[0, 0] for each in (first, second))
    assert after > before + 0.01
    second.save(tmp_path / "saved")
    assert (Tagger.load(tmp_path / "saved").predict_proba(catalogue) == second.predict_proba(catalogue)).all()
    assert first.taxonomy.classes == second.classes_


def test_what_is_shown_of_each_category(shop: Path, run: Run) -> None:
    assert run("taxonomy", "show", "--enriched").code == 2  # no workspace yet
    assert run("bootstrap", "taxonomy.yaml").code == 0
    Path(".fewtag/enriched.yaml").write_text("categories:\n  tea: {by: tiny, words: [龙井, 毛尖], refused: [毛尖]}\n", encoding="utf-8")
    said = run("taxonomy", "show", "--enriched")
    assert said.code == 0
    assert "饮料 > 茶叶\n  words by tiny: 龙井\n  refused: 毛尖\n饮料 > 咖啡\n  nothing yet\n" in said.out
    Path(".fewtag/enriched.yaml").write_text("categories:\n  tea: 龙井\n", encoding="utf-8")
    broken = run("taxonomy", "show", "--enriched")
    assert (broken.code, broken.out) == (2, "")
    assert "enriched.yaml:2: 'tea' is no mapping" in broken.err


def test_mined_words_are_shown_but_refused_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewtag import enrichment

    workspace = Workspace.create(tmp_path / "w")
    write_enriched(workspace.enriched, {TEA: Entry(("oolong",), by="tiny")})
    edit(workspace.root, "titles: []", "titles: []\n    refused: [matcha]")
    monkeypatch.setattr(enrichment, "_mined", lambda *given: {TEA: ("sencha", "matcha"), COFFEE: ("beans",)})
    shown = {row.category: row for row in look_up(workspace, SHOP)}
    assert shown[TEA].mined == ("sencha",)
    assert (shown[TEA].entry.words, shown[COFFEE].mined, shown[PETS].mined) == (("oolong",), ("beans",), ())
    assert shown[TEA].path == "Drinks > Tea"


def test_words_are_mined_from_the_catalogue_by_the_tags_in_the_ledger(shop: Path, run: Run) -> None:
    rows = [
        *(f"T{n},绿茶 毛尖,山" for n in range(30)),
        *(f"C{n},咖啡豆 曼特宁,早" for n in range(30)),
        *(f"J{n},橙汁 鲜榨,果" for n in range(30)),
    ]
    (shop / "products.csv").write_text("sku,title,brand\n" + "\n".join(rows) + "\n", encoding="utf-8")
    run("bootstrap", "taxonomy.yaml")
    mined = {row.path: row.mined for row in look_up(Workspace(shop / ".fewtag"), Taxonomy.load(shop / "taxonomy.yaml"))}
    assert "毛尖" in mined["饮料 > 茶叶"]
    assert "绿茶" not in mined["饮料 > 茶叶"]  # an alias
    assert any("曼特宁".startswith(word) or word in "曼特宁" for word in mined["饮料 > 咖啡"])
    assert "鲜榨" in mined["饮料 > 果汁"]
    assert mined["日用 > 香皂"] == ()
    assert "mined: " in run("taxonomy", "show", "--enriched").out
