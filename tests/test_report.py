"""The page of `fewtag report`: what it tells, that it tells it in its language and as text, and that it needs nothing but itself.

The trap: plotly's script is full of addresses that it never asks for, so what the page itself says is looked at without it.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from string import Formatter
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from conftest import TAXONOMY, Run
from plotly.offline import get_plotlyjs

from fewtag import Product, Tagger, Taxonomy
from fewtag.core import Stage
from fewtag.decide import decide
from fewtag.evaluation import Figure
from fewtag.gold_file import read_gold
from fewtag.landscape import Region
from fewtag.metrics import Bin, Confusion, sibling_confusions
from fewtag.near_duplicates import Twins
from fewtag.promise import Promise, Verdict
from fewtag.report.charts import dots
from fewtag.report.chinese import CHINESE
from fewtag.report.english import ENGLISH
from fewtag.report.findings import Findings, Measured, Mistaken, Voice, confused_products
from fewtag.report.page import _emptiest, page, promised, reason
from fewtag.report.phrases import speaker
from fewtag.score_sheet import Scores, Sheet
from fewtag.store import ModelIdentity
from fewtag.training import Effect

pytestmark = pytest.mark.usefixtures("few_resamples")
GOLD = "sku,category\nA1,tea\nA2,tea\nA3,饮料/咖啡\nA5,soap\nA7,soap\nA8,soap\nA11,towels\nA12,\n"
DRINKS = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee"])
STAGES = set(get_args(Stage))
HOSTILE = "<script>alert(1)</script>{{ 7 * 7 }}</title>"


def page_of(file: Path) -> str:
    """A page without plotly's script."""
    whole = file.read_text(encoding="utf-8")
    assert get_plotlyjs() in whole
    return whole.replace(get_plotlyjs(), "")


def words_of(page: str) -> str:
    """What a reader sees: the text between the tags, without style and scripts."""
    body = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def map_of(page: str) -> dict[str, Any]:
    [data] = re.findall(r'id="map-data">(.*?)</script>', page, flags=re.DOTALL)
    found: dict[str, Any] = json.loads(data)
    return found


@pytest.fixture
def tagged(tagged: Path) -> Path:
    """The tagged shop, with gold."""
    (tagged / "gold.csv").write_text(GOLD, encoding="utf-8")
    return tagged


def test_a_page_without_labels_or_gold_says_where_the_workspace_stands_and_what_it_lacks(tagged: Path, run: Run) -> None:
    ledger = (tagged / ".fewtag" / "fewtag.db").read_bytes()
    said = run("report")
    assert (said.code, said.out) == (0, "")
    assert said.talk[-2].startswith("Report written to report.html (")
    words = words_of(page_of(tagged / "report.html"))
    status = json.loads(run("status", "--json").out)
    assert f"12 件商品 {status['tagged'] / 12:.0%} 由 fewtag 标到可用类目" in words
    assert CHINESE["gold_none"].replace("`", "").split("fewtag")[0].strip() in words
    assert CHINESE["errors_no_labels"] in words
    assert CHINESE["twins_none"] in words
    assert "版本" in words
    assert "products.csv" in words
    assert "预设 embedded" in words, "which is used where none is named"
    assert (tagged / ".fewtag" / "fewtag.db").read_bytes() == ledger


@pytest.fixture
def findings(tagged: Path) -> Findings:
    """What the shop's report tells, of which a test may change what it likes."""
    tagger = Tagger.open(tagged / ".fewtag")
    return tagger.report(read_gold(tagged / "gold.csv", tagger.taxonomy, tagger.products(), "sku"))


def said_of(findings: Findings) -> str:
    """What a reader of the page of some findings sees."""
    return words_of(page(findings))


def test_shares_that_stand_together_add_to_a_hundred(findings: Findings) -> None:
    thirds = replace(findings.status, products=3, tagged=1, backed_off=1, abstained=1)
    words = said_of(replace(findings, status=thirds))
    assert "34% 由 fewtag 标到可用类目 33% 退到上级类目 33% 未标" in words
    assert "由 fewtag 标到可用类目 1 34% 退到上级类目 1 33% 未标 1 33%" in words


