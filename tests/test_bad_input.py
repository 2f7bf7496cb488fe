"""Every mistake that a user can make at the command line: told in one line with its mend, exit code 2, nothing written.

The trap: the tests run as root, who may write anywhere, so a refusal is a file that stands in the way, or is put in the system's mouth.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import PRODUCTS, TAXONOMY, Run, Said

from fewtag import store

NO_WORKSPACE = "{shop}: there is no workspace here -> run `fewtag bootstrap taxonomy.yaml` first"
ENCODING = "save it as UTF-8, or name a catalogue's encoding with `catalogue: {encoding: ...}`, such as utf-16-le, gb18030 or cp1252"
LABELS = "give it columns product_id and category, and a row for each label"
NO_CATALOGUE = "there is no such catalogue -> name a file that is there, with `catalogue: {file: ...}` or on the command line"
WORKS_OFFLINE = (
    "use `preset: embedded`, which works offline (`lm: none` goes without a language model), or name a folder that holds the model"
)
DAMAGED = "{shop}/.fewtag/tagger: the tagger is damaged, or of an older fewtag -> delete this folder and bootstrap again"
GO_ON = "free some space and run the same command again: it goes on where it stopped"

Change = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What goes wrong (`change`, done in the shop's folder), the command that meets it, and what is said behind `Error: `."""

    name: str
    change: Change
    told: str
    command: tuple[str, ...] = ("bootstrap", "taxonomy.yaml")


def edit(file: str, old: str, new: str) -> Change:
    """Replace a text that is in a file once."""

    def change() -> None:
        text = Path(file).read_text(encoding="utf-8")
        assert text.count(old) == 1
        Path(file).write_text(text.replace(old, new), encoding="utf-8")

    return change


def yaml(old: str, new: str) -> Change:
    return edit("taxonomy.yaml", old, new)


def row(old: str, new: str) -> Change:
    return edit("products.csv", old, new)


def write(file: str, content: str | bytes) -> Change:
    """Write a file, and the folder it stands in."""

    def change() -> None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def delete(file: str) -> Change:
    return lambda: shutil.rmtree(file) if Path(file).is_dir() else Path(file).unlink()


def both(*changes: Change) -> Change:
    return lambda: [change() for change in changes]


def nothing() -> None:
    """Leave the shop as it is: the mistake is in the command."""


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file of a folder with its bytes, and every folder in it."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(shop: Path, run: Run, mistake: Mistake, *, data: str = "") -> Said:
    """Run a command that fails, and hold what every failure has to hold; return what it said."""
    mistake.change()
    before = contents(shop)
    said = run(*mistake.command)
    assert (said.code, said.out) == (2, data)
    errors = [line for line in said.err.splitlines() if line.startswith("Error: ")]
    assert said.err.splitlines()[-1:] == errors
    assert errors == ["Error: " + mistake.told.replace("{shop}", str(shop))]
    assert contents(shop) == before
    return said


