"""taxonomy.yaml: what it says, each error with its line and its mend, and ids that are written without losing a comment."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewtag.catalogue_file import Columns
from fewtag.errors import TaxonomyError
from fewtag.shipped import shipped
from fewtag.taxonomy import Category, Taxonomy
from fewtag.taxonomy_file import ModelSettings, read_taxonomy_file, write_ids

TEA = "categories: [Tea]\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "taxonomy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(folder: Path, text: str | bytes) -> Taxonomy:
    return read_taxonomy_file(write(folder, text)).taxonomy


def told(folder: Path, text: str | bytes) -> str:
    """Return what reading the text says, from the file's name on."""
    with pytest.raises(TaxonomyError) as raised:
        load(folder, text)
    return str(raised.value).removeprefix(f"{folder}/")


# what it says


def test_a_whole_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
fewtag: 1
name: corner-shop
language: en
catalogue: {file: products.csv, id: sku, text: "{{ title }}. {{ brand }}", image: photo, encoding: cp1252, delimiter: ";"}
models: {preset: small, encoder: my/encoder, lm: my/lm, classifier: my/classifier}
prompt: category.v1
categories:
  - id: tea
    name: Tea
    aliases: [chai, cuppa]
    description: >
      leaf tea,
      tea bags
    examples: ["Earl Grey: 100 ct"]
    assignable: true
    children:
      - name: Green tea
      - Black tea
      - id: gift
        name: Gift sets
        parents: [gifts]
  - id: gifts
    name: Gifts
    select: many