def test_what_is_cut_short_says_how_much_more_there_is(findings: Findings) -> None:
    assert findings.measured
    shop, gold = findings.taxonomy, ["soap"] * 7
    juices = np.eye(len(shop.classes), dtype=np.float32)[[shop.index["juice"]] * 7]
    # Seven soaps are taken for drinks, of which four are shown; of 12 people who gave labels ten, of eight categories of twins six.
    mistakes = Sheet(decide(["A5"] * 7, juices, shop, 0.9), gold, Scores.of(juices, gold, shop), shop)
    evaluation = replace(findings.measured.evaluation, confusions=(Confusion("drinks", "home", 7, 0),))
    measured = replace(findings.measured, sheet=mistakes, evaluation=evaluation)
    twins = Twins(tuple((category, (Product("T", "茶"),)) for category in shop))
    people = tuple((f"person {number}", 1) for number in range(12))
    found = replace(findings, twins=[twins], twins_in_all=1, labels_by=people)
    assert len(twins.tagged) == 8
    words = said_of(found)
    assert "person 8 1，person 9 1，另有 2 个" in words
    assert "日用 > 香皂 茶 T 另有 2 个 " in words
    assert "另有 3 件" not in words
    shown = said_of(replace(found, measured=measured))
    assert shown.count("橙汁 1L 果园 日用 > 香皂 → 饮料 > 果汁") == 4
    assert re.search(r"应为日用，被当作饮料：7 件 (橙汁 1L 果园 \S+ > \S+ → \S+ > \S+ \d+% ){4}另有 3 件", shown)


def test_categories_without_products_are_counted_as_categories(findings: Findings) -> None:
    shop = Taxonomy.from_paths([f"Toys > {number}" for number in range(103)], language="zh")
    empty = {each: Region(each) for each in shop}
    words = said_of(replace(findings, taxonomy=shop, regions=empty, measured=None))
    assert "没有商品的类目：104 个" in words
    assert "; 另有 4 个 " in words


def test_a_long_text_is_cut_at_300_letters_wherever_its_last_space_is(findings: Findings) -> None:
    text = "红茶 " + "好" * 400
    twins = Twins((("tea", (Product("T", text),)), ("soap", (Product("U", "红茶 " + "好" * 200),))))
    words = said_of(replace(findings, twins=[twins], twins_in_all=1))
    assert f" {text[:299]}… T " in words
    assert f" {text[:203]} U " in words


def test_a_branch_where_nothing_is_open_is_not_offered_for_labels(findings: Findings) -> None:
    lead = CHINESE["next_none"].split("`")[0].strip()
    assert f"{lead} fewtag label import FILE" in said_of(findings), "and it is said where no branch is told of"
    assert CHINESE["next_open"] not in said_of(findings)
    opened = {category: replace(region, tagged=0, backed_off=0) for category, region in findings.regions.items()}
    assert CHINESE["next_open"] in said_of(replace(findings, regions=opened))


def test_what_a_curve_counts_besides_is_said_where_there_is_some(findings: Findings) -> None:
    told = CHINESE["risk_nowhere"].format(count=1)
    assert findings.measured
    assert findings.measured.evaluation.nowhere == 1
    assert told in said_of(findings)
    all_known = replace(findings.measured, evaluation=replace(findings.measured.evaluation, nowhere=0))
    assert told.split("1")[0] not in said_of(replace(findings, measured=all_known)).split(CHINESE["risk"])[1]


def test_the_risk_is_told_in_as_few_digits_as_it_has(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measured, "curve", lambda _: [(0.5, 0.02), (1.0, 0.1)])
    [drawn] = re.findall(r'class="plot curve".*?</svg>', page(findings), flags=re.DOTALL)
    assert re.findall(r'text-anchor="end">([^<]*)<', drawn) == ["0%", "2.5%", "5%", "7.5%", "10%"]
    assert 'points="120,160 240,0"' in drawn