TAXONOMY_MISTAKES = [
    Mistake("no taxonomy", delete("taxonomy.yaml"), "taxonomy.yaml: there is no such file -> name an existing taxonomy.yaml"),
    Mistake("empty taxonomy", write("taxonomy.yaml", ""), "taxonomy.yaml: the file is empty -> start from one of the starter taxonomies"),
    Mistake(
        "taxonomy is a folder",
        both(delete("taxonomy.yaml"), lambda: Path("taxonomy.yaml").mkdir()),
        "taxonomy.yaml: this is a folder -> name the taxonomy.yaml within it",
    ),
    Mistake(
        "taxonomy in another encoding",
        write("taxonomy.yaml", TAXONOMY.encode("gb18030")),
        "taxonomy.yaml:3: the file is not UTF-8 text -> save it as UTF-8",
    ),
    Mistake(
        "YAML syntax",
        yaml("[绿茶, 红茶]", "[绿茶, 红茶"),
        "taxonomy.yaml:14: this is not valid YAML: expected ',' or ']', but got ':' -> mend the line, or put its text in quotes",
    ),
    Mistake(
        "no categories",
        write("taxonomy.yaml", "fewtag: 1\ncategories: []\n"),
        "taxonomy.yaml:2: the file lists no categories -> add `categories:` with at least one `- name: ...` below it",
    ),
    Mistake(
        "unknown key at the top",
        yaml("catalogue:", "catalog:"),
        "taxonomy.yaml:5: the file has the unknown key 'catalog' -> did you mean 'catalogue'?",
    ),
    Mistake(
        "unknown key of a category",
        yaml("aliases: [浴巾", "alias: [浴巾"),
        "taxonomy.yaml:29: a category has the unknown key 'alias' -> did you mean 'aliases'?",
    ),
    Mistake(
        "unknown key of the catalogue",
        yaml("id: sku", "sku: sku"),
        "taxonomy.yaml:5: `catalogue` has the unknown key 'sku' -> use one of file, id, text, image, encoding, delimiter",
    ),
    Mistake(
        "duplicate id",
        yaml("id: juice", "id: tea"),
        "taxonomy.yaml:16: category 'tea' is defined twice (first at line 11) -> give one of them another id",
    ),
    Mistake(
        "cycle",
        yaml("name: 饮料\n", "name: 饮料\n    parents: [tea]\n"),
        "taxonomy.yaml:8: the categories form a circle: drinks > tea > drinks -> take one of these parents away",
    ),
    Mistake("no name", yaml("        name: 果汁\n", ""), "taxonomy.yaml:16: a category has no name -> add `name:`"),
    Mistake(
        "name that YAML reads as no text",
        yaml("name: 果汁", "name: true"),
        "taxonomy.yaml:17: `name` holds 'True', which YAML does not read as text -> put it in quotes",
    ),
    Mistake(
        "unknown parent",
        yaml("name: 果汁\n", "name: 果汁\n        parents: [hom]\n"),
        "taxonomy.yaml:16: category 'juice' has the unknown parent 'hom' -> did you mean 'home'?",
    ),
    Mistake(
        "made for a newer fewtag",
        yaml("fewtag: 1", "fewtag: 2"),
        "taxonomy.yaml:2: the file has format 2, and this fewtag reads format 1 -> upgrade fewtag, or write `fewtag: 1`",
    ),
    Mistake(
        "check without a taxonomy",
        nothing,
        "no.yaml: there is no such file -> name an existing taxonomy.yaml",
        ("taxonomy", "check", "no.yaml"),
    ),
    Mistake(
        "show without a taxonomy",
        delete("taxonomy.yaml"),
        "taxonomy.yaml: there is no such file -> name an existing taxonomy.yaml",
        ("taxonomy", "show"),
    ),
]

CATALOGUE_MISTAKES = [
    Mistake(
        "no catalogue",
        yaml('catalogue: {file: products.csv, id: sku, text: "{{ title }} {{ brand }}"}', ""),
        "the taxonomy names no catalogue -> add `catalogue: {file: products.csv}` to its file, or give the products (--catalogue)",
    ),
    Mistake(
        "catalogue that is not there",
        delete("products.csv"),
        f"{{shop}}/products.csv: {NO_CATALOGUE}",
    ),
    Mistake(
        "named catalogue that is not there",
        nothing,
        f"no.csv: {NO_CATALOGUE}",
        ("bootstrap", "taxonomy.yaml", "--catalogue", "no.csv"),
    ),
    Mistake(
        "catalogue of an unknown kind",
        yaml("products.csv", "products.ods"),
        "{shop}/products.ods: 'products.ods' is of no known kind -> name a file that ends in"
        " .csv, .tsv, .csv.gz, .tsv.gz, .jsonl, .ndjson, .jsonl.gz, .parquet, or save it as one",
    ),
    Mistake("empty catalogue", write("products.csv", ""), "{shop}/products.csv: the file is empty -> export it again"),
    Mistake(
        "catalogue without rows",
        write("products.csv", "sku,title,brand\n"),
        "{shop}/products.csv: the catalogue has no rows -> export it again",
    ),
    Mistake(
        "unknown column", yaml("{{ brand }}", "{{ brnd }}"), "taxonomy.yaml:5: products.csv has no column 'brnd' -> did you mean 'brand'?"
    ),
    Mistake(
        "unknown id column",
        yaml("id: sku", "id: ean"),
        "taxonomy.yaml:5: products.csv has no column 'ean' -> the columns are sku, title, brand",
    ),
    Mistake(
        "text template that does not parse",
        yaml("{{ brand }}", "{{ brand"),
        "taxonomy.yaml:5: the text template does not parse: unexpected end of template, expected 'end of print statement'."
        ' -> mend the jinja2 syntax; a column whose name has blanks is written {{ fields["Product Name"] }}',
    ),
    Mistake("product without an id", row("A4,", ","), "{shop}/products.csv:5: a product has no id -> give it one, or delete the row"),
    Mistake(
        "one id twice",
        row("A4,", "A1,"),
        "{shop}/products.csv:5: the id 'A1' is there twice (first at line 2) -> give each product an id of its own",
    ),
    Mistake(
        "encoding that there is not",
        yaml("id: sku", "id: sku, encoding: utf-9"),
        f"taxonomy.yaml:5: there is no encoding 'utf-9' -> {ENCODING}",
    ),
    Mistake(
        "wrong encoding named",
        yaml("id: sku", "id: sku, encoding: ascii"),
        f"{{shop}}/products.csv:2: the file is not ascii text: ordinal not in range(128) in {'西湖'.encode()[:4]!r} -> {ENCODING}",
    ),
    Mistake(
        "bytes that are no text",
        write("products.csv", PRODUCTS.encode().replace("果园\nA6".encode(), b"\xff\xfe\nA6")),
        rf"{{shop}}/products.csv:6: the file is not utf-8 text: invalid start byte in b'\xff\xfe\nA' -> {ENCODING}",
    ),
    Mistake(
        "ragged row",
        row("A4,", "A4,x,"),
        "{shop}/products.csv:5: the row has 4 cells and the header 3"
        " -> put a text that holds the delimiter in quotes, or name a catalogue's delimiter with `delimiter:`",
    ),
    Mistake(
        "cell of 10 MB",
        row("咖啡豆 深烘", "x" * 10_000_000),
        "{shop}/products.csv:5: a cell has more than 1,000,000 characters -> close the quote that opens there, or shorten the cell",
    ),
    Mistake(
        "product without a text",
        row("A9,薄荷牙膏 120g,", "A9,,"),
        "{shop}/products.csv:10: product 'A9' has no text -> fill the columns that `text` names, or delete the row",
    ),
    Mistake(
        "three products without a text",
        both(row("A9,薄荷牙膏 120g,", "A9,,"), both(row("A11,纯棉毛巾 两条装,柔", "A11,,"), row("A12,大浴巾 加厚,柔", "A12,,"))),
        "{shop}/products.csv:10: product 'A9' has no text (nor have 2 further products)"
        " -> fill the columns that `text` names, or delete the row",
    ),
    Mistake(
        "check of a catalogue without a text",
        row("A1,西湖绿茶 250g,山云", "A1,&nbsp;,"),
        "{shop}/products.csv:2: product 'A1' has no text -> fill the columns that `text` names, or delete the row",
        ("taxonomy", "check", "taxonomy.yaml"),
    ),
]

