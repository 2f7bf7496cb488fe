"""The command line where all goes well: data on stdout, talk on stderr, and the next step in the last line of talk.

The trap: what is on stdout is read by programs, so every assertion on it is on the whole of it, or on what a parser makes of it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import PRODUCTS, TAXONOMY, Run
from pyarrow import parquet

import fewtag
from fewtag import cli
from fewtag.errors import WorkspaceError
from fewtag.store import Ledger, StoredTag
from fewtag.taxonomy import Taxonomy

BY_HAND = {
    "A1": "tea",
    "A2": "tea",
    "A3": "饮料/咖啡",
    "A4": "饮料/咖啡",
    "A5": "juice",
    "A6": "juice",
    "A7": "soap",
    "A8": "soap",
    "A9": "日用/牙膏",
    "A10": "日用/牙膏",
    "A11": "towels",
    "A12": "towels",
}
ALL_TAGGED = {"products": 12, "tagged": 12, "backed_off": 0, "abstained": 0, "labelled": 0}
ALL_TAGGED |= {"resumed_at": 0, "unchanged": False, "relearnt": False}
VOICES = [
    "小店: 8 categories, 6 of them assignable, in language 'zh'",
    "encoder: character n-grams of the catalogue alone, as no encoder of this preset speaks 'zh'",
    "language model: none, encoder scores decide alone",
    "an encoder that does comes with `--preset multilingual` or `--preset chinese`, from the Hugging Face hub",
]
IDS_MADE = "2 categories had no id; the ids made from their paths now stand in taxonomy.yaml"
NEXT = "Next: `fewtag status` shows the categories, `fewtag explain PRODUCT_ID` one product, `fewtag export -o FILE` writes all tags."
HEAVY = {"torch", "transformers", "sentence_transformers", "sklearn", "numpy", "sqlalchemy"}
LOADED = """
import atexit, sys
from fewtag.cli import main
atexit.register(lambda: print("loaded:", sorted(%r & set(sys.modules))))
main()
"""


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert old in text
    Path(file).write_text(text.replace(old, new, 1), encoding="utf-8")


def stored(root: Path = Path(".fewtag")) -> list[StoredTag]:
    with Ledger.open(root / "fewtag.db") as ledger:
        return list(ledger.latest())


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python in a process of its own."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=False, env=os.environ | environment)


def test_a_stop_while_the_command_line_loads_or_after_its_end_leaves_no_traceback() -> None:
    stopped = """
import atexit, signal, sys, types
class Loading(types.ModuleType):
    def __getattr__(self, name): raise KeyboardInterrupt
sys.modules["fewtag.cli"] = Loading("fewtag.cli")
atexit.register(lambda: print(signal.getsignal(signal.SIGINT).name))
from fewtag.__main__ import main
main()
"""
    found = python(stopped)
    assert (found.returncode, found.stdout.split(), found.stderr.split()) == (130, [b"SIG_IGN"], [b"Stopped."])


def test_bootstrap_tags_every_product_and_says_what_it_listens_to(shop: Path, run: Run) -> None:
    said = run("bootstrap", "taxonomy.yaml")
    assert said.code == 0
    assert said.out == "12 products: 12 tagged, 0 backed off to a parent, 0 left open\n"
    assert said.talk == [*VOICES, f"Everything is kept in {shop / '.fewtag'}", IDS_MADE, NEXT]
    assert {each.tag.product_id: each.tag.category for each in stored()} == BY_HAND


def test_bootstrap_writes_the_missing_ids_and_nothing_else_into_the_taxonomy(tagged: Path) -> None:
    text = TAXONOMY.replace("- name: 咖啡  # beans too", "- id: 饮料/咖啡\n        name: 咖啡  # beans too")
    text = text.replace("- name: 牙膏", "- id: 日用/牙膏\n        name: 牙膏")
    assert (tagged / "taxonomy.yaml").read_text(encoding="utf-8") == text


def test_bootstrap_leaves_a_taxonomy_alone_that_cannot_be_written(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(path: Path) -> int:
        raise WorkspaceError("the file system is read-only", mend="name a folder that can be written with --workspace", where=path)

    monkeypatch.setattr("fewtag.taxonomy_file.write_ids", refuses)
    said = run("bootstrap", "taxonomy.yaml")
    assert (said.code, said.out) == (0, "12 products: 12 tagged, 0 backed off to a parent, 0 left open\n")
    told = (
        "Categories without an id are known by their paths; the ids could not be written into taxonomy.yaml: the file system is read-only"
    )
    assert said.talk == [*VOICES, f"Everything is kept in {shop / '.fewtag'}", told, NEXT]


def test_bootstrap_again_does_nothing_and_says_so(tagged: Path, run: Run) -> None:
    said = run("bootstrap", "taxonomy.yaml")
    assert said.talk == [*VOICES, "Nothing has changed since the last run: its tags stand.", NEXT]
    assert said.out == "12 products: 12 tagged, 0 backed off to a parent, 0 left open\n"
    assert {each.run_id for each in stored()} == {1}


def test_bootstrap_prints_json_for_machines(shop: Path, run: Run) -> None:
    assert json.loads(run("bootstrap", "taxonomy.yaml", "--json").out) == ALL_TAGGED
    assert json.loads(run("bootstrap", "taxonomy.yaml", "--json").out) == ALL_TAGGED | {"unchanged": True, "relearnt": False}


def test_where_nothing_is_sure_enough_nothing_is_tagged(shop: Path, run: Run) -> None:
    (shop / "products.csv").write_text("sku,title,brand\n" + "".join(f"A{number},{number:03b},\n" for number in range(8)), encoding="utf-8")
    said = run("bootstrap", "taxonomy.yaml", "--json")
    assert json.loads(said.out) == ALL_TAGGED | {"products": 8, "tagged": 0, "abstained": 8}
    assert said.talk[-2:] == [
        "Most products are left open: `fewtag bootstrap taxonomy.yaml --precision 0.5` tags more of them, less surely.",
        NEXT,
    ]
    low = run("bootstrap", "taxonomy.yaml", "--precision", "0.5", "--json")
    assert json.loads(low.out)["tagged"] == 0
    assert not any("left open" in line for line in low.talk), "less is no advice where that little was asked for"


def test_a_demand_for_certainty_tags_nothing(shop: Path, run: Run) -> None:
    outcome = json.loads(run("bootstrap", "taxonomy.yaml", "--precision", "1", "--json").out)
    assert (outcome["products"], outcome["tagged"], outcome["backed_off"] + outcome["abstained"]) == (12, 0, 12)


def test_bootstrap_takes_another_catalogue(shop: Path, run: Run) -> None:
    (shop / "few.csv").write_text("".join(PRODUCTS.splitlines(keepends=True)[:4]), encoding="utf-8")
    assert run("bootstrap", "taxonomy.yaml", "--catalogue", "few.csv").out.startswith("3 products: ")
    assert [each.tag.product_id for each in stored()] == ["A1", "A2", "A3"]


def test_bootstrap_listens_to_the_preset_of_the_command_line(shop: Path, run: Run) -> None:
    edit("taxonomy.yaml", "language: zh", "language: zh\nmodels: {preset: base}")
    assert run("bootstrap", "taxonomy.yaml", "--preset", "embedded").code == 0


def test_a_taxonomy_names_its_catalogue_and_models_from_its_own_folder(
    shop: Path, run: Run, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, shop / "encoder")
    edit("taxonomy.yaml", "language: zh", "language: zh\nmodels: {encoder: encoder}")
    (shop / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    said = run("bootstrap", "../taxonomy.yaml")
    assert said.code == 0
    assert said.talk[1] == f"encoder: {shop / 'encoder'}, with character n-grams of the catalogue beside it"
    assert len(stored()) == 12
    assert {each.model.name for each in stored()} == {str(shop / "encoder")}
    assert run("explain", "A1").out.startswith("A1: 西湖绿茶 250g 山云\n-> ")


@pytest.mark.slow
def test_an_english_shop_is_tagged_by_the_embedded_encoder(shop: Path, run: Run) -> None:
    categories = "[{id: tea, name: Tea}, {id: tools, name: Garden tools}, {id: dolls, name: Dolls}]"
    (shop / "taxonomy.yaml").write_text(f"catalogue: {{file: products.csv}}\ncategories: {categories}\n", encoding="utf-8")
    products = (
        "id,title\n1,Loose leaf oolong\n2,Earl Grey 100 bags\n3,Hedge shears\n4,Steel rake\n5,Baby with moving eyes\n6,Rag princess\n"
    )
    (shop / "products.csv").write_text(products, encoding="utf-8")
    said = run("bootstrap", "taxonomy.yaml", "--precision", "0.01")
    assert said.talk[1] == "encoder: product-minilm, with character n-grams of the catalogue beside it"
    assert [each.tag.alternatives[0][0] for each in stored()] == ["tea", "tea", "tools", "tools", "dolls", "dolls"]
    assert [each.tag.category for each in stored()] == ["tea", "tea", "tools", "tools", "dolls", "dolls"]


@pytest.fixture
def stopped(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a bootstrap says that Ctrl-C has stopped after the first five of twelve products."""
    add_tags = Ledger.add_tags

    def stops(self: Ledger, work: Any, model: Any, batch: Any) -> None:
        if self.tagged_count(work):
            raise KeyboardInterrupt
        add_tags(self, work, model, batch)

    with monkeypatch.context() as patch:
        patch.setattr("fewtag.tagger.TAGS_PER_BATCH", 5)
        patch.setattr(Ledger, "add_tags", stops)
        said = run("bootstrap", "taxonomy.yaml")
    assert (said.code, said.out) == (130, "")
    return said.talk


