"""The page of `fewtag report` in a real browser, offline: on a laptop and a phone, light and dark, in English and Chinese.

Screenshots go to `screenshots/` in the folder that pytest makes for a test (`pytest --basetemp FOLDER`), to be looked at. The trap: nothing
here says whether a page is beautiful; it says that nothing fails, is asked of the net, or sticks out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from conftest import TAXONOMY, Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_resamples")]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
GOLD = "sku,category\nA1,tea\nA2,tea\nA5,soap\nA7,soap\nA11,towels\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, driven by playwright; where either is missing the tests are left out, and say so."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # which Chromium does not offer to root
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def report(shop: Path, run: Run, request: pytest.FixtureRequest) -> Path:
    """A page with gold and a few labels, in Chinese or in English."""
    (shop / "taxonomy.yaml").write_text(TAXONOMY.replace("language: zh", f"language: {request.param}"), encoding="utf-8")
    (shop / "gold.csv").write_text(GOLD, encoding="utf-8")
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert run("label", "add", "A8", "towels").code == 0
    assert run("report", "--gold", "gold.csv").code == 0
    return shop / "report.html"


def opened(browser: Browser, report: Path, size: str, scheme: Literal["light", "dark"]) -> tuple[Page, list[str]]:
    """Open a page as on a device without a network; returns with it what goes wrong, and what is asked of elsewhere."""
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True).new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(report.as_uri())
    page.wait_for_selector("#treemap .slice")
    return page, troubles


@pytest.mark.parametrize("report", ["zh", "de"], indirect=True)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_without_errors_or_a_network_and_fits(
    browser: Browser, report: Path, tmp_path: Path, size: str, scheme: Literal["light", "dark"]
) -> None:
    page, troubles = opened(browser, report, size, scheme)
    (tmp_path / "screenshots").mkdir()
    page.screenshot(path=tmp_path / "screenshots" / f"{page.get_attribute('html', 'lang')}-{size}-{scheme}.png", full_page=True)
    assert troubles == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    in_pixels = "all => all.map(each => parseFloat(getComputedStyle(each).fontSize) * each.ownerSVGElement.getScreenCTM().a)"
    assert min(page.eval_on_selector_all(".plot text", in_pixels)) > 11
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(251, 250, 247)" if scheme == "light" else "rgb(20, 23, 26)")
    page.context.close()


@pytest.mark.parametrize("report", ["de"], indirect=True)
def test_the_map_takes_another_colour_and_goes_into_a_branch(browser: Browser, report: Path) -> None:
    page, troubles = opened(browser, report, "laptop", "light")

    def fills() -> list[str]:
        found: list[str] = page.eval_on_selector_all("#treemap .slice path.surface", "all => all.map(each => each.style.fill)")
        return found

    before = fills()
    assert "茶叶" in page.inner_text("#treemap")
    page.get_by_label("rung").check(force=True)
    page.wait_for_function("document.querySelector('.legend.rungs').checkVisibility()")
    assert set(fills()) == {"rgb(127, 183, 221)"}  # every tag is the zero-shot rung's
    assert set(before) != set(fills())
    page.locator("#treemap .slice", has_text="茶叶").last.hover(force=True)
    page.wait_for_function("document.querySelector('#treemap .hoverlayer').textContent.startsWith('茶叶')")
    page.locator("#treemap .slicetext", has_text="日用").first.click(force=True)
    page.wait_for_function("!document.querySelector('#treemap').textContent.includes('茶叶')")
    assert troubles == []
    page.context.close()


@pytest.mark.parametrize("report", ["zh"], indirect=True)
def test_without_scripts_the_table_below_the_map_says_the_same(browser: Browser, report: Path) -> None:
    page = browser.new_context(java_script_enabled=False, offline=True).new_page()
    page.goto(report.as_uri())
    assert page.locator("#treemap").inner_text() == "地图需要能运行脚本的浏览器；下面的表格内容相同。"
    assert page.locator("#map details tbody tr").count() > 0
    page.context.close()