SETTINGS_MISTAKES = [
    *(
        Mistake(
            f"precision {given}",
            nothing,
            f"the precision is {read} -> give a number above 0 and up to 1, such as 0.9",
            ("bootstrap", "taxonomy.yaml", "--precision", given),
        )
        for given, read in (("0", "0.0"), ("2", "2.0"), ("-1", "-1.0"), ("nan", "nan"))
    ),
    Mistake(
        "unknown preset in the file",
        yaml("language: zh", "language: zh\nmodels: {preset: bse}"),
        "taxonomy.yaml:5: there is no preset 'bse' -> use one of embedded, small, base, multilingual, chinese",
    ),
    Mistake(
        "unknown preset",
        nothing,
        "there is no preset 'bse' -> use one of embedded, small, base, multilingual, chinese",
        ("bootstrap", "taxonomy.yaml", "--preset", "bse"),
    ),
    Mistake(
        "hub model without a network",
        yaml("language: zh", "language: en\nmodels: {preset: base}"),
        f"the model 'Qwen/Qwen3-0.6B-Base' is not on this machine, and the hub cannot be reached -> {WORKS_OFFLINE}",
    ),
    Mistake(
        "hub model without a network, named on the command line",
        nothing,
        f"the model 'Qwen/Qwen3-0.6B-Base' is not on this machine, and the hub cannot be reached -> {WORKS_OFFLINE}",
        ("bootstrap", "taxonomy.yaml", "--preset", "chinese"),
    ),
    Mistake(
        "model folder that is not there",
        yaml("language: zh", "language: zh\nmodels: {encoder: ./models/mine}"),
        "there is no model folder './models/mine' -> name a folder that is there, or a hub id such as 'organisation/model'",
    ),
    Mistake(
        "server that is down",
        yaml("language: zh", "language: zh\nmodels: {lm: {server: 'http://127.0.0.1:1/v1'}}"),
        "the server of http://127.0.0.1:1/v1 does not answer -> start it, or go without: `--lm none`",
    ),
    Mistake(
        "server without an address",
        yaml("language: zh", "language: zh\nmodels: {lm: {server: localhost}}"),
        "taxonomy.yaml:5: `lm` is on the server 'localhost' -> write it as `server: \"http://localhost:8000/v1\"`",
    ),
    Mistake(
        "model folder without weights",
        both(yaml("language: zh", "language: zh\nmodels: {encoder: mine}"), write("mine/config.json", "{}")),
        "{shop}/mine: the folder holds no model weights -> name a folder written by `save_pretrained`",
    ),
    Mistake(
        "prompt without a language model",
        yaml("language: zh", "language: zh\nprompt: category.v1"),
        "the prompt 'category.v1' has no language model to read it -> name one with `models: {lm: ...}`",
    ),
]

