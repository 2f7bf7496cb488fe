"""Prompts: what the shipped ones say, word for word, and what is said of a broken one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fewtag.core import Product
from fewtag.errors import PromptError
from fewtag.prompts import Prompt
from fewtag.shipped import shipped

TEA = Product("4711", "Earl  Grey\ntea bags")

ENRICH = {"enrich.v1": "0b47d04921afee35", "enrich.zh.v1": "f1b653d50ca50ef9"}
RELEASED = {
    "category.v1": "fa492eccd5e5b8da",
    "category.zh.v1": "f5aceccc7b9a23c2",
    "category_chat.v1": "503100d6c2fea2ac",
    "category_chat.zh.v1": "a259d827f35b4381",
    "channel.v1": "04b09ba1be3c2258",
    "channel.zh.v1": "7b10881b46bd8e58",
    "title.v1": "187bc405c770c400",
}


def write(folder: Path, text: str, name: str = "mine.v1.j2") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_released_prompt_is_never_edited() -> None:
    """When this fails, put the old file back and give the new text a new version in its file name."""
    shipped_now = {file.stem for file in shipped("prompts").glob("*.j2")}
    assert {name: Prompt.load(name).hash for name in RELEASED} == RELEASED
    assert {name: Prompt.load(name, "enrich").hash for name in ENRICH} == ENRICH
    assert shipped_now == RELEASED.keys() | ENRICH.keys(), "pin the hash of each new prompt here"


def test_the_hash_is_the_beginning_of_the_files_sha256() -> None:
    content = (shipped("prompts") / "category.v1.j2").read_bytes()
    assert Prompt.load("category.v1").hash == hashlib.sha256(content).hexdigest()[:16]


def test_the_english_completion() -> None:
    prompt = Prompt.load("category.v1")
    assert prompt.render(product=TEA, taxonomy_name="corner-shop") == (
        "Products of corner-shop and the category that each of them belongs to.\n\nProduct: Earl Grey tea bags\nCategory:"
    )
    assert prompt.render(product=TEA) == (
        "Products and the category that each of them belongs to.\n\nProduct: Earl Grey tea bags\nCategory:"
    )  # fmt: skip


def test_the_chinese_completion() -> None:
    product = Product("1", "西湖龙井 250克")
    assert Prompt.load("category.zh.v1").render(product=product, taxonomy_name="杂货店") == (
        "以下是杂货店商品及其所属类别。\n\n商品：西湖龙井 250克\n类别："
    )


def test_a_channel_asks_for_the_product_of_a_category(tmp_path: Path) -> None:
    english, chinese = Prompt.load("channel.v1"), Prompt.load("channel.zh.v1")
    assert (english.channel, chinese.channel, Prompt.load("category.v1").channel) == (True, True, False)
    assert english.render_category("Tea", taxonomy_name="shop") == (
        "Products of shop, each below the category that it belongs to.\n\nCategory: Tea\nProduct:"
    )
    assert chinese.render_category("茶", taxonomy_name="小店") == "以下是小店商品，每件商品列在所属类别之下。\n\n类别：茶\n商品："
    assert (english.verbalise("Earl Grey"), chinese.verbalise("西湖龙井")) == (" Earl Grey", "西湖龙井")
    path = write(tmp_path, "{{ category }}: {{ product.text }}")
    with pytest.raises(PromptError) as caught:
        Prompt.load(path)
    told = "the prompt gives away both the product and its category -> name one of them: the model is asked for the other"
    assert str(caught.value) == f"{path}: {told}"


def test_the_chat_turns() -> None:
    assert Prompt.load("category_chat.v1").render(product=TEA) == (
        "Which category does this product belong to?\n\nProduct: Earl Grey tea bags\n\n"
        "Answer with the name of one category and nothing else."
    )
    assert Prompt.load("category_chat.zh.v1").render(product=TEA) == (
        "下面的商品属于哪个类别？\n\n商品：Earl Grey tea bags\n\n只回答一个类别名称，不要写其他内容。"
    )


@pytest.mark.parametrize(
    ("name", "chat", "label"),
    [
        ("category.v1", False, " Tea"),
        ("category.zh.v1", False, "Tea"),
        ("category_chat.v1", True, "Tea"),
        ("category_chat.zh.v1", True, "Tea"),
    ],
)
def test_a_label_brings_its_space_where_the_prompt_needs_one(name: str, chat: bool, label: str) -> None:
    prompt = Prompt.load(name)
    assert (prompt.chat, prompt.verbalise("Tea")) == (chat, label)


def test_a_content_free_prompt_is_the_same_template_over_nothing(tmp_path: Path) -> None:
    mine = Prompt.load(write(tmp_path, "{{ product.text }} in {{ taxonomy_name }}:\n"))
    assert mine.content_free(taxonomy_name="x") == ["N/A in x:", "in x:", "[MASK] in x:"]


def test_a_users_own_prompt_comes_by_path(tmp_path: Path) -> None:
    mine = Prompt.load(write(tmp_path, "{{ taxonomy_name }}: {{ product.text | lower }}?\n\n"))
    assert mine.name == "mine.v1"
    assert mine.render(product=TEA, taxonomy_name="shop") == "shop: earl  grey\ntea bags?"
    assert mine.verbalise("Tea") == " Tea"


def test_an_unknown_prompt_lists_what_there_is(tmp_path: Path) -> None:
    known = ", ".join(RELEASED)
    with pytest.raises(PromptError) as caught:
        Prompt.load("categroy.v1")
    assert str(caught.value) == f"there is no prompt 'categroy.v1' -> take one of {known}, or the path of your own .j2 file"
    with pytest.raises(PromptError, match=r"there is no prompt '.*absent\.j2'"):
        Prompt.load(str(tmp_path / "absent.j2"))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("Product:\n{{ product.text\n", 2, "the prompt does not parse"),
        ("one\ntwo\n{% if product %}\n", 3, "the prompt does not parse"),
        ("{{ product.text | upcase }}", 1, "the prompt does not parse: No filter named 'upcase'"),
        ("Product:\n{{ titel }}", 2, "the prompt names an unknown variable 'titel'"),
    ],
)
def test_a_broken_prompt_is_told_with_file_and_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PromptError) as caught:
        Prompt.load(path)
    assert str(caught.value).startswith(f"{path}:{line}: {problem}")
    assert caught.value.mend


def test_a_file_that_is_not_text_is_a_prompt_error(tmp_path: Path) -> None:
    (tmp_path / "latin.j2").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(PromptError, match=r"latin\.j2: the prompt cannot be read: .* -> give it as a readable UTF-8 text file"):
        Prompt.load(str(tmp_path / "latin.j2"))
    (tmp_path / "folder.j2").mkdir()
    with pytest.raises(PromptError, match="the prompt cannot be read"):
        Prompt.load(str(tmp_path / "folder.j2"))


def test_a_prompt_reads_a_products_text_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "Product:\n{{ product.fields.colour }}:")
    with pytest.raises(PromptError) as caught:
        Prompt.load(path)
    assert str(caught.value) == (
        f"{path}:2: the prompt reads product.fields, and a model is shown product.text alone"
        " -> put the column into `catalogue: {text: ...}`"
    )


def test_a_prompt_runs_in_a_sandbox(tmp_path: Path) -> None:
    mine = Prompt.load(write(tmp_path, "{{ product.text.__class__.__mro__ }}"))
    with pytest.raises(PromptError, match="unsafe"):
        mine.render(product=TEA)