""",
    )
    file = read_taxonomy_file(path)
    assert [file.taxonomy[node] for node in file.taxonomy] == [
        Category("tea", "Tea", ("chai", "cuppa"), "leaf tea, tea bags", ("Earl Grey: 100 ct",), assignable=True),
        Category("tea/green-tea", "Green tea", parents=("tea",)),
        Category("tea/black-tea", "Black tea", parents=("tea",)),
        Category("gift", "Gift sets", parents=("tea", "gifts")),
        Category("gifts", "Gifts", select="many"),
    ]
    assert [file.taxonomy[node].line for node in file.taxonomy] == [8, 17, 18, 19, 22]
    assert (file.path, file.taxonomy.name, file.taxonomy.language, file.prompt, file.ids_made) == (
        path,
        "corner-shop",
        "en",
        "category.v1",
        2,
    )
    assert file.catalogue == Columns("products.csv", "sku", "{{ title }}. {{ brand }}", "photo", "cp1252", ";", f"{path}:4")
    assert file.models == ModelSettings("small", "my/encoder", "my/lm", "my/classifier", f"{path}:5")


@pytest.mark.parametrize(
    ("lm", "name"),
    [
        ('{server: "http://localhost:8000/v1", model: qwen/small}', "http://localhost:8000/v1#qwen/small"),
        ('{server: "https://host/v1"}', "https://host/v1"),
        ('"http://localhost:8000/v1"', "http://localhost:8000/v1"),
        ("none", "none"),
    ],
)
def test_a_language_model_may_be_on_a_server(tmp_path: Path, lm: str, name: str) -> None:
    assert read_taxonomy_file(write(tmp_path, f"models: {{lm: {lm}}}\ncategories: [Tea]\n")).models.lm == name


@pytest.mark.parametrize(
    ("lm", "told"),
    [
        ("{server: localhost}", "`lm` is on the server 'localhost' -> write it as `server: \"http://localhost:8000/v1\"`"),
        ("{model: qwen}", "`lm` is on the server '' -> write it as `server: \"http://localhost:8000/v1\"`"),
        ("{url: http}", "`lm` has the unknown key 'url' -> use one of server, model"),
    ],
)
def test_a_server_that_is_told_wrongly_is_told_with_its_line(tmp_path: Path, lm: str, told: str) -> None:
    path = write(tmp_path, f"models: {{lm: {lm}}}\ncategories: [Tea]\n")
    with pytest.raises(TaxonomyError) as error:
        read_taxonomy_file(path)
    assert str(error.value) == f"{path}:1: {told}"


def test_a_list_of_names_is_enough(tmp_path: Path) -> None:
    file = read_taxonomy_file(write(tmp_path, "categories: [茶, 咖啡]\n"))
    assert list(file.taxonomy) == ["茶", "咖啡"]
    assert (file.taxonomy.name, file.taxonomy.language) == ("taxonomy", "zh"), "the file's name, and what the script shows"
    assert (file.catalogue, file.models, file.prompt, file.ids_made) == (None, ModelSettings(), None, 2)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + TEA,
        TEA.replace("\n", "\r\n"),
        "---\n" + TEA,
        "fewtag: '1'\n" + TEA,
        "name:\nmodels:\n" + TEA,
        "categories:\n  - name: '  Tea '\n",
        "categories:\n  - {name: Tea, id: , aliases: , children: , select: }\n",
        "categories: !shelves [Tea]\n",
    ],
)
def test_other_ways_to_write_the_same(tmp_path: Path, text: str) -> None:
    taxonomy = load(tmp_path, text)
    assert [taxonomy[node] for node in taxonomy] == [Category("tea", "Tea")]


def test_no_and_on_are_names_and_whole_numbers_too(tmp_path: Path) -> None:
    assert list(load(tmp_path, "categories: [No, on, 2024, 12]\n")) == ["no", "on", "2024", "12"]


def test_a_name_in_several_lines_is_one_line(tmp_path: Path) -> None:
    assert load(tmp_path, 'categories:\n  - name: "Home\\n  & garden"\n')["home-garden"].name == "Home & garden"


def test_a_single_text_is_a_list_of_one(tmp_path: Path) -> None:
    assert load(tmp_path, "categories:\n  - {name: Tea, aliases: chai}\n")["tea"].aliases == ("chai",)


def test_a_parent_named_twice_is_one_parent(tmp_path: Path) -> None:
    text = "categories:\n  - name: A\n    children:\n      - {id: b, name: B, parents: [a, c, c]}\n  - {id: c, name: C}\n"
    assert load(tmp_path, text).parents("b") == ("a", "c")


def test_a_tab_can_be_the_delimiter(tmp_path: Path) -> None:
    file = read_taxonomy_file(write(tmp_path, TEA + 'catalogue: {file: p.txt, delimiter: "\\t", id: ""}\n'))
    assert file.catalogue is not None
    assert (file.catalogue.delimiter, file.catalogue.id) == ("\t", None)


@pytest.mark.parametrize("path", sorted(shipped("taxonomy").glob("*.yaml")), ids=lambda path: path.name)
def test_every_starter_taxonomy_loads_saves_and_has_all_its_ids(path: Path, tmp_path: Path) -> None:
    file = read_taxonomy_file(path)
    assert file.ids_made == 0
    file.taxonomy.save(tmp_path / "t.yaml")
    assert Taxonomy.load(tmp_path / "t.yaml").version == file.taxonomy.version


# what is wrong with it: the text, and all that is said


QUOTES = "which YAML does not read as text -> put it in quotes"
NAMES = "use one of id, name, aliases, description, examples, children, parents, assignable, select"

WRONG = {
    "": "taxonomy.yaml: the file is empty -> start from one of the starter taxonomies",
    "# nothing\n\n": "taxonomy.yaml: the file is empty -> start from one of the starter taxonomies",
    "- Tea\n": "taxonomy.yaml:1: the file is no mapping -> start it with `fewtag: 1` and `categories:`",
    "Tea": "taxonomy.yaml:1: the file is no mapping -> start it with `fewtag: 1` and `categories:`",
    # YAML itself
    "categories:\n  - name: Tea\n   bad\n": "taxonomy.yaml:3: this is not valid YAML: expected <block end>, but found '<scalar>' "
    "-> mend the line, or put its text in quotes",
    "categories: [Tea\n": "taxonomy.yaml:2: this is not valid YAML: expected ',' or ']', but got '<stream end>' "
    "-> mend the line, or put its text in quotes",
    "categories:\n\t- Tea\n": "taxonomy.yaml:2: this is not valid YAML: found character '\\t' that cannot start any token "
    "-> indent with blanks, not with a tab",
    "categories:\n  - name: Tea\n    name: Jam\n": 'taxonomy.yaml:3: this is not valid YAML: found duplicate key "name" '
    "-> take one of the two away",
    "categories:\n  - Tea\ncategories:\n  - {name: Jam, aliases: [a, b]}\n": "taxonomy.yaml:3: this is not valid YAML: "
    'found duplicate key "categories" -> take one of the two away',
    TEA + "---\n" + TEA: "taxonomy.yaml:2: this is not valid YAML: but found another document -> take the `---` between them away",
    "categories:\n  - Tea\n  - J\0am\n": "taxonomy.yaml:3: the file holds the character '\\x00' "
    "-> delete it, or save the file as plain text",
    "categories: " + "[{name: A, children: " * 1000 + "[A]" + "}]" * 1000: "taxonomy.yaml: the file is nested too deeply "
    "-> take levels away",
    # the top of the file
    "name: x\ncatgories: [Tea]\n": "taxonomy.yaml:2: the file has the unknown key 'catgories' -> did you mean 'categories'?",
    "12: x\n" + TEA: "taxonomy.yaml:1: the file has the unknown key '12' "
    "-> use one of fewtag, name, language, catalogue, models, prompt, categories",
    "name: x\nfewtag: 2\n" + TEA: "taxonomy.yaml:2: the file has format 2, and this fewtag reads format 1 "
    "-> upgrade fewtag, or write `fewtag: 1`",
    "fewtag: true\n" + TEA: "taxonomy.yaml:1: the file has format True, and this fewtag reads format 1 "
    "-> upgrade fewtag, or write `fewtag: 1`",
    "name: x\n": "taxonomy.yaml:1: the file lists no categories -> add `categories:` with at least one `- name: ...` below it",
    "name: x\ncategories:\n": "taxonomy.yaml:2: the file lists no categories "
    "-> add `categories:` with at least one `- name: ...` below it",
    "name: x\ncategories: {Tea: 1}\n": "taxonomy.yaml:2: the file lists no categories "
    "-> add `categories:` with at least one `- name: ...` below it",
    "name: x\nlanguage: false\n" + TEA: f"taxonomy.yaml:2: `language` holds 'False', {QUOTES}",
    # its sections
    "name: x\ncatalogue: products.csv\n" + TEA: "taxonomy.yaml:2: `catalogue` is no mapping -> write it as `catalogue: {...}`",
    "name: x\ncatalogue: {id: sku}\n" + TEA: "taxonomy.yaml:2: `catalogue` names no file -> add `file: products.csv`",
    "catalogue:\n  fil: x\n" + TEA: "taxonomy.yaml:2: `catalogue` has the unknown key 'fil' -> did you mean 'file'?",
    "catalogue:\n  where: x\n" + TEA: "taxonomy.yaml:2: `catalogue` has the unknown key 'where' "
    "-> use one of file, id, text, image, encoding, delimiter",
    "catalogue:\n  file: x\n  text: {{ title }}\n" + TEA: f"taxonomy.yaml:3: `text` holds a mapping, {QUOTES}",
    "models: {preset: true}\n" + TEA: f"taxonomy.yaml:1: `preset` holds 'True', {QUOTES}",
    # a category
    "categories:\n  - Tea\n  - id: x\n": "taxonomy.yaml:3: a category has no name -> add `name:`",
    "categories:\n  - Tea\n  -\n": "taxonomy.yaml:3: a category has no name -> add `name:`",
    "categories:\n  - {id: a, name: ' '}\n": "taxonomy.yaml:2: a category has no name -> add `name:`",
    "categories:\n  - Tea\n  - true\n": f"taxonomy.yaml:3: `name` holds 'True', {QUOTES}",
    "categories:\n  - name: Tea\n    id: 007\n": f"taxonomy.yaml:3: `id` holds '7', {QUOTES}",
    "categories:\n  - name: Tea\n  - 1.50\n": f"taxonomy.yaml:3: `name` holds '1.5', {QUOTES}",
    "categories:\n  - 2024-01-01\n": f"taxonomy.yaml:2: `name` holds '2024-01-01', {QUOTES}",
    "categories:\n  - [Tea]\n": f"taxonomy.yaml:2: `name` holds a list, {QUOTES}",
    "categories:\n  - name: Tea\n    aliases: [chai, false]\n": f"taxonomy.yaml:3: `aliases` holds 'False', {QUOTES}",
    "categories:\n  - name: Tea\n    aliases: {chai: 1}\n": "taxonomy.yaml:3: `aliases` is no list -> write it as `aliases: [one, two]`",
    "categories:\n  - name: Tea\n    alias: x\n": "taxonomy.yaml:3: a category has the unknown key 'alias' -> did you mean 'aliases'?",
    "categories:\n  - Tea: black\n": f"taxonomy.yaml:2: a category has the unknown key 'Tea' -> {NAMES}",
    "categories:\n  - name: Tea\n    children: {name: Green}\n": "taxonomy.yaml:3: `children` is no list -> start each child with `- `",
    "categories:\n  - name: Tea\n    assignable: yes\n": "taxonomy.yaml:3: `assignable` is 'yes' -> write true or false",
    "categories:\n  - name: Tea\n    select: some\n": "taxonomy.yaml:3: `select` is 'some' -> write one or many",
    "categories:\n  - name: Tea\n    children:\n      - name: Green\n        select: one\n": "taxonomy.yaml:4: category 'tea/green' has "
    "`select` but is no root -> move `select` to its root",
    # categories together
    "categories:\n  - {id: tea, name: Tea}\n  - {id: tea, name: Jam}\n": "taxonomy.yaml:3: category 'tea' is defined twice "
    "(first at line 2) -> give one of them another id",
    "categories: \n  - Tea\n  - tea!\n": "taxonomy.yaml:3: category 'tea' is defined twice (first at line 2) "
    "-> give one of them another id",
    "categories:\n  - Tea\n  - {name: Jam, parents: [teas]}\n": "taxonomy.yaml:3: category 'jam' has the unknown parent 'teas' "
    "-> did you mean 'tea'?",
    "categories:\n  - {id: a, name: A, parents: [b]}\n  - {id: b, name: B, parents: [a]}\n": "taxonomy.yaml:2: the categories form a "
    "circle: a > b > a -> take one of these parents away",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_told_with_its_line_and_its_mend(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, text) == WRONG[text]


def test_bytes_that_are_no_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    assert told(tmp_path, b"# shop\ncategories: [T\xe9]\n") == "taxonomy.yaml:2: the file is not UTF-8 text -> save it as UTF-8"
    assert told(tmp_path, TEA.encode("utf-16")) == "taxonomy.yaml:1: the file is not UTF-8 text -> save it as UTF-8"


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(tmp_path: Path, newline: str) -> None:
    text = newline.join(["categories:", "  - name: Tea", "  - nam: Jam", ""])
    assert told(tmp_path, text) == "taxonomy.yaml:3: a category has the unknown key 'nam' -> did you mean 'name'?"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError) as raised:
        Taxonomy.load(tmp_path / "none.yaml")
    assert str(raised.value) == f"{tmp_path}/none.yaml: there is no such file -> name an existing taxonomy.yaml"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError) as raised:
        Taxonomy.load(tmp_path)
    assert str(raised.value) == f"{tmp_path}: this is a folder -> name the taxonomy.yaml within it"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, TEA)
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(TaxonomyError) as raised:
        Taxonomy.load(path)
    assert str(raised.value) == f"{path}: the file cannot be read: Permission denied -> check its permissions"


# ids written into the file

WITHOUT_IDS = """\
# our shelves
fewtag: 1   # the format
name: "Corner shop"