WORKSPACE_MISTAKES = [
    Mistake("status without a workspace", nothing, NO_WORKSPACE, ("status",)),
    Mistake("tag without a workspace", nothing, NO_WORKSPACE, ("tag", "products.csv", "-o", "out.csv")),
    Mistake("explain without a workspace", nothing, NO_WORKSPACE, ("explain", "A1")),
    Mistake("export without a workspace", nothing, NO_WORKSPACE, ("export", "-o", "out.csv")),
    *(
        Mistake(f"{' '.join(command[:2])} without a workspace", nothing, NO_WORKSPACE, command)
        for command in (("label", "import", "products.csv"), ("label", "add", "A1", "tea"), ("label", "undo", "A1"), ("label", "list"))
    ),
    Mistake("named workspace that is not there", nothing, NO_WORKSPACE.replace("{shop}", "no"), ("status", "--workspace", "no")),
    *(
        Mistake(
            f"workspace {name} a file",
            nothing,
            f"{place}: a file stands where a folder is needed -> move that file away",
            ("bootstrap", "taxonomy.yaml", "--workspace", place),
        )
        for name, place in (("that is", "products.csv"), ("below", "products.csv/below"))
    ),
    *(
        Mistake(
            f"{command[0]} in a workspace of a newer fewtag",
            write(".fewtag/workspace.json", '{"format": 2}'),
            "{shop}/.fewtag: this workspace was made by a newer fewtag (its format is 2, this one knows 1) -> upgrade fewtag",
            command,
        )
        for command in (("bootstrap", "taxonomy.yaml"), ("status",), ("tag", "products.csv"), ("explain", "A1"), ("taxonomy", "show"))
    ),
    Mistake(
        "workspace that is another folder",
        write("data/.gitignore", "*.log"),
        "data: this folder holds other things -> name one of its own, such as data/.fewtag",
        ("bootstrap", "taxonomy.yaml", "--workspace", "data"),
    ),
    Mistake(
        "workspace that says nothing of itself",
        write(".fewtag/workspace.json", "{"),
        "{shop}/.fewtag/workspace.json: this file is no workspace's -> delete it and bootstrap again",
    ),
]


def said_names(mistakes: list[Mistake]) -> Any:
    """Parametrise a test by mistakes, each under its name."""
    return pytest.mark.parametrize("mistake", [pytest.param(each, id=each.name) for each in mistakes])


@said_names([*TAXONOMY_MISTAKES, *CATALOGUE_MISTAKES, *SETTINGS_MISTAKES, *WORKSPACE_MISTAKES])
def test_a_mistake_is_told_with_its_mend_and_leaves_nothing_behind(shop: Path, run: Run, mistake: Mistake) -> None:
    data = "小店: 8 categories, 6 of them assignable, in language 'zh'\n" if mistake.name.startswith("check of") else ""
    said = refused(shop, run, mistake, data=data)
    assert len(said.talk) in (1, 5)  # the error alone, or behind the taxonomy and its three voices


def saved(**changes: Any) -> Change:
    """Change what the saved tagger says of itself."""

    def change() -> None:
        about = json.loads(Path(".fewtag/tagger/tagger.json").read_text(encoding="utf-8"))
        Path(".fewtag/tagger/tagger.json").write_text(json.dumps(about | changes), encoding="utf-8")

    return change