def test_ctrl_c_ends_a_bootstrap_with_a_word_and_130(stopped: list[str]) -> None:
    assert stopped == [*VOICES, "Stopped: the same command goes on where it was."]
    assert len(stored()) == 5


def test_a_stopped_bootstrap_goes_on_and_ends_with_the_same_tags(stopped: list[str], run: Run) -> None:
    half = run("status")
    assert half.out.splitlines()[0].endswith(", not finished: run the same command again")
    said = run("bootstrap", "taxonomy.yaml")
    assert said.talk == [*VOICES, IDS_MADE, "Went on behind the 5 products of the interrupted run.", NEXT]
    assert said.out == "12 products: 12 tagged, 0 backed off to a parent, 0 left open\n"
    assert {each.run_id for each in stored()} == {1}
    assert run("bootstrap", "taxonomy.yaml", "--workspace", "whole").code == 0
    assert [each.tag for each in stored()] == [each.tag for each in stored(Path("whole"))]


def test_ctrl_c_ends_any_command_with_130(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(workspace: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fewtag.status.read_status", stops)
    said = run("status")
    assert (said.code, said.out, said.talk) == (130, "", ["Stopped."])


def test_train_learns_from_labels_and_says_what_came_of_it(tagged: Path, run: Run) -> None:
    for product_id, category in (("A8", "soap"), ("A12", "towels"), ("A1", "tea")):
        assert run("label", "add", product_id, category, "--by", "ann").code == 0
    said = run("train", "--quick")
    assert said.code == 0
    assert said.out == "12 products: 12 tagged (3 of them by their labels), 0 backed off to a parent, 0 left open\n"
    assert said.talk[0] == "Labels: 3, of 3 categories; the other 3 are guessed from their names"
    held_out = r"of 3 labels held out, right without it (.{5}), with (.{5}), and the truth (\d\.\d\d) times as likely"
    told = re.fullmatch(rf"few-shot speaks for 3 categories; {held_out}", said.talk[1])
    assert told
    assert {each.tag.product_id: each.tag.stage for each in stored()}["A8"] == "label"
    again = run("train", "--quick")
    assert again.talk[2] == "Nothing has changed since the last training, and nothing was tagged anew."
    assert json.loads(run("train", "--quick", "--json").out)["training"]["warm"] == 3
    lines = run("status").out.splitlines()
    assert lines[1].startswith("12 tagged (3 of them by their labels), 0 backed off")
    assert "3 by label" in lines
    assert any("by few-shot" in line for line in lines)
    place = lines.index(" labels        F1 held out  branch: rungs; reason; what would help most")
    assert said.talk[-1].startswith("Next: `fewtag report` lists labels that may be wrong")
    assert [line.split()[0] for line in lines[place + 1 : place + 3]] == ["2", "1"]
    gained = r"labels (gain|lose) \d+ points on 2 held out, which may be chance"
    reason = rf"(with labels about as many are right as without, of 2 held out|{gained})"
    assert re.search(rf"日用: \d few-shot, \d zero-shot; {reason}; label \w+ > .+%", lines[place + 1])


def test_propagate_shows_keeps_and_takes_back(shop: Path, run: Run) -> None:
    kinds = {"绿茶 茶叶 龙井": "tea", "咖啡豆 深烘": "饮料/咖啡", "香皂 橄榄": "soap"}
    rows = [
        (f"B{number}{place}", f"{text} 第{number}款", category)
        for number in range(20)
        for place, (text, category) in enumerate(kinds.items())
    ]
    (shop / "products.csv").write_text("sku,title,brand\n" + "".join(f"{sku},{text},\n" for sku, text, _ in rows), encoding="utf-8")
    (shop / "labels.csv").write_text("sku,category\n" + "".join(f"{sku},{category}\n" for sku, _, category in rows[:30]), encoding="utf-8")
    run("bootstrap", "taxonomy.yaml")
    assert run("label", "import", "labels.csv", "--by", "ann").code == 0
    few = run("propagate", "--dry-run", "--audit", "1000")
    there = len(list(csv.DictReader(io.StringIO(few.out))))
    assert f"The audit has all {there} that there are, fewer than the 1000 that were asked for." in few.talk
    dry = run("propagate", "--dry-run", "--audit", "3")
    shown = list(csv.DictReader(io.StringIO(dry.out)))
    assert len(shown) == 3
    assert {row["category"] for row in shown} <= set(kinds.values())
    assert all(row["text"] and json.loads(row["sources"]) and row["right"] == "" for row in shown)
    assert dry.talk[-1] == "Next: the same without --dry-run keeps these tags."
    kept = run("propagate")
    assert (kept.code, kept.out) == (0, "")
    assert kept.talk[-1].startswith("Next: `fewtag propagate --undo 3` takes this back")
    count = int(kept.talk[0].split()[0])
    assert f"{count} by neighbours (character n-grams)" in run("status").out
    spread = shown[0]["product_id"]
    lines = run("explain", spread).out.splitlines()
    assert re.fullmatch(r"-> .*, \d\.\d\d \(neighbours\)", lines[1])
    told = r"Spread to it from labels of products that were like it then: (B\d+ \(\d\.\d\d\)(, )?)+\. The rungs would say .* \(zero-shot\):"
    assert re.fullmatch(told, lines[2])
    assert "has changed" not in "".join(lines)
    again = run("propagate")
    assert again.talk[0] == f"Nothing has changed since run 3: its {count} tags stand."
    assert again.talk[-1].startswith("Next: `fewtag propagate --undo 3` takes this back")
    audit(shop, shown)
    answered = run("propagate", "--answers", "audit.csv", "--by", "bob")
    # Wilson by hand for 1 of 2: (1/2 + z²/4 ± z sqrt(1/8 + z²/16)) / (1 + z²/2) with z = 1.96
    told = "1 of 2 are right: a precision of 0.500, with 95% confidence between 0.095 and 0.905"
    assert answered.out.splitlines() == [told, "2 labels: 2 new, 0 already there, 0 in conflict"]
    assert answered.talk[:2] == [
        "Rows without an answer: 1. Where those are the hard ones, the true precision is lower.",
        "`fewtag label undo --run 4` takes this import back.",
    ]
    listed = list(csv.DictReader(io.StringIO(run("label", "list").out)))[-2:]
    assert [(row["product_id"], row["negative"], row["source"]) for row in listed] == [
        (shown[0]["product_id"], "False", "bob"),
        (shown[1]["product_id"], "True", "bob"),
    ]
    assert run("label", "undo", "--run", "4").out == "2 labels taken back\n"
    assert run("propagate", "--undo", "3").out == f"Tagged again as before run 3: {count} products\n"
    assert "neighbours" not in run("status").out


def audit(shop: Path, rows: list[dict[str, str]]) -> None:
    """Fill in three rows of an audit: right, wrong, and left open."""
    with (shop / "audit.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"right": said} for row, said in zip(rows, ("y", "n", ""), strict=True))


def test_status_shows_the_run_and_the_categories(tagged: Path, run: Run) -> None:
    said = run("status")
    lines = said.out.splitlines()
    assert lines[0].startswith("小店: 12 products in a run of 20")
    assert ", finished 20" in lines[0]
    assert lines[1:9] == [
        "12 tagged, 0 backed off to a parent, 0 left open; 0 labels",
        "12 by zero-shot (character n-grams)",
        "encoder: character n-grams of the catalogue alone, as no encoder of this preset speaks 'zh'",
        "language model: none, encoder scores decide alone",
        "an encoder that does comes with `--preset multilingual` or `--preset chinese`, from the Hugging Face hub",
        "Precision 0.9 is not proven: there are no labels to hold out, and 62 or more are needed. "
        "Tags go by what the models hold likely, at 0.9.",
        "",
        "   tags  confidence  category",
    ]
    paths = ["日用 > 毛巾", "日用 > 牙膏", "日用 > 香皂", "饮料 > 咖啡", "饮料 > 果汁", "饮料 > 茶叶"]
    assert lines[9:] == [f"      2        1.00  {path}" for path in paths]
    assert said.talk == ["Next: `fewtag explain PRODUCT_ID`, or `fewtag tag FILE -o OUT` for other products."]


def test_status_shows_twenty_categories_and_says_how_many_more_there_are(shop: Path, run: Run) -> None:
    names = [chr(0x4E00 + number) for number in range(23)]
    (shop / "taxonomy.yaml").write_text(f"language: zh\ncatalogue: {{file: products.csv}}\ncategories: [{', '.join(names)}]\n")
    (shop / "products.csv").write_text("title\n" + "".join(f"{name}{name}\n" for name in names), encoding="utf-8")
    assert run("bootstrap", "taxonomy.yaml", "--precision", "0.01").code == 0
    lines = run("status").out.splitlines()
    assert len(lines) == 9 + 20 + 1
    assert lines[-1] == "    ... and 3 more: `fewtag taxonomy show`, or --json"
    assert len(json.loads(run("status", "--json").out)["categories"]) == 23


def test_status_prints_json_for_machines(tagged: Path, run: Run) -> None:
    found = json.loads(run("status", "--json").out)
    assert found["schema"] == "fewtag.status/1"
    assert {name: found[name] for name in ("taxonomy", "products", "tagged", "backed_off", "abstained", "labels")} == {
        "taxonomy": "小店",
        "products": 12,
        "tagged": 12,
        "backed_off": 0,
        "abstained": 0,
        "labels": 0,
    }
    assert found["voices"] == [["zero-shot", "character n-grams", 12]]
    assert [(each["category"], each["tags"]) for each in found["categories"]][:2] == [("towels", 2), ("日用/牙膏", 2)]


def test_tag_prints_csv_where_no_file_is_named(tagged: Path, run: Run) -> None:
    (tagged / "new.csv").write_text("sku,title,brand\nN1,大红袍 红茶,山云\nN2,柠檬香皂,\n", encoding="utf-8")
    said = run("tag", "new.csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert list(rows[0]) == ["product_id", "category", "path", "confidence", "stage", "alternatives"]
    assert [(row["product_id"], row["category"], row["path"]) for row in rows] == [
        ("N1", "tea", "饮料 > 茶叶"),
        ("N2", "soap", "日用 > 香皂"),
    ]
    assert json.loads(rows[0]["alternatives"])[0] == ["tea", float(rows[0]["confidence"])]
    next_step = "Next: to keep tags of new products in the ledger, add them to the catalogue, and `fewtag bootstrap taxonomy.yaml` again."
    assert said.talk == ["2 products written to standard output", next_step]


def test_tag_writes_alternatives_that_hold_what_is_asked(tagged: Path, run: Run) -> None:
    (tagged / "new.csv").write_text("sku,title,brand\nN1,xyz,\n", encoding="utf-8")
    said = run("tag", "new.csv", "--hold", "0.99")
    [row] = csv.DictReader(io.StringIO(said.out))
    shares = [share for _, share in json.loads(row["alternatives"])]
    assert len(shares) > 5
    assert sum(shares) >= 0.989  # each is rounded
    assert said.talk[0].startswith("Alternatives are the categories that hold 0.99 of the probability together; labels are too few")
    wrong = run("tag", "new.csv", "--hold", "95")
    said_so = "Error: the share that alternatives are to hold is 95.0 -> give a number above 0 and up to 1, such as 0.9"
    assert (wrong.code, wrong.out, wrong.talk) == (2, "", [said_so])


def test_tag_leaves_the_ledger_as_it_is(tagged: Path, run: Run) -> None:
    before = stored()
    (tagged / "new.csv").write_text("sku,title,brand\nN1,大红袍 红茶,山云\nA5,柠檬香皂,\n", encoding="utf-8")
    assert run("tag", "new.csv").code == 0
    assert stored() == before


def test_tag_writes_the_same_rows_in_every_kind_of_file(tagged: Path, run: Run) -> None:
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        said = run("tag", "products.csv", "-o", name)
        assert (said.code, said.out, said.talk[0]) == (0, "", f"12 products written to {name}")
    assert run("tag", "products.csv").out.encode() == (tagged / "out.csv").read_bytes()
    rows = [json.loads(line) for line in (tagged / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["product_id"]: row["category"] for row in rows} == BY_HAND
    flat = [row | {"alternatives": json.dumps(row["alternatives"], ensure_ascii=False)} for row in rows]
    assert parquet.read_table(tagged / "out.parquet").to_pylist() == flat
    texts = [{name: str(value) for name, value in row.items()} for row in flat]
    assert list(csv.DictReader(io.StringIO((tagged / "out.csv").read_text(encoding="utf-8")))) == texts


def test_export_writes_the_tags_of_the_ledger_in_the_order_of_the_catalogue(tagged: Path, run: Run) -> None:
    said = run("export", "-o", "tags.jsonl")
    assert (said.code, said.out) == (0, "")
    assert said.talk == ["12 products written to tags.jsonl", "Next: `fewtag explain PRODUCT_ID` says why a product has its tag."]
    rows = [json.loads(line) for line in (tagged / "tags.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["product_id"], row["category"]) for row in rows] == list(BY_HAND.items())
    assert [row["path"] for row in rows[:3]] == ["饮料 > 茶叶", "饮料 > 茶叶", "饮料 > 咖啡"]
    exported = run("export").out
    assert exported == run("tag", "products.csv").out


def test_export_leaves_out_a_product_that_has_left_the_catalogue(tagged: Path, run: Run) -> None:
    edit("products.csv", "A12,大浴巾 加厚,柔\n", "")
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert [row["product_id"] for row in csv.DictReader(io.StringIO(run("export").out))] == list(BY_HAND)[:-1]


def test_export_of_tags_whose_category_is_gone_names_its_id(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    edit("taxonomy.yaml", "id: tea", "id: leaves")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add_tags", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run("bootstrap", "taxonomy.yaml").code == 130
    rows = list(csv.DictReader(io.StringIO(run("export").out)))
    assert [(row["category"], row["path"]) for row in rows[1:3]] == [("tea", "tea"), ("饮料/咖啡", "饮料 > 咖啡")]


@pytest.mark.parametrize(("command", "file"), [(("export",), "products.csv"), (("tag", "new.csv"), "new.csv")])
def test_products_are_not_overwritten_by_their_tags(tagged: Path, run: Run, command: tuple[str, ...], file: str) -> None:
    (tagged / "new.csv").write_text(PRODUCTS, encoding="utf-8")
    said = run(*command, "-o", file)
    assert said.talk == [f"Error: {file}: the products themselves are in this file -> write the tags to another one"]
    assert (said.code, (tagged / file).read_text(encoding="utf-8")) == (2, PRODUCTS)


def test_a_shops_folder_stands_for_the_workspace_in_it(tagged: Path, run: Run) -> None:
    assert run("status", "--workspace", str(tagged)).out == run("status").out
    assert "Nothing has changed since the last run: its tags stand." in run("bootstrap", "taxonomy.yaml", "--workspace", str(tagged)).talk


def test_train_says_that_the_taxonomy_has_been_edited_since(tagged: Path, run: Run) -> None:
    assert run("label", "add", "A8", "soap").code == 0
    assert not run("train", "--quick").talk[0].startswith("Mind")
    file = tagged / "taxonomy.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("name: 香皂", "name: 肥皂"), encoding="utf-8")
    told = f"Mind: {file} has changed since, and this goes by what it said then: run `fewtag bootstrap taxonomy.yaml`."
    assert run("train", "--quick").talk[0] == told
    again = run("bootstrap", file)
    relearnt = "Categories or models have changed, and what labels teach was learnt anew, quickly: `fewtag train` may do better."
    assert relearnt in again.talk
    assert next(each.tag.category for each in stored() if each.tag.product_id == "A8") == "soap"
    assert not run("train", "--quick").talk[0].startswith("Mind")
    file.unlink()
    assert run("train", "--quick").code == 0


def test_status_says_that_labels_wait_for_a_training(tagged: Path, run: Run) -> None:
    waits = "Labels given or taken back since the last training: {}. Next: `fewtag train`, or `fewtag train --quick`."
    for product_id, category in (("A8", "soap"), ("A12", "towels")):
        run("label", "add", product_id, category, "--by", "ann")
    assert run("status").talk == [waits.format(2)]
    run("train", "--quick")
    assert run("status").talk != [waits.format(0)]
    run("label", "undo", "A8", "--by", "ann")
    assert run("status").talk == [waits.format(1)]


def test_labels_whose_category_is_gone_are_left_aside_and_said_to_be(tagged: Path, run: Run) -> None:
    for product_id, category in (("A8", "soap"), ("A12", "towels")):
        run("label", "add", product_id, category, "--by", "ann")
    run("train", "--quick")
    file = tagged / "taxonomy.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if "id: towels" in line)
    file.write_text("\n".join([*lines[:place], *lines[place + 3 :]]) + "\n", encoding="utf-8")
    told = "Mind: 1 label left aside, of categories that are gone or assignable no more: towels"
    assert told in run("bootstrap", file).talk
    assert told in run("train").talk


def test_a_label_that_takes_the_place_of_an_earlier_one_is_counted(tagged: Path, run: Run) -> None:
    run("label", "add", "A8", "soap", "--by", "ann")
    said = run("label", "add", "A8", "soap", "--not", "--by", "ann")
    assert said.talk[0] == "Earlier labels of the same people that do not count any more: 1"


ALONE = "--undo and --answers each do one thing alone -> leave out the rest: --dry-run, --audit, or one of the two"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--undo", "4", "--dry-run"], ALONE),
        (["--answers", "a.csv", "--audit", "2"], ALONE),
        (["--audit", "-3"], "the audit is to draw -3 tags -> give 1 or more"),
        (["--precision", "1.5"], "the precision is 1.5 -> give a number above 0 and up to 1, such as 0.9"),
    ],
)
def test_a_propagation_that_cannot_be_is_refused_before_any_work(tagged: Path, run: Run, words: list[str], said: str) -> None:
    run("label", "add", "A8", "soap")
    before = stored()
    found = run("propagate", *words)
    assert (found.code, found.out, found.talk) == (2, "", [f"Error: {said}"])
    assert stored() == before


REFUSED = (
    "--search, --set, --tags and --rung fine-tune are for a fine-tune, which --quick and --rung few-shot refuse"
    " -> leave one or the other out"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "method=lorra"], "there is no method 'lorra' -> use one of full, frozen, lora, adalora, prefix"),
        (["--set", "epoch=3"], "there is no setting 'epoch=3' -> did you mean 'epochs'?"),
        (["--set", "epochs"], "there is no setting 'epochs' -> write NAME=VALUE, such as epochs=3"),
        (["--quick", "--search", "5"], REFUSED),
        (["--search", "-1"], "-1 settings are to be tried -> give 1 or more, or 0 to try none"),
        (["--tags", "1.5"], "tags that are learnt from are to count 1.5 -> give 0 or more, and less than a label's 1"),
        (
            ["--rung", "fine-tune"],
            "no classifier of this preset speaks 'zh' -> name one with `models: {classifier: ...}` in the taxonomy's file",
        ),
    ],
)
def test_a_training_that_cannot_be_is_refused_with_a_mend(tagged: Path, run: Run, words: list[str], said: str) -> None:
    assert run("label", "add", "A8", "soap").code == 0
    assert run("label", "add", "A1", "tea").code == 0
    found = run("train", *words)
    assert (found.code, found.out, found.talk[-1]) == (2, "", f"Error: {said}")


def test_a_precision_holds_until_another_is_asked_for(tagged: Path, run: Run) -> None:
    assert run("bootstrap", "taxonomy.yaml", "--precision", "0.5").code == 0
    said = run("bootstrap", "taxonomy.yaml")
    assert "Asked for is a precision of 0.5, as the last time: `--precision` asks for another." in said.talk
    assert "Nothing has changed since the last run: its tags stand." in said.talk
    assert fewtag.Tagger.from_file("taxonomy.yaml", workspace=".fewtag").precision == 0.5
    assert not any("as the last time" in line for line in run("bootstrap", "taxonomy.yaml", "--precision", "0.9").talk)
    assert fewtag.Tagger.from_file("taxonomy.yaml", workspace=".fewtag").precision == 0.9


def test_explain_says_where_the_ledger_says_something_else(tagged: Path, run: Run) -> None:
    edit("products.csv", "A3,速溶咖啡 30条,早安", "A3,红茶 茶叶,")
    lines = run("explain", "A3").out.splitlines()
    assert lines[1].startswith("-> 饮料 > 茶叶")
    assert lines[-2] == "The product's text, or what was learnt, has changed since the last bootstrap, which said:"
    assert ": 饮料 > 咖啡, " in lines[-1]


def test_row_numbers_for_ids_are_doubted(shop: Path, run: Run) -> None:
    edit("taxonomy.yaml", "id: sku, ", "")
    edit("products.csv", "sku", "Artikel")
    doubt = f"no column of {shop / 'products.csv'} is called like an id, so the numbers of its rows stand for ids, and move with them"
    for command in (("taxonomy", "check"), ("bootstrap",)):
        assert f"Doubtful: {doubt}" in run(*command, "taxonomy.yaml").talk


@pytest.mark.slow
def test_stdout_is_utf_8_whatever_the_terminal_speaks(tagged: Path, run: Run) -> None:
    run("tag", "products.csv", "-o", "out.csv")
    found = python("from fewtag.cli import main; main()", "tag", "products.csv", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert found.stdout == (tagged / "out.csv").read_bytes()


def test_explain_shows_the_candidates_and_the_history(tagged: Path, run: Run) -> None:
    said = run("explain", "A3")
    lines = said.out.splitlines()
    assert lines[:4] == [
        "A3: 速溶咖啡 30条 早安",
        "-> 饮料 > 咖啡, 1.00 (zero-shot)",
        "",
        "probability  zero-shot  similarity  before  calibrated  category (nearest words)",
    ]
    assert lines[4].startswith("      1.000")
    assert lines[4].endswith("  饮料 > 咖啡 (速溶咖啡)")
    assert len(lines[4:9]) == 5
    assert lines[10] == "饮料 1.00 > 咖啡 1.00: tagged is the deepest that is 0.9 sure, and much likelier than a guess"
    assert lines[12] == "without  the word; how likely 饮料 > 咖啡 is without it, with all 1.00"
    assert {line[9:] for line in lines[13 : lines.index("", 13)]} <= {"速溶", "溶咖", "咖啡", "30条", "早安"}
    assert lines[-1].endswith(": 饮料 > 咖啡, 1.00 (zero-shot) in run 1 of character n-grams")
    mend = "`fewtag label add A3 CATEGORY`, or give the category more aliases and `fewtag bootstrap taxonomy.yaml`"
    assert said.talk == [f"Next: where this is wrong, {mend}."]


def test_explain_says_whose_word_decides_and_whose_does_not(tagged: Path, run: Run) -> None:
    decides = "What people say of this very product decides. The rungs, which may have learnt from it, would say "
    assert run("label", "add", "A3", "soap", "--by", "ann").code == 0
    lines = run("explain", "A3").out.splitlines()
    assert lines[1] == "-> 饮料 > 咖啡, 1.00 (zero-shot)"
    assert re.fullmatch(r"ann says 日用 > 香皂 \(20.*\): the rungs do not heed it yet, `fewtag train` learns from it", lines[2])
    run("train", "--quick")
    said = run("explain", "A3")
    lines = said.out.splitlines()
    assert lines[1] == "-> 日用 > 香皂, by its label"
    assert re.fullmatch(r"ann says 日用 > 香皂 \(20.*\)", lines[2])
    assert lines[3].startswith(decides)
    assert said.talk == ["Next: where this is wrong, `fewtag label add A3 CATEGORY`."]
    assert re.fullmatch(r"20.*: 日用 > 香皂, by its label in run \d", lines[-2])
    run("label", "undo", "A3", "--by", "ann")
    lines = run("explain", "A3").out.splitlines()
    assert lines[2] == "ann says 日用 > 香皂: said no longer, which `fewtag train` learns"
    run("train", "--quick")
    assert run("explain", "A3").out.splitlines()[2] == ""


def test_explain_of_a_denial_tells_what_it_changes(tagged: Path, run: Run) -> None:
    for product_id, category in (("A3", "towels"), ("A5", "饮料")):
        assert run("label", "add", product_id, category, "--not", "--by", "ann").code == 0
    run("train", "--quick")
    assert not any(line.startswith("What people say") for line in run("explain", "A3").out.splitlines()), "the rungs say so too"
    lines = run("explain", "A5").out.splitlines()
    assert re.fullmatch(r"ann says not 饮料 \(20.*\)", lines[2])
    assert "饮料" not in lines[1]
    assert lines[3].endswith("would say 饮料 > 果汁, 1.00 (zero-shot):")


def test_a_label_of_a_text_that_has_changed_since_is_not_heeded_and_said_to_be(tagged: Path, run: Run) -> None:
    run("label", "add", "A3", "soap", "--by", "ann")
    run("train", "--quick")
    edit("products.csv", "A3,速溶咖啡 30条,早安", "A3,红茶 茶叶,")
    run("bootstrap", "taxonomy.yaml")
    lines = run("explain", "A3").out.splitlines()
    assert lines[1].startswith("-> 饮料 > 茶叶")
    assert lines[2].endswith("): not heeded, as the product's text was another one then; say it again if it still holds")


def test_advice_names_the_taxonomy_and_the_workspace_as_they_are_called_from_here(
    tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advised() -> str:
        [command] = re.findall(r"`(fewtag bootstrap[^`]*)`", run("explain", "A3", *named).err)
        return str(command)

    named: tuple[str, ...] = ()
    assert advised() == "fewtag bootstrap taxonomy.yaml"
    (tagged / "deep").mkdir()
    monkeypatch.chdir("deep")
    assert shlex.split(advised()) == ["fewtag", "bootstrap", str(tagged / "taxonomy.yaml"), "--workspace", str(tagged / ".fewtag")]
    monkeypatch.chdir(tagged)
    (tagged / "my shop").mkdir()
    shutil.copy("products.csv", "my shop")
    shutil.copy("taxonomy.yaml", "my shop")
    assert run("bootstrap", "my shop/taxonomy.yaml", "--workspace", "mine").code == 0
    named = ("--workspace", "mine")
    assert shlex.split(advised()) == ["fewtag", "bootstrap", "my shop/taxonomy.yaml", "--workspace", "mine"]


def test_explain_prints_json_for_machines(tagged: Path, run: Run) -> None:
    found = json.loads(run("explain", "A3", "--json").out)
    assert found["product"]["fields"] == {"sku": "A3", "title": "速溶咖啡 30条", "brand": "早安"}
    assert found["tag"]["category"] == found["candidates"][0]["category"] == "饮料/咖啡"
    assert found["tag"]["confidence"] == found["candidates"][0]["probability"]
    assert [(past["run_id"], past["tag"]["category"]) for past in found["history"]] == [(1, "饮料/咖啡")]


def test_explain_says_left_open_where_the_tagger_abstains(shop: Path, run: Run) -> None:
    edit("products.csv", "A12,大浴巾 加厚,柔", "A12,xyz,")
    run("bootstrap", "taxonomy.yaml")
    lines = run("explain", "A12").out.splitlines()
    assert lines[:2] == ["A12: xyz", lines[1]]
    assert re.match(r"-> left open, likeliest 日用 > .*, 0\.\d\d \(zero-shot\)$", lines[1])
    assert ": left open, likeliest 日用 > " in lines[-1]


def test_taxonomy_check_shows_the_first_product_and_the_doubts(shop: Path, run: Run) -> None:
    edit("taxonomy.yaml", "[绿茶, 红茶]", "[绿茶, 果汁]")
    said = run("taxonomy", "check", "taxonomy.yaml")
    assert said.code == 0
    assert said.out == f"{VOICES[0]}\n12 products, the first is A1: 西湖绿茶 250g 山云\n"
    assert said.talk == [*VOICES[1:], "Doubtful: the alias '果汁' of tea is the name of juice", "Next: `fewtag bootstrap taxonomy.yaml`"]
    assert sorted(path.name for path in shop.iterdir()) == ["products.csv", "taxonomy.yaml"]


def test_taxonomy_check_asks_for_a_catalogue_where_there_is_none(shop: Path, run: Run) -> None:
    (shop / "taxonomy.yaml").write_text("categories: [茶, 汤]\n", encoding="utf-8")
    said = run("taxonomy", "check", "taxonomy.yaml")
    assert said.out == "taxonomy: 2 categories, 2 of them assignable, in language 'zh'\n"
    assert said.talk == [*VOICES[1:], "Next: name its products with `catalogue: {file: ...}`"]


def test_taxonomy_show_draws_the_tree(shop: Path, run: Run) -> None:
    said = run("taxonomy", "show")
    drawn = ["小店", "├── 饮料", "│   ├── 茶叶", "│   ├── 咖啡", "│   └── 果汁", "└── 日用", "    ├── 香皂", "    ├── 牙膏", "    └── 毛巾"]
    assert said.out.splitlines() == drawn
    assert said.talk == ["Next: `fewtag bootstrap taxonomy.yaml`"]


def test_taxonomy_show_counts_the_tags_below_each_category(tagged: Path, run: Run) -> None:
    said = run("taxonomy", "show", "taxonomy.yaml")
    counts = [line.rpartition("  ")[2] for line in said.out.splitlines()]
    assert counts == ["小店", "6", "2", "2", "2", "6", "2", "2", "2"]
    assert said.talk == ["A number counts all products of a branch. Next: `fewtag status` shows how sure they are."]


def test_commands_find_the_workspace_upwards_from_where_they_run(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tagged / "deep" / "deeper").mkdir(parents=True)
    monkeypatch.chdir("deep/deeper")
    assert json.loads(run("status", "--json").out)["products"] == 12
    assert run("explain", "A1").code == 0


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_workspace_that_is_named_comes_before_the_one_that_is_near(
    tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tagged / "few.csv").write_text("sku,title,brand\nN1,大红袍 红茶,山云\n", encoding="utf-8")
    named = ["--workspace", "other"] if way == "option" else []
    if way == "variable":
        monkeypatch.setenv("FEWTAG_WORKSPACE", "other")
    run("bootstrap", "taxonomy.yaml", "--catalogue", "few.csv", *named)
    assert [each.tag.product_id for each in stored(tagged / "other")] == ["N1"]
    assert json.loads(run("status", "--json", *named).out)["products"] == 1
    assert run("explain", "N1", *named).code == 0
    assert len(run("tag", "few.csv", *named).out.splitlines()) == 2
    assert run("taxonomy", "show", *named).out.splitlines()[0:3] == ["小店", "├── 饮料  1", "│   ├── 茶叶  1"]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_workspace_that_is_named_and_not_there_is_an_error_even_where_none_is_needed(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "variable":
        monkeypatch.setenv("FEWTAG_WORKSPACE", "missing")
    said = run("taxonomy", "show", *(["--workspace", "missing"] if way == "option" else []))
    assert (said.code, said.out) == (2, "")
    assert said.talk == ["Error: missing: there is no workspace here -> run `fewtag bootstrap taxonomy.yaml` first"]


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == f"fewtag {fewtag.__version__}\n"


TRAIN = "Next: `fewtag train` learns from them."


def labels(run: Run, *arguments: str) -> list[tuple[str, ...]]:
    """What `fewtag label list` says, without the times."""
    rows = list(csv.DictReader(io.StringIO(run("label", "list", *arguments).out)))
    assert all(row.pop("at").startswith("20") for row in rows)
    return [tuple(row.values()) for row in rows]


def test_label_import_takes_a_file_once_and_can_be_taken_back(tagged: Path, run: Run) -> None:
    (tagged / "labels.csv").write_text("sku,title,category\nA1,,茶叶\nA3,,饮料 > 咖啡\n,乌龙茶,tea\n", encoding="utf-8")
    said = run("label", "import", "labels.csv", "--by", "ann")
    assert (said.code, said.out) == (0, "3 labels: 3 new, 0 already there, 0 in conflict\n")
    stranger = "Not in the catalogue, and learnt from by the texts in the file: 1 product."
    assert said.talk == [stranger, "`fewtag label undo --run 2` takes this import back.", TRAIN]
    given = labels(run)
    assert given[:2] == [("A1", "tea", "饮料 > 茶叶", "False", "ann"), ("A3", "饮料/咖啡", "饮料 > 咖啡", "False", "ann")]
    assert given[2][0].startswith("text-")
    with Ledger.open(Path(".fewtag/fewtag.db")) as ledger:
        assert [row.text for row in ledger.label_rows()] == ["西湖绿茶 250g 山云", "速溶咖啡 30条 早安", "乌龙茶"]
        imported = ledger.last_run("label")
        assert imported is not None
        assert (imported.id, json.loads(imported.settings), imported.finished is None) == (2, {"file": "labels.csv"}, False)

    said = run("label", "import", "labels.csv", "--by", "ann")
    assert (said.out, said.talk) == ("3 labels: 0 new, 3 already there, 0 in conflict\n", [stranger, TRAIN])
    assert labels(run) == given
    assert [row["run"] for row in json.loads(run("label", "list", "--json").out)] == [2, 2, 2]

    assert run("label", "undo", "--run", "2").out == "3 labels taken back\n"
    assert labels(run) == []
    assert run("label", "import", "labels.csv", "--by", "ann").out == "3 labels: 3 new, 0 already there, 0 in conflict\n"


def test_an_import_that_is_taken_back_leaves_what_was_said_by_hand(tagged: Path, run: Run) -> None:
    run("label", "add", "A1", "tea", "--by", "ann")
    (tagged / "labels.csv").write_text("sku,category\nA1,juice\n", encoding="utf-8")
    run("label", "import", "labels.csv", "--by", "ann")
    run("label", "add", "A1", "soap", "--not", "--by", "ann")
    assert [row[1] for row in labels(run)] == ["juice", "soap"]
    assert run("label", "undo", "--run", "2").out == "1 label taken back\n"
    assert [row[1] for row in labels(run)] == ["tea", "soap"]


def test_an_import_that_was_stopped_leaves_no_label_and_can_be_made_again(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tagged / "labels.csv").write_text("sku,category\nA1,juice\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add_labels", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        said = run("label", "import", "labels.csv")
    assert (said.code, said.out, said.talk) == (130, "", ["Stopped."])
    assert labels(run) == []
    assert run("label", "import", "labels.csv").talk == ["`fewtag label undo --run 2` takes this import back.", TRAIN]


def test_label_import_shows_five_conflicts_and_says_how_many_more_there_are(tagged: Path, run: Run) -> None:
    (tagged / "right.csv").write_text(
        "sku,category\n" + "".join(f"{sku},{category}\n" for sku, category in BY_HAND.items()), encoding="utf-8"
    )
    assert run("label", "import", "right.csv", "--by", "ann").code == 0
    (tagged / "wrong.csv").write_text("sku,category,not\n" + "".join(f"A{number},日用,x\n" for number in range(5, 13)), encoding="utf-8")
    said = run("label", "import", "wrong.csv", "--by", "bob")
    assert said.out == "8 labels: 8 new, 0 already there, 6 in conflict\n"
    assert said.talk[0] == "In conflict: A7: ann says 日用 > 香皂, bob says not 日用"
    assert len(said.talk) == 8
    assert said.talk[5] == "... and 1 more: `fewtag label list --conflicts`"
    assert labels(run, "--conflicts")[0] == ("A7", "soap", "日用 > 香皂", "False", "ann")
    assert labels(run, "--conflicts")[-1] == ("A12", "home", "日用", "True", "bob")
    assert len(labels(run, "--conflicts")) == 12
    assert len(labels(run)) == 20
    assert run("status").out.splitlines()[1] == "12 tagged, 0 backed off to a parent, 0 left open; 20 labels, 6 in conflict"
    found = json.loads(run("status", "--json").out)
    assert (found["labels"], found["conflicts"]) == (20, 6)


def test_label_list_can_be_imported_again(tagged: Path, run: Run) -> None:
    run("label", "add", "A1", "tea", "--by", "ann")
    run("label", "add", "A1", "日用", "--not", "--by", "bob")
    (tagged / "labels.csv").write_text(run("label", "list").out, encoding="utf-8")
    given = labels(run)
    assert run("label", "import", "labels.csv").out == "2 labels: 0 new, 2 already there, 0 in conflict\n"
    run("label", "undo", "A1", "--by", "ann")
    run("label", "undo", "A1", "--by", "bob")
    assert run("label", "import", "labels.csv").out == "2 labels: 2 new, 0 already there, 0 in conflict\n"
    assert labels(run) == given


def test_label_add_and_undo_speak_for_one_person(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    said = run("label", "add", "A1", "饮料 > 茶叶")
    assert (said.code, said.out, said.talk) == (0, "1 label: 1 new, 0 already there, 0 in conflict\n", [TRAIN])
    assert run("label", "add", "A1", "tea").out == "1 label: 0 new, 1 already there, 0 in conflict\n"
    said = run("label", "add", "A1", "juice", "--by", "bob")
    assert said.talk == ["In conflict: A1: ann says 饮料 > 茶叶, bob says 饮料 > 果汁", TRAIN]
    assert run("label", "add", "A1", "soap", "--not").out.endswith(" 0 in conflict\n")
    assert labels(run) == [
        ("A1", "tea", "饮料 > 茶叶", "False", "ann"),
        ("A1", "juice", "饮料 > 果汁", "False", "bob"),
        ("A1", "soap", "日用 > 香皂", "True", "ann"),
    ]
    said = run("label", "undo", "A1")
    assert (said.out, said.talk) == (
        "2 labels taken back\n",
        ["Next: `fewtag train` learns anew from the labels that hold, `fewtag label list` shows them."],
    )
    assert labels(run) == [("A1", "juice", "饮料 > 果汁", "False", "bob")]


def test_label_prints_json_for_machines(tagged: Path, run: Run) -> None:
    run("label", "add", "A1", "tea", "--by", "ann")
    found = json.loads(run("label", "add", "A1", "juice", "--by", "bob", "--json").out)
    [conflict] = found.pop("conflicts")
    assert found == {"labels": 1, "new": 1, "known": 0, "run": None, "replaced": 0}
    assert [saying[:3] for saying in conflict["sayings"]] == [["ann", "tea", False], ["bob", "juice", False]]
    rows = json.loads(run("label", "list", "--json").out)
    assert [(row["product_id"], row["category"], row["negative"], row["source"], row["run"]) for row in rows] == [
        ("A1", "tea", False, "ann", None),
        ("A1", "juice", False, "bob", None),
    ]


def test_where_no_one_is_known_someone_says_it(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    run("label", "add", "A1", "tea")
    assert labels(run) == [("A1", "tea", "饮料 > 茶叶", "False", "someone")]


def test_a_label_of_a_category_that_is_gone_is_listed_by_its_id(tagged: Path, run: Run) -> None:
    run("label", "add", "A1", "tea", "--by", "ann")
    edit("taxonomy.yaml", "id: tea", "id: leaves")
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert labels(run) == [("A1", "tea", "tea", "False", "ann")]
    assert run("label", "add", "A1", "leaves", "--by", "bob").talk[0] == "In conflict: A1: ann says tea, bob says 饮料 > 茶叶"


GOLD = "sku,category\n" + "".join(f"{sku},{category}\n" for sku, category in BY_HAND.items())


@pytest.mark.usefixtures("few_resamples")
def test_evaluate_prints_every_figure_with_its_interval(tagged: Path, run: Run) -> None:
    (tagged / "gold.csv").write_text(GOLD.replace("A1,tea", "A1,juice").replace("A12,towels", "A12,"), encoding="utf-8")
    said = run("evaluate", "gold.csv")
    lines = said.out.splitlines()
    assert lines[0] == "小店: 12 products with gold; in brackets, the 95% interval of each figure"
    assert [line.split()[:3] for line in lines[3:5]] == [["1", "11", "1.000"], ["2", "11", "0.909"]]
    assert re.fullmatch(r"accuracy: the very gold category +0\.909 \[0\.\d{3}, 1\.000\] +0\.909 \[0\.\d{3}, 1\.000\]", lines[7])
    # Wilson of 12 of 12: 1 / (1 + 1.96² / 12)
    assert "coverage: share with a tag                                    1.000 [0.758, 1.000]" in lines
    assert any(line.startswith("precision: tags at or above the gold                          0.833 [0.") for line in lines)
    assert "       1  饮料 > 茶叶 | 饮料 > 果汁: 1, 0" in lines
    assert [line.split()[0] + line.split()[-1] for line in lines[-2:]] == ["6饮料", "5日用"]
    assert said.talk == [
        "Without a gold category, so that any tag is wrong: 1 product.",
        "Next: -o FILE writes every product's gold and tag.",
    ]


@pytest.mark.usefixtures("few_resamples")
def test_the_rows_of_an_evaluation_are_there_whoever_stops_reading_its_figures(
    tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: Any) -> None:
        raise KeyboardInterrupt

    (tagged / "gold.csv").write_text("sku,category\nA1,tea\n", encoding="utf-8")
    monkeypatch.setattr("fewtag.cli_evaluate.print_evaluation", stops)
    assert run("evaluate", "gold.csv", "-o", "rows.csv").code == 130
    assert (tagged / "rows.csv").read_text(encoding="utf-8").splitlines()[1].startswith("A1,tea,")


@pytest.mark.usefixtures("few_resamples")
def test_evaluate_writes_a_row_for_each_product(tagged: Path, run: Run) -> None:
    (tagged / "gold.csv").write_text("sku,title,category\nA1,,juice\n,大红袍 红茶,tea\n", encoding="utf-8")
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        stranger = "Not in the catalogue, and tagged by the texts in the file: 1 product."
        assert run("evaluate", "gold.csv", "-o", name).talk[:2] == [stranger, f"2 products written to {name}"]
    rows = list(csv.DictReader((tagged / "rows.csv").open(encoding="utf-8")))
    assert [(row["gold_path"], row["tag"], row["tag_right_to_depth"]) for row in rows] == [
        ("饮料 > 果汁", "tea", "1"),
        ("饮料 > 茶叶", "tea", "2"),
    ]
    whole = [json.loads(line) for line in (tagged / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert parquet.read_table(tagged / "rows.parquet").to_pylist() == whole
    assert [{name: str(value) for name, value in row.items()} for row in whole] == rows


@pytest.mark.usefixtures("few_resamples")
def test_evaluate_leaves_out_what_was_learnt_from_and_the_ledger_alone(tagged: Path, run: Run) -> None:
    (tagged / "labels.csv").write_text("sku,category\nA1,tea\nA3,饮料/咖啡\nA7,soap\n", encoding="utf-8")
    (tagged / "gold.csv").write_text(GOLD, encoding="utf-8")
    assert run("label", "import", "labels.csv").code == 0
    assert run("evaluate", "gold.csv").out.startswith("小店: 12 products")  # they have taught nothing yet
    assert run("train", "--quick").code == 0
    before = stored()
    said = run("evaluate", "gold.csv", "--json")
    assert said.talk[0] == "Left out, since labels or examples of the same product or text were learnt from, and would flatter: 3 products."
    assert {name: json.loads(said.out)[name] for name in ("products", "learnt_from")} == {"products": 9, "learnt_from": 3}
    assert stored() == before


@pytest.mark.usefixtures("few_resamples")
def test_evaluate_counts_gold_that_is_none(tagged: Path, run: Run) -> None:
    rows = "A1,tea,,ann\nA1,juice,,bob\nA2,tea,x,ann\nA3,饮料/咖啡,,ann\n"
    (tagged / "gold.csv").write_text(f"sku,category,not,source\n{rows}", encoding="utf-8")
    assert run("evaluate", "gold.csv").talk[:2] == [
        "Left out, as what is said of them contradicts itself: 1 product.",
        "Left out, as nothing is said but what they are not: 1 product.",
    ]


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below a group with the words that call it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
    for name, each in (below or {}).items():
        yield from leaves(each, f"{path} {name}")


def test_the_help_of_every_command_has_an_example_of_it() -> None:
    commands = dict(leaves(typer.main.get_command(cli.app), "fewtag"))
    assert set(commands) >= {f"fewtag {name}" for name in ("bootstrap", "label add", "status", "tag", "taxonomy check")}
    without = [path for path, command in commands.items() if f"\nExample: {path} " not in f"{command.help} "]
    assert without == []


@pytest.mark.parametrize(
    "arguments", [["--help"], *(pytest.param([each, "--help"], marks=pytest.mark.slow) for each in ("bootstrap", "taxonomy"))]
)
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    assert python(LOADED % HEAVY, *arguments).stdout.decode().splitlines()[-1] == "loaded: []"


def test_importing_fewtag_loads_no_heavy_library() -> None:
    found = python(f"import sys, fewtag; print(sorted(({HEAVY} | {{'typer', 'rich'}}) & set(sys.modules)))")
    assert found.stdout.decode() == "[]\n"


@pytest.mark.slow
def test_a_taxonomy_in_another_language_is_tagged_without_the_deep_libraries(shop: Path) -> None:
    deep = HEAVY - {"sklearn", "numpy", "sqlalchemy"}
    lines = python(LOADED % deep, "bootstrap", "taxonomy.yaml").stdout.decode().splitlines()
    assert lines == ["12 products: 12 tagged, 0 backed off to a parent, 0 left open", "loaded: []"]


@pytest.mark.slow
def test_a_reader_that_has_read_enough_ends_a_command_quietly(tagged: Path) -> None:
    """What stays unread is far more than a pipe holds (64 KB)."""
    rows = "".join(f"B{number},西湖绿茶 250g,山云\n" for number in range(3000))
    (tagged / "many.csv").write_text(f"sku,title,brand\n{rows}", encoding="utf-8")
    command = [sys.executable, "-c", "from fewtag.cli import main; main()", "tag", "many.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"product_id,")
        process.stdout.close()
        told = process.stderr.read()
        assert (process.wait(), told) == (0, b"")


@pytest.mark.parametrize("arguments", [["status"], pytest.param(["taxonomy", "show"], marks=pytest.mark.slow)])
def test_a_reader_that_has_gone_before_the_first_byte_ends_a_command_quietly(tagged: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "from fewtag.cli import main; main()"
    with os.fdopen(writing, "wb") as pipe:
        found = subprocess.run([sys.executable, "-c", code, *arguments], stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert found.returncode == 0
    assert b"Error" not in found.stderr
    assert b"Traceback" not in found.stderr


def test_the_taxonomy_that_bootstrap_leaves_behind_is_the_one_it_used(tagged: Path) -> None:
    assert Taxonomy.load("taxonomy.yaml").version == stored()[0].taxonomy_version