def test_what_people_have_labelled_is_no_coverage(findings: Findings) -> None:
    told = said_of(findings)
    assert CHINESE["labelled"] not in told.split(CHINESE["coverage_bar"])[0]
    labelled = replace(findings, status=replace(findings.status, products=20, tagged=12, backed_off=0, abstained=8, labelled=9))
    assert re.search(rf"45% {CHINESE['labelled']} 15% {CHINESE['tagged']} 0%", said_of(labelled))


def test_without_a_tag_no_precision_is_told(findings: Findings) -> None:
    measured = findings.measured
    assert measured
    assert re.search(rf"{CHINESE['precision_tile']} 共 \d+ 件；\d+% 至 \d+%", said_of(findings))
    silent = replace(measured.evaluation.selective, coverage=Figure(0.0, 0.0, 0.0))
    found = replace(findings, measured=replace(measured, evaluation=replace(measured.evaluation, selective=silent)))
    assert CHINESE["precision_tile"] not in said_of(found)


def test_labels_that_are_too_few_to_be_judged_are_not_taken_for_none(findings: Findings) -> None:
    words = said_of(replace(findings, status=replace(findings.status, labels=3)))
    assert CHINESE["errors_few"] in words
    assert CHINESE["errors_no_labels"] not in words


def test_a_revision_is_told_by_its_first_digits(findings: Findings) -> None:
    revision = "0123456789ab" + "c" * 52
    voices = (Voice("zero-shot", ModelIdentity("minilm", revision, ""), 12),)
    shown = page(replace(findings, provenance=replace(findings.provenance, voices=voices)))
    assert f'<code title="{revision}">0123456789ab</code></td><td>–</td>' in shown


def test_labels_are_no_models(tagged: Path, run: Run) -> None:
    for product_id, category in (("A8", "soap"), ("A1", "tea")):
        assert run("label", "add", product_id, category).code == 0
    assert run("train", "--quick").code == 0
    assert run("report").code == 0
    page = page_of(tagged / "report.html")
    row = f"<td>{CHINESE['label']}</td><td>–</td><td>–</td><td>–</td>"
    assert f'{row}<td class="number">2</td>' in page
    assert f"{CHINESE['labelled']} 2 17%" in words_of(page)


def test_the_page_speaks_english_of_a_taxonomy_in_a_language_that_it_does_not_know(shop: Path, run: Run) -> None:
    (shop / "taxonomy.yaml").write_text(TAXONOMY.replace("language: zh", "language: de"), encoding="utf-8")
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert run("report").code == 0
    page = page_of(shop / "report.html")
    assert '<html lang="en">' in page
    assert "Where it stands 12 products" in words_of(page)


def test_gold_brings_the_figures_that_evaluate_gives(tagged: Path, run: Run) -> None:
    assert run("report", "--gold", "gold.csv").code == 0
    figures = json.loads(run("evaluate", "gold.csv", "--json").out)
    words = words_of(page_of(tagged / "report.html"))
    for phrase, group, name in (
        ("figure_accuracy", "likeliest", "accuracy"),
        ("figure_coverage", "selective", "coverage"),
        ("figure_precision", "selective", "precision"),
    ):
        figure = figures[group][name]
        assert f"{CHINESE[phrase]} {figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]" in words
    assert CHINESE["nowhere"].format(count=1) in words
    branches = sorted(figures["branches"], key=lambda each: each["accuracy"]["value"])
    places = [words.rindex(f"{each['path']} {each['products']} 件有标准答案 {each['accuracy']['value']:.2f}") for each in branches]
    assert places == sorted(places)
    # A5 is orange juice by its text and soap by its gold.
    assert re.search("应为日用，被当作饮料：1 件 橙汁 1L 果园 日用 > 香皂 → 饮料 > 果汁", words)
    assert f"{CHINESE['worst']} {branches[0]['path']}" in words


