"""What is installed: the wheel carries prompts and starter taxonomies, and importing fewtag loads no model library."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import fewtag

ROOT = Path(__file__).parent.parent


def test_the_wheel_carries_prompts_and_starter_taxonomies(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = [*ROOT.glob("prompts/*.j2"), *ROOT.glob("taxonomy/*.yaml")]
    assert len(shipped) >= 6
    assert {f"fewtag/shipped/{file.relative_to(ROOT)}" for file in shipped} <= names
    assert "fewtag/models/lm/model.py" in names
    assert {f"fewtag/report/page.{ending}" for ending in ("html.j2", "css", "js")} <= names
    assert not [name for name in names if name.startswith(("tests", "examples", "benchmarks", "training"))]


def test_the_version_stands_in_the_changelog_and_in_pyproject() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == fewtag.__version__
    assert f"## {fewtag.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in ("offline", "cpu", "tune", "server", "report", "dev") for each in project["optional-dependencies"][extra]),
    ]
    names = {each.split(">")[0].split(";")[0].strip().lower().replace("_", "-") for each in wanted}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names - pinned == set()
    assert "torch==2.13.0" in lines


@pytest.mark.parametrize("code", ["import fewtag", "from fewtag import Taxonomy, Product, Tag", "import fewtag.cli"])
def test_importing_loads_no_model_library(code: str) -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "sklearn", "pandas")
    listing = f"import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}; {listing}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
