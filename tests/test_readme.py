"""The pages that newcomers read: their code runs, their links and file tree are true, and ARCHITECTURE.md stays one page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from ruamel.yaml import YAML

from fewtag import Taxonomy

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r"\('(.*?)'", line).group(1) for line in lines] == ["drinks/tea", "drinks/coffee"]  # type: ignore[union-attr]
    assert (tmp_path / "shop.fewtag" / "tagger.json").is_file()


def test_the_taxonomy_of_the_readme_loads(tmp_path: Path) -> None:
    [text] = blocks("yaml")
    (tmp_path / "taxonomy.yaml").write_text(text, encoding="utf-8")
    assert Taxonomy.load(tmp_path / "taxonomy.yaml").classes == ("drinks/tea", "drinks/coffee")


def test_the_file_tree_of_the_readme_is_the_package() -> None:
    tree = README[README.index("```\nfewtag/") : README.index("\nprompts/")]
    folders: list[str] = []
    named = set()
    for indent, name in re.findall(r"^( +)([\w/.]+)  ", tree, flags=re.MULTILINE):
        del folders[len(indent) // 2 - 1 :]
        if name.endswith("/"):
            folders.append(name)
        else:
            named.add("".join(folders) + name)
    package = ROOT / "fewtag"
    assert named == {str(file.relative_to(package)) for file in package.rglob("*.py") if file.name != "__init__.py"}


def shape(value: Any) -> Any:
    """The keys of JSON, and of the first entry of each list; figures and plain values are all alike."""
    if isinstance(value, list):
        return [shape(value[0])]
    if isinstance(value, dict) and set(value) - {"value", "low", "high"}:
        return {name: shape(each) for name, each in value.items()}
    return {} if isinstance(value, dict) else type(value).__name__


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("shop", ["zahuodian", pytest.param("corner-shop", marks=pytest.mark.slow)])
def test_the_evaluation_of_the_readme_runs_and_prints_what_stands_there(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """zahuodian needs no encoder; corner-shop, of which the README tells, has its figures."""
    shutil.copytree(ROOT / "examples" / shop, tmp_path / shop, ignore=shutil.ignore_patterns(".fewtag"))
    monkeypatch.chdir(tmp_path / shop)
    section = README[README.index("## How good is it?") : README.index("## What is where")]
    commands, printed = re.findall(r"```(?:sh)?\n(.*?)```", section, flags=re.DOTALL)[:2]
    said = [run(*line.removeprefix("fewtag ").split()) for line in commands.splitlines()]
    assert [each.code for each in said] == [0, 0]

    def figures(text: str) -> dict[str, list[float]]:
        """The figures behind the words that a line begins with, without the intervals."""
        lines = [re.sub(r" +", " ", re.sub(r"\[.*?\]", "", line)).strip() for line in text.splitlines()]
        return {re.split(r" \d\.\d{3}", line)[0]: [float(each) for each in re.findall(r" (\d\.\d{3})", line)] for line in lines if line}

    told, found = figures(printed), figures(said[1].out)
    if shop == "corner-shop":
        assert {name: found[name] for name in told} == {
            name: pytest.approx(each, abs=0.02 if name == "3 77" else 0.01) for name, each in told.items()
        }  # other processors: one product of 77 is .013
    else:
        assert {name for name in told if not name[0].isdigit()} <= set(found)
    [documented] = blocks("json")
    assert shape(json.loads(documented)) == shape(json.loads(run("evaluate", "gold.csv", "--json").out))


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links or page == "ARCHITECTURE.md"
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_the_architecture_is_told_on_one_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.parametrize("file", ["taxonomy/retail.en.yaml", "taxonomy/retail.zh.yaml"])
def test_a_starter_taxonomy_has_60_to_120_leaves_each_with_aliases_and_a_description(file: str) -> None:
    taxonomy = Taxonomy.load(ROOT / file)
    assert 60 <= len(taxonomy.leaves) <= 120
    assert [leaf for leaf in taxonomy.leaves if not (taxonomy[leaf].aliases and taxonomy[leaf].description)] == []
    assert all(category.get("id") for category in YAML().load(ROOT / file)["categories"])


@pytest.mark.parametrize("shop", ["corner-shop", "zahuodian"])
def test_an_example_has_gold_for_every_product_and_three_products_for_every_category(shop: str) -> None:
    import csv

    folder = ROOT / "examples" / shop
    rows = {name: list(csv.DictReader((folder / name).open(encoding="utf-8"))) for name in ("products.csv", "gold.csv")}
    gold = {row["sku"]: row["category"] for row in rows["gold.csv"]}
    assert sorted(gold) == sorted(row["sku"] for row in rows["products.csv"])
    counts = {category: list(gold.values()).count(category) for category in Taxonomy.load(folder / "taxonomy.yaml").classes}
    assert min(counts.values()) >= 3
    assert sum(counts.values()) + list(gold.values()).count("") == len(gold)