TAGGER = ".fewtag/tagger"
TENSORS = f"{TAGGER}/zero_shot/zero_shot.safetensors"
LATER_MISTAKES = [
    Mistake(
        "out into a folder that is not there",
        nothing,
        "no/out.csv: its folder does not exist -> make the folder first",
        ("tag", "products.csv", "-o", "no/out.csv"),
    ),
    Mistake(
        "out of an unknown kind",
        nothing,
        "out.xlsx: 'out.xlsx' is of no known kind -> name a file that ends in .csv, .jsonl, .parquet",
        ("tag", "products.csv", "-o", "out.xlsx"),
    ),
    Mistake(
        "out is a folder",
        lambda: Path("out.csv").mkdir(),
        "out.csv: this is a folder -> name a file within it",
        ("tag", "products.csv", "-o", "out.csv"),
    ),
    *(
        Mistake(
            f"tag of a product without an id to {'a file' if out else 'stdout'}",
            row("A4,", ","),
            "products.csv:5: a product has no id -> give it one, or delete the row",
            ("tag", "products.csv", *out),
        )
        for out in ((), ("-o", "out.csv"))
    ),
    Mistake(
        "tag of a file that is not there",
        nothing,
        f"no.csv: {NO_CATALOGUE}",
        ("tag", "no.csv"),
    ),
    Mistake(
        "tag of other columns",
        write("other.csv", "id,name\n1,tea\n"),
        "taxonomy.yaml:5: other.csv has no column 'sku' -> the columns are id, name",
        ("tag", "other.csv", "-o", "out.csv"),
    ),
    Mistake(
        "explain of an unknown product",
        nothing,
        "{shop}/products.csv: there is no product 'A99' -> write an id as the catalogue has it",
        ("explain", "A99"),
    ),
    Mistake(
        "train without labels",
        nothing,
        "there are no labels to learn from -> say what some products are: `fewtag label import FILE`, or labels other than None",
        ("train", "--quick"),
    ),
    Mistake(
        "propagate without labels",
        nothing,
        "there are no labels to spread -> `fewtag label import FILE` brings some",
        ("propagate",),
    ),
    Mistake(
        "a propagation taken back that there is not",
        nothing,
        "{shop}/.fewtag: there is nothing of run 9 to take back -> name the run that `fewtag propagate` told",
        ("propagate", "--undo", "9"),
    ),
    Mistake(
        "answers that are not there",
        nothing,
        "audit.csv: there is no such file -> name the file with the answers",
        ("propagate", "--answers", "audit.csv"),
    ),
    Mistake(
        "answers in a file that is no audit",
        nothing,
        "products.csv:1: there is no column 'product_id' -> fill in a file that `fewtag propagate --audit N` wrote, and keep its columns",
        ("propagate", "--answers", "products.csv"),
    ),
    Mistake(
        "an answer that is no word and no category",
        write("audit.csv", "product_id,text,category,right\nA1,x,tea,y\nA2,x,tea,maybe\n"),
        "audit.csv:3: 'right' holds 'maybe': there is no category 'maybe'"
        " -> write y, n or a category: write an id, a full path or a unique name of the taxonomy",
        ("propagate", "--answers", "audit.csv"),
    ),
    Mistake("half a description of the tagger", write(f"{TAGGER}/tagger.json", "{"), DAMAGED, ("explain", "A1")),
    Mistake("no description of the tagger's models", write(f"{TAGGER}/tagger.json", '{"format": 1}'), DAMAGED, ("explain", "A1")),
    Mistake("a list for the tagger", write(f"{TAGGER}/tagger.json", "[]"), DAMAGED, ("tag", "products.csv")),
    Mistake("bytes for the tagger", write(f"{TAGGER}/tagger.json", b"\xff\xff"), DAMAGED),
    Mistake("tensors that are none", write(TENSORS, "x"), DAMAGED, ("tag", "products.csv")),
    Mistake("tensors that are gone", delete(TENSORS), DAMAGED),
    Mistake("vocabulary that is none", write(f"{TAGGER}/zero_shot/ngrams.json", "{"), DAMAGED, ("explain", "A1")),
    Mistake("taxonomy of the tagger that is gone", delete(f"{TAGGER}/taxonomy.json"), DAMAGED, ("explain", "A1")),
    Mistake("status without the tagger's taxonomy", delete(f"{TAGGER}/taxonomy.json"), DAMAGED, ("status",)),
    Mistake("export without the tagger's taxonomy", delete(f"{TAGGER}/taxonomy.json"), DAMAGED, ("export", "-o", "out.csv")),
    Mistake(
        "export of an unknown kind",
        nothing,
        "out.xlsx: 'out.xlsx' is of no known kind -> name a file that ends in .csv, .jsonl, .parquet",
        ("export", "-o", "out.xlsx"),
    ),
    Mistake(
        "tagger that is gone",
        delete(TAGGER),
        "{shop}/.fewtag/tagger: there is no tagger here -> run `fewtag bootstrap TAXONOMY`, or name a folder that `Tagger.save` wrote",
        ("tag", "products.csv"),
    ),
    Mistake(
        "tagger of a newer fewtag",
        saved(format=2, fewtag="9.1"),
        "{shop}/.fewtag/tagger: the tagger was saved by the newer fewtag 9.1 -> upgrade fewtag",
        ("tag", "products.csv"),
    ),
    Mistake(
        "ledger that is none",
        write(".fewtag/fewtag.db", "no ledger" * 1000),
        "{shop}/.fewtag/fewtag.db: this file is no ledger -> move it away and bootstrap again",
        ("status",),
    ),
]