catalogue: {file: p.csv, text: "{{ title }}"}  # the till's export

categories:  # all of them
  # hot drinks first
  - name: Tea  # loose
    # and bags
    aliases: [chai, 'cuppa']
    children:
      - Green tea   # plain
      # before black
      - name: 'Black tea'
        description: >
          a long
          folded text
      - id: mine
        name: Herbal

  # then jam
  - Jam
  - {name: Oil, aliases: [f]}
  - 2024
# the end
"""

WITH_IDS = """\
# our shelves
fewtag: 1   # the format
name: "Corner shop"

catalogue: {file: p.csv, text: "{{ title }}"}  # the till's export

categories:  # all of them
  # hot drinks first
  - id: tea
    name: Tea  # loose
    # and bags
    aliases: [chai, 'cuppa']
    children:
      - id: tea/green-tea
        name: Green tea # plain
      # before black
      - id: tea/black-tea
        name: 'Black tea'
        description: >
          a long
          folded text
      - id: mine
        name: Herbal

  # then jam
  - id: jam
    name: Jam
  - {id: oil, name: Oil, aliases: [f]}
  - id: '2024'
    name: '2024'
# the end
"""


def test_ids_are_written_and_comments_and_order_stay(tmp_path: Path) -> None:
    path = write(tmp_path, WITHOUT_IDS)
    version = Taxonomy.load(path).version
    assert write_ids(path) == 6
    assert path.read_text(encoding="utf-8") == WITH_IDS
    assert Taxonomy.load(path).version == version


def test_a_file_with_all_its_ids_is_left_untouched(tmp_path: Path) -> None:
    text = "categories:\n- {id:   tea,   name:   Tea}   # odd blanks\n"
    path = write(tmp_path, text)
    before = path.stat().st_ino
    assert write_ids(path) == 0
    assert path.read_text(encoding="utf-8") == text
    assert path.stat().st_ino == before


def test_an_empty_id_is_filled_in(tmp_path: Path) -> None:
    path = write(tmp_path, "categories:\n  - id:\n    name: Tea\n  - name: Jam\n    id: ''\n")
    assert write_ids(path) == 2
    assert path.read_text(encoding="utf-8") == "categories:\n  - id: tea\n    name: Tea\n  - id: jam\n    name: Jam\n"


def test_written_ids_outlive_a_renaming(tmp_path: Path) -> None:
    path = write(tmp_path, "categories:\n  - name: Tea\n    children: [Green]\n")
    write_ids(path)
    path.write_text(path.read_text(encoding="utf-8").replace("name: Tea", "name: Hot drinks"), encoding="utf-8")
    assert {node: Taxonomy.load(path).path(node) for node in Taxonomy.load(path)} == {
        "tea": "Hot drinks",
        "tea/green": "Hot drinks > Green",
    }


def test_ids_that_would_clash_are_not_written(tmp_path: Path) -> None:
    text = "categories:\n  - Tea\n  - tea!\n"
    path = write(tmp_path, text)
    with pytest.raises(TaxonomyError, match=r"taxonomy\.yaml:3: category 'tea' is defined twice"):
        write_ids(path)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "text",
    [
        "categories:\n  - name: A\n    children:\n      - &x {name: X}\n  - name: B\n    children:\n      - *x\n",
        "categories:\n  - name: A\n    children: &c\n      - X\n  - name: B\n    children: *c\n",
    ],
)
def test_a_category_used_twice_through_an_alias_gets_no_id(tmp_path: Path, text: str) -> None:
    """It has an id on each of its paths, and one place in the file for both."""
    path = write(tmp_path, text)
    assert list(Taxonomy.load(path)) == ["a", "a/x", "b", "b/x"]
    with pytest.raises(TaxonomyError) as raised:
        write_ids(path)
    assert str(raised.value) == f"{path}:4: a YAML alias (`*`) uses a category a second time -> write the category out"
    assert path.read_text(encoding="utf-8") == text


def test_a_wrong_file_gets_no_ids(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="the file lists no categories"):
        write_ids(write(tmp_path, "name: x\n"))


# saving


def test_a_saved_file_reads_well(tmp_path: Path) -> None:
    taxonomy = Taxonomy(
        [
            Category("tea", "Tea", aliases=("chai", "No"), description="leaves", examples=("Earl Grey: 100",), assignable=True),
            Category("gift", "Gift sets", parents=("tea", "gifts")),
            Category("gifts", "Gifts", select="many"),
        ],
        name="shop",
    )
    taxonomy.save(tmp_path / "t.yaml")
    assert (
        (tmp_path / "t.yaml").read_text(encoding="utf-8")
        == """\
fewtag: 1
name: shop
language: en
categories:
  - id: tea
    name: Tea
    aliases:
      - chai
      - No
    description: leaves
    examples:
      - 'Earl Grey: 100'
    assignable: true
    children:
      - id: gift
        name: Gift sets
        parents:
          - gifts
  - id: gifts
    name: Gifts
    select: many
"""
    )