def test_confused_siblings_stand_side_by_side_with_the_surest_mistakes_first() -> None:
    """Tea three times, of which two are coffee, and coffee once, which is tea."""
    shares = np.float32([[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    gold = ["drinks/coffee", "drinks/coffee", "drinks/tea", "drinks/tea"]
    tags = decide(["1", "2", "3", "4"], shares, DRINKS, 0.9)
    sheet = Sheet(tags, gold, Scores.of(shares, gold, DRINKS), DRINKS)
    [pair] = confused_products(sheet, sibling_confusions(sheet.likeliest, gold, DRINKS), dict(zip("1234", "abcd", strict=True)))
    assert (pair.pair.one, pair.pair.other) == ("drinks/tea", "drinks/coffee")
    assert [each.text for each in pair.taken_for_one] == ["b", "a"]
    assert pair.taken_for_other == (Mistaken("d", "Drinks > Tea", "Drinks > Coffee", pytest.approx(0.7)),)
    assert confused_products(sheet, [], {}) == [], "of pairs that are not asked for nothing is written"


def test_without_labels_the_branches_that_leave_most_open_come_first_and_full_ones_not_at_all() -> None:
    taxonomy = Taxonomy.from_paths(["Drinks > Tea", "Toys > Kites", "Tools > Saws"])
    regions = {each: Region(each, products=9, tagged=tagged) for each, tagged in (("drinks", 6), ("toys", 1), ("tools", 9))}
    assert [region.category for region in _emptiest(taxonomy, regions)] == ["toys", "drinks"]


def test_a_denial_is_no_label_that_was_spent(tagged: Path, run: Run) -> None:
    assert run("label", "add", "A1", "tea", "--by", "ann").code == 0
    assert run("label", "add", "A1", "soap", "--not", "--by", "bob").code == 0
    assert run("report").code == 0
    words = words_of(page_of(tagged / "report.html"))
    assert f"{CHINESE['labels_by']}: ann 1 " in words


def test_the_map_holds_each_product_once_and_judges_by_gold(tagged: Path, run: Run) -> None:
    assert run("report", "--gold", "gold.csv").code == 0
    found = map_of(page_of(tagged / "report.html"))
    label, parent, own, products, judged = ([row[place] for row in found["rows"]] for place in (0, 1, 2, 8, 7))
    assert (label[0], parent[0], products[0], sum(own)) == ("小店", -1, 12, 12)
    for place, count in enumerate(products):
        assert count == own[place] + sum(some for some, above in zip(products, parent, strict=True) if above == place)
    figures = json.loads(run("evaluate", "gold.csv", "--json").out)
    assert found["rows"][0][6] == pytest.approx(figures["selective"]["precision"]["value"], abs=1e-3)
    assert judged[0] == sum(some for some, above in zip(judged, parent, strict=True) if above == 0) > 0
    assert found["modes"] == ["coverage", "confidence", "rung", "precision"]


def test_what_users_wrote_stays_text(shop: Path, run: Run) -> None:
    (shop / "taxonomy.yaml").write_text(TAXONOMY.replace("name: 茶叶", f"name: '<b>茶</b> {HOSTILE}'"), encoding="utf-8")
    lines = [f"B{number},{HOSTILE} 绿茶 茶叶 {number},x" for number in range(3)]
    (shop / "products.csv").write_text("\n".join(["sku,title,brand", *lines, ""]), encoding="utf-8")
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert run("label", "add", "B0", "soap", "--by", HOSTILE).code == 0
    (shop / "gold.csv").write_text("sku,category\nB1,soap\nB2,soap\n", encoding="utf-8")
    assert run("report", "--gold", "gold.csv").code == 0
    page = page_of(shop / "report.html")
    assert "<script>alert" not in page
    assert HOSTILE in words_of(page)
    assert page.count("</title>") == page.count("<title>")
    [tea] = [row[0] for row in map_of(page)["rows"] if "茶" in row[0]]
    assert tea.startswith("&lt;b&gt;茶&lt;/b&gt; &lt;script&gt;")  # plotly takes labels for markup


def test_the_page_needs_nothing_but_itself(tagged: Path, run: Run) -> None:
    assert run("report", "--gold", "gold.csv").code == 0
    page = page_of(tagged / "report.html")
    assert not re.findall(r"https?://|\bsrc=|<link|<base|@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
    assert set(re.findall(r'href="([^"]*)"', page)) == {
        f"#{each}" for each in ("standing", "next", "map", "gold", "errors", "twins", "provenance")
    }
    assert {f'id="{each[1:]}"' for each in re.findall(r'href="([^"]*)"', page)} <= set(re.findall(r'id="[^"]*"', page))


def test_a_label_that_the_models_contradict_stands_there_with_its_mend(tagged: Path, run: Run) -> None:
    for product, category in {"A1": "tea", "A2": "tea", "A5": "juice", "A6": "juice", "A7": "soap", "A8": "towels"}.items():
        assert run("label", "add", product, category, "--by", "ann").code == 0
    assert run("report").code == 0
    words = words_of(page_of(tagged / "report.html"))
    assert "洗手液 泡沫 500ml 洁白 A8 ann 说 日用 > 毛巾" in words
    assert "fewtag label add PRODUCT_ID CATEGORY" in words
    assert CHINESE["by_zero-shot"] in words  # nothing was learnt from them yet
    assert CHINESE["waiting"].format(count=6).split("。")[0] in words


def test_products_that_read_alike_and_are_tagged_differently_stand_together(tagged: Path, run: Run) -> None:
    with (tagged / "products.csv").open("a", encoding="utf-8") as file:
        file.write("A13,橙汁 2L,果园\nA14,橙汁 3L,果园\n")
    assert run("bootstrap", "taxonomy.yaml").code == 0
    assert run("label", "add", "A13", "soap").code == 0
    assert run("train").code == 0
    assert run("report").code == 0
    words = words_of(page_of(tagged / "report.html"))
    assert re.search(r"日用 > 香皂 橙汁 2L 果园 A13", words)
    assert re.search(r"饮料 > 果汁 橙汁 \dL 果园 A", words)


def test_both_languages_have_the_same_phrases_with_the_same_gaps() -> None:
    def gaps(phrase: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(phrase)} - {None}

    assert {key: gaps(phrase) for key, phrase in ENGLISH.items()} == {key: gaps(phrase) for key, phrase in CHINESE.items()}


def test_every_stage_has_a_colour() -> None:
    """In light, dark and the legend; what decides by a label is a stage too."""
    style = (Path(sys.modules["fewtag.report"].__file__ or "").parent / "page.css").read_text(encoding="utf-8")
    for stage in STAGES:
        assert len(re.findall(rf"--{stage}: #[0-9a-f]{{6}};", style)) == 1
        assert f".{stage} {{ background: var(--{stage}); }}" in style


def test_every_phrase_is_said_somewhere() -> None:
    folder = Path(sys.modules["fewtag.report"].__file__ or "").parent
    source = "".join((folder / name).read_text(encoding="utf-8") for name in ("page.html.j2", "page.js", "page.py"))
    verdicts, effects = get_args(Verdict), get_args(get_type_hints(Effect)["kind"])
    made_up = {*(f"promise_{verdict}" for verdict in verdicts), *(f"reason_{effect}" for effect in effects), *STAGES}
    named = {key for key in ENGLISH if f'"{key}"' in source or f"words.{key}" in source or key.startswith(("by_", "figure_"))}
    assert set(ENGLISH) - named == made_up


@pytest.mark.parametrize(
    "promise",
    [
        Promise(0.9, level=0.7, labels=200, unknown=0.1),
        Promise(1.0, labels=200),
        Promise(0.9, lacking=62),
        Promise(0.9, labels=138, lacking=None, branch="Food"),
        Promise(0.9, labels=30, lacking=70, branch="Food"),
    ],
)
def test_in_english_a_promise_says_what_fewtag_status_says(promise: Promise) -> None:
    told = promised(promise, speaker("en"))
    assert str(promise).startswith(told.removesuffix("."))


def test_in_chinese_sentences_of_a_promise_stand_without_a_space_between() -> None:
    told = promised(Promise(0.9, level=0.7, labels=200, unknown=0.1), speaker("zh"))
    assert "以 90% 的置信度" in told
    assert "0.700。这些标签没有涉及的类目" in told


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ({"labels": 0}, "no labels yet"),
        ({"labels": 3, "held_out": 0}, "too few labels to hold some out"),
        ({"labels": 400, "held_out": 400, "accuracy": 0.5, "zero_shot_accuracy": 0.25}, "labels gain 25 points on 400 held out"),
        ({"labels": 400, "held_out": 400, "accuracy": 0.25, "zero_shot_accuracy": 0.5}, "labels lose 25 points on 400 held out"),
    ],
)
def test_a_branch_says_how_its_labels_fare(noted: dict[str, Any], told: str) -> None:
    untried = {"held_out": 0, "accuracy": 0.0, "zero_shot_accuracy": 0.0}
    assert reason(untried | noted, speaker("en")) == told


def test_a_dot_lies_where_its_bin_does_and_reaches_as_far_as_wilson() -> None:
    small, large = dots([Bin(1, 0.2, 1), Bin(4, 0.5, 2)])
    assert (small.x, small.y, large.x, large.y) == (40.0, 0.0, 100.0, 100.0)
    assert (small.radius, large.radius) == (5.5, 9.0)
    assert (large.top, large.bottom) == (30.0, 170.0)  # Wilson of 2 of 4: .15 to .85


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--gold", "none.csv"), "none.csv: there is no such file -> name a file of labels that is there"),
        (("-o", "report.pdf"), "report.pdf: 'report.pdf' is of no known kind -> name a file that ends in .html, .htm"),
        (("--gold", "gold.csv", "-o", "gold.csv"), "gold.csv: 'gold.csv' is of no known kind -> name a file that ends in .html, .htm"),
        (("-o", "nowhere/report.html"), "nowhere/report.html: its folder does not exist -> make the folder first"),
    ],
)
def test_a_mistake_is_told_before_any_work_and_writes_nothing(tagged: Path, run: Run, arguments: tuple[str, ...], told: str) -> None:
    before = sorted(tagged.iterdir())
    said = run("report", *arguments)
    assert (said.code, said.talk) == (2, [f"Error: {told}"])
    assert sorted(tagged.iterdir()) == before
    assert (tagged / "gold.csv").read_text(encoding="utf-8") == GOLD


def test_a_catalogue_that_is_gone_is_told_before_the_work(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tagged / "products.csv").rename(tagged / "moved.csv")
    monkeypatch.setattr(Tagger, "second_opinion", lambda _: pytest.fail("labels were judged first"))
    assert "products.csv: there is no such catalogue" in run("report").talk[0]


def test_without_a_workspace_there_is_nothing_to_report(shop: Path, run: Run) -> None:
    said = run("report")
    assert said.code == 2
    assert "there is no workspace here -> run `fewtag bootstrap taxonomy.yaml` first" in said.talk[0]


def test_without_plotly_the_report_says_how_to_get_it(tagged: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    said = run("report")
    assert (said.code, said.talk) == (
        2,
        ['Error: the report\'s map needs plotly, which is not installed -> pip install "fewtag[report]"'],
    )


def test_a_taxonomy_that_has_changed_since_is_spoken_of(tagged: Path, run: Run) -> None:
    (tagged / "taxonomy.yaml").write_text(TAXONOMY.replace("毛巾", "手巾"), encoding="utf-8")
    assert run("report").talk[0].startswith(f"Mind: {tagged / 'taxonomy.yaml'} has changed since")