IMPORT = ("label", "import", "labels.csv", "--by", "ann")
CLEAR = "name either a PRODUCT_ID, with --by where another one said so, or --run N alone"
LABEL_MISTAKES = [
    *(
        Mistake(f"import with {name}", write("labels.csv", content), f"labels.csv{told}", IMPORT)
        for name, content, told in [
            (
                "no column of categories",
                "sku,price\nA1,3\n",
                ":1: no column is called like a category -> call one of sku, price 'category'",
            ),
            (
                "no column of products",
                "category\ntea\n",
                ":1: no column is called like a product's id or text -> call one of category 'product_id' or 'text'",
            ),
            ("no rows", "sku,category\n", ": the file has no labels -> write one in each row"),
            ("nothing", "", f": the file is empty -> {LABELS}"),
            (
                "a bad row behind good ones",
                "sku,category\nA1,tea\nA2,tea\nA3,咖非\n",
                ":4: there is no category '咖非' -> write an id, a full path or a unique name of the taxonomy",
            ),
            ("a category that is near", "sku,category\nA1,速溶咖非\n", ":2: there is no category '速溶咖非' -> did you mean '饮料/咖啡'?"),
            (
                "an inner category",
                "sku,category\nA1,饮料\n",
                ":2: no product belongs to 'drinks' itself -> write one of its children: tea, 饮料/咖啡, juice",
            ),
            ("no category", "sku,category\nA1,\n", ":2: product 'A1' has no category -> fill 'category', or delete the row"),
            ("no product", "sku,category\n,tea\n", ":2: the row names no product -> give its id or its text, or delete the row"),
            (
                "an unknown product",
                "sku,category\nA1,tea\nA99,tea\n",
                ":3: there is no product 'A99' in the catalogue"
                " -> write an id as the catalogue has it, or give the product's text in a column 'text'",
            ),
            (
                "a denial that is none",
                "sku,category,negative\nA1,tea,perhaps\n",
                ":2: 'negative' holds 'perhaps' -> write true or false, or leave it empty",
            ),
            (
                "two minds",
                "sku,category\nA1,tea\nA1,juice\n",
                ":3: product 'A1' is 'juice' here, and 'tea' at line 2"
                " -> delete one of the two rows, or say in a column 'source' who says which",
            ),
            (
                "a ragged row",
                "sku,category\nA1,tea,x\n",
                ":2: the row has 3 cells and the header 2 -> put a text that holds the delimiter in quotes,"
                " or name a catalogue's delimiter with `delimiter:`",
            ),
        ]
    ),
    Mistake(
        "import of a file that is not there", nothing, "labels.csv: there is no such file -> name a file of labels that is there", IMPORT
    ),
    Mistake(
        "import without the catalogue",
        both(write("labels.csv", "sku,category\nA1,tea\n"), delete("products.csv")),
        f"{{shop}}/products.csv: {NO_CATALOGUE}",
        IMPORT,
    ),
    Mistake(
        "import into a damaged tagger",
        both(write("labels.csv", "sku,category\nA1,tea\n"), write(f"{TAGGER}/tagger.json", "{")),
        DAMAGED,
        IMPORT,
    ),
    Mistake(
        "label of an unknown product",
        nothing,
        "{shop}/products.csv: there is no product 'A99' -> write an id as the catalogue has it",
        ("label", "add", "A99", "tea"),
    ),
    Mistake(
        "label of an unknown category",
        nothing,
        "there is no category '苹果' -> did you mean 'juice'?",
        ("label", "add", "A1", "苹果", "--not"),
    ),
    Mistake(
        "label of an inner category",
        nothing,
        "no product belongs to 'home' itself -> write one of its children: soap, 日用/牙膏, towels",
        ("label", "add", "A1", "日用"),
    ),
    Mistake(
        "undo of what was not said",
        nothing,
        "'ann' has said nothing of product 'A1' -> `fewtag label list` shows the labels that hold",
        ("label", "undo", "A1", "--by", "ann"),
    ),
    Mistake(
        "undo of a run that brought no labels",
        nothing,
        "there are no labels of run 1 -> `fewtag label list --json` shows which run a label came with",
        ("label", "undo", "--run", "1"),
    ),
    *(
        Mistake(
            f"undo of {' '.join(command) or 'nothing'}", nothing, f"what to take back is not clear -> {CLEAR}", ("label", "undo", *command)
        )
        for command in ((), ("A1", "--run", "1"), ("--run", "1", "--by", "ann"), ("--by", "ann"))
    ),
    *(
        Mistake(f"evaluation of {name}", write("gold.csv", content), f"gold.csv{told}", ("evaluate", "gold.csv"))
        for name, content, told in [
            ("no rows", "sku,category\n", ": the file has no labels -> write one in each row"),
            ("nothing", "", f": the file is empty -> {LABELS}"),
            (
                "an unknown category",
                "sku,category\nA1,tea\nA2,速溶咖非\n",
                ":3: there is no category '速溶咖非' -> did you mean '饮料/咖啡'?",
            ),
            (
                "an unknown product",
                "sku,category\nA99,tea\n",
                ":2: there is no product 'A99' in the catalogue"
                " -> write an id as the catalogue has it, or give the product's text in a column 'text'",
            ),
            (
                "gold that contradicts itself",
                "sku,category\nA1,tea\nA1,juice\n",
                ":3: product 'A1' is 'juice' here, and 'tea' at line 2"
                " -> delete one of the two rows, or say in a column 'source' who says which",
            ),
            (
                "gold that says what nothing is",
                "sku,category,not\nA1,tea,x\n",
                ": no product is left to be evaluated -> give gold that sources agree on, and that says what products are",
            ),
        ]
    ),
    Mistake(
        "evaluation of what belongs nowhere",
        write("gold.csv", "sku,category\nA1,\n"),
        "gold.csv: no product that could be measured has a gold category"
        " -> give gold of products that belong somewhere, and that the tagger has not learnt from",
        ("evaluate", "gold.csv"),
    ),
    Mistake(
        "evaluation of a file that is not there",
        nothing,
        "gold.csv: there is no such file -> name a file of labels that is there",
        ("evaluate", "gold.csv"),
    ),
    Mistake(
        "evaluation into the gold itself",
        write("gold.csv", "sku,category\nA1,tea\n"),
        "gold.csv: the products themselves are in this file -> write the tags to another one",
        ("evaluate", "gold.csv", "-o", "gold.csv"),
    ),
    Mistake("list without the tagger's taxonomy", delete(f"{TAGGER}/taxonomy.json"), DAMAGED, ("label", "list")),
]


def test_undo_of_what_another_one_said_names_them(tagged: Path, run: Run) -> None:
    for who in ("cal", "bob"):
        assert run("label", "add", "A1", "tea", "--by", who).code == 0
    told = "'ann' has said nothing of product 'A1' -> say whose with --by: bob, cal"
    refused(tagged, run, Mistake("", nothing, told, ("label", "undo", "A1", "--by", "ann")))


@said_names([*LATER_MISTAKES, *LABEL_MISTAKES])
def test_a_mistake_behind_a_bootstrap_is_told_with_its_mend_and_leaves_all_as_it_was(tagged: Path, run: Run, mistake: Mistake) -> None:
    refused(tagged, run, mistake)


@pytest.mark.parametrize("damage", [write(f"{TAGGER}/tagger.json", "{"), write(TENSORS, "x"), delete(f"{TAGGER}/taxonomy.json")])
def test_what_mends_a_damaged_tagger_mends_it(tagged: Path, run: Run, damage: Change) -> None:
    tags = run("tag", "products.csv").out
    damage()
    delete(TAGGER)()
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert run("tag", "products.csv").out == tags


def test_a_tagger_whose_encoder_has_changed_is_refused(shop: Path, run: Run, tiny_encoder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from fewtag.models.source import weights_hash

    shutil.copytree(tiny_encoder, "encoder")
    yaml("language: zh", "language: zh\nmodels: {encoder: encoder}")()
    assert run("bootstrap", "taxonomy.yaml").code == 0
    weights = load_file("encoder/model.safetensors")
    old = weights_hash(Path("encoder"))
    save_file({name: torch.zeros_like(each) for name, each in weights.items()}, "encoder/model.safetensors", {"format": "pt"})
    new = weights_hash(Path("encoder"))
    told = f"{{shop}}/{TAGGER}: the tagger was made with {{shop}}/encoder at '{old}', and here is '{new}'"
    for command in (("explain", "A1"), ("tag", "products.csv")):
        refused(shop, run, Mistake("", nothing, f"{told} -> bring what it was made with, or bootstrap again", command))
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert run("explain", "A1").code == 0


def test_an_encoder_that_cannot_be_loaded_is_named_and_the_way_without_it(shop: Path, run: Run) -> None:
    both(yaml("language: zh", "language: zh\nmodels: {encoder: mine}"), write("mine/model.safetensors", "x"))()
    said = run("bootstrap", "taxonomy.yaml")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1].startswith(f"Error: the encoder '{shop}/mine' cannot be loaded: ")
    assert said.err.splitlines()[-1].endswith(f" -> {WORKS_OFFLINE}")


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def goes_on(shop: Path, run: Run) -> None:
    """What a full disk has left is no half file, and the same command ends as if nothing had been."""
    assert [name for name in contents(shop) if ".part" in name] == []
    assert run("bootstrap", "taxonomy.yaml").out == "12 products: 12 tagged, 0 backed off to a parent, 0 left open\n"
    assert len(json.loads(run("status", "--json").out)["categories"]) == 6


@pytest.mark.parametrize(
    ("earlier", "where"),
    [
        (0, ".fewtag/workspace.json"),
        (1, ".fewtag/tagger.part/taxonomy.json"),
        (2, ".fewtag/tagger.part/tagger.json"),
    ],
)
def test_a_disk_that_is_full_is_told_and_gone_on_from(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch, earlier: int, where: str
) -> None:
    fsync = os.fsync
    calls: list[int] = []

    def fills(file: int) -> None:
        calls.append(file)
        (fsync if len(calls) <= earlier else full)(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fills)
        said = run("bootstrap", "taxonomy.yaml")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1] == f"Error: {shop}/{where}: the disk is full -> {GO_ON}"
    assert (shop / "taxonomy.yaml").read_text(encoding="utf-8") == TAXONOMY
    goes_on(shop, run)


def test_a_disk_that_the_tensors_fill_is_told_and_gone_on_from(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        said = run("bootstrap", "taxonomy.yaml")
    assert (said.code, said.err.splitlines()[-1]) == (2, f"Error: {shop}/.fewtag/tagger: the disk is full -> {GO_ON}")
    goes_on(shop, run)


def test_a_disk_that_the_ledger_fills_is_told_and_gone_on_from(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = store._prepare_sqlite

    def small(connection: Any, record: Any) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA max_page_count=4")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_prepare_sqlite", small)
        said = run("bootstrap", "taxonomy.yaml")
    assert (said.code, said.err.splitlines()[-1]) == (2, f"Error: {shop}/.fewtag/fewtag.db: the disk is full -> {GO_ON}")
    goes_on(shop, run)


def test_a_disk_that_the_tags_fill_leaves_the_old_file_whole(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtag.tag_file.stream_csv", full)
    told = f"out.csv: the disk is full -> {GO_ON}"
    refused(tagged, run, Mistake("", write("out.csv", "old"), told, ("tag", "products.csv", "-o", "out.csv")))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
def test_data_that_does_not_fit_on_the_disk_is_told(tagged: Path) -> None:
    command = [sys.executable, "-c", "from fewtag.cli import main; main()", "status"]
    with Path("/dev/full").open("w") as target:
        found = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1] == "Error: standard output: the disk is full -> free some space and run the same command again"
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(("number", "problem"), [(errno.EROFS, "the file system is read-only"), (errno.EACCES, "you may not write here")])
def test_a_folder_that_cannot_be_written_is_told_and_another_one_does(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch, number: int, problem: str
) -> None:
    mkdir = Path.mkdir

    def refuses(self: Path, *arguments: Any, **settings: Any) -> None:
        if self.name == ".fewtag":
            raise OSError(number, os.strerror(number))
        mkdir(self, *arguments, **settings)

    monkeypatch.setattr(Path, "mkdir", refuses)
    refused(shop, run, Mistake("", nothing, f"{{shop}}/.fewtag: {problem} -> name a folder that can be written with --workspace"))
    assert run("bootstrap", "taxonomy.yaml", "--workspace", "writable").code == 0


HOLDS = """
import sys
from pathlib import Path
from fewtag.workspace import Workspace
sys.argv = ["fewtag", "bootstrap", "taxonomy.yaml"]
with Workspace(Path(".fewtag")).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_says_who_holds_the_workspace(tagged: Path, run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "held\n"
            since = json.loads(Path(".fewtag/lock.json").read_text(encoding="utf-8"))["since"]
            who = f"process {other.pid} on {socket.gethostname()}, `fewtag bootstrap taxonomy.yaml`, since {since}"
            told = f"{{shop}}/.fewtag: another run holds this workspace: {who} -> wait for it to end, or stop it"
            refused(tagged, run, Mistake("", nothing, told))
            refused(tagged, run, Mistake("", nothing, told, ("label", "add", "A1", "tea")))
            refused(tagged, run, Mistake("", nothing, told, ("label", "undo", "A1")))
            assert run("status").code == run("label", "list").code == 0
        finally:
            other.kill()
    assert run("bootstrap", "taxonomy.yaml").code == 0
