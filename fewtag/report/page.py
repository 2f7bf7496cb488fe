"""Writes findings as one HTML page that needs nothing but itself: template, style and script stand beside this file.

The map is plotly.js's treemap, taken from plotly's wheel: MIT, kept up, and whole in one file of 4.8 MB, with going into a branch, the way
back, and labels that fit. Vega in vl-convert is smaller (1 MB), but its treemap cannot be gone into; bokeh has none, pyecharts loads its
own from the net, pygal has none and is LGPL. All else is SVG that the template draws, which follows the style into the dark and onto paper.

The trap: a category called `<b>` is text to a browser once it is escaped, and markup again to plotly, which reads labels as HTML of its
own; so those are escaped once more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any, Final, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fewtag.core import Stage
from fewtag.errors import FewtagError
from fewtag.evaluation import MOST_BRANCHES
from fewtag.landscape import Region, whole
from fewtag.promise import DOUBT, Promise
from fewtag.report.charts import ceiling, dots, line, percents
from fewtag.report.findings import Findings
from fewtag.report.phrases import Say, speaker, spoken
from fewtag.tag_file import check_place
from fewtag.taxonomy import Taxonomy
from fewtag.training import Effect

ENDINGS: Final = (".html", ".htm")
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
MOST_ROWS: Final = 300
"""So many categories stand in the table below the map."""
FIGURES: Final = {
    "figure_accuracy": ("likeliest", "accuracy"),
    "figure_hierarchical_f1": ("likeliest", "hierarchical_f1"),
    "figure_precision_at_3": ("ranking", "precision_at_3"),
    "figure_coverage": ("selective", "coverage"),
    "figure_precision": ("selective", "precision"),
}


def check_page(path: Path) -> None:
    """Raise before any work: CatalogueError where the page cannot go to a file, FewtagError where plotly is not installed."""
    check_place(path, ENDINGS)
    _plotly()


def page(findings: Findings) -> str:
    """Return the whole page; raises FewtagError where plotly is not installed."""
    environment = Environment(
        loader=PackageLoader("fewtag", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"coded": coded, "moment": moment, "brief": brief}
    language = findings.taxonomy.language
    say = speaker(language)
    source = Path(__file__).parent
    return environment.get_template("page.html.j2").render(
        found=findings,
        say=say,
        language=spoken(language),
        stages=STAGES,
        figures=FIGURES,
        style=(source / "page.css").read_text(encoding="utf-8"),
        script=(source / "page.js").read_text(encoding="utf-8"),
        plotly=_plotly(),
        map=treemap(findings, say),
        table=_largest(findings.regions),
        promised=promised(findings.status.promise, say) if findings.status.promise else "",
        reasons=[reason(each, say) for each in (findings.status.training or {}).get("branches", ())],
        emptiest=_emptiest(findings.taxonomy, findings.regions),
        dots=dots,
        line=line,
        ceiling=ceiling,
        percents=percents,
    )


def coded(text: str) -> Markup:
    """Escape a text, and set what stands between backticks as code.

    >>> print(coded("`fewtag train` learns & tags"))
    <code>fewtag train</code> learns &amp; tags
    """
    return Markup("").join(Markup("<code>{}</code>" if place % 2 else "{}").format(part) for place, part in enumerate(text.split("`")))


def moment(at: str) -> str:
    """Write a time of the ledger for people.

    >>> moment("2026-01-02T03:04:05+00:00")
    '2026-01-02 03:04 UTC'
    """
    return f"{at[:16].replace('T', ' ')} UTC"


def brief(revision: str) -> str:
    """Cut what is hashes in a revision to their first twelve digits.

    >>> brief("0123456789abcdef + main"), brief("")
    ('0123456789ab + main', '')
    """
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]+\b", r"\1", revision)


def treemap(findings: Findings, say: Say) -> dict[str, Any]:
    """Return what the map is drawn from: a row for each category that products lie in, the root of all first, and the words.

    A parent is named by its place, as ids may be anything; labels are escaped, as plotly reads them as markup.
    """
    taxonomy, regions = findings.taxonomy, findings.regions
    there = [region for region in regions.values() if region.products]
    place = {region.category: number for number, region in enumerate(there, 1)}

    def row(region: Region, name: str, parent: int, own: int) -> list[Any]:
        shares = [None if each is None else round(each, 3) for each in (region.coverage, region.confidence, region.precision)]
        return [escape(name, quote=False), parent, own, *shares[:2], region.stage, shares[2], region.judged, region.products]

    rows = [row(whole([regions[root] for root in taxonomy.roots]), taxonomy.name, -1, 0)]
    for each in there:
        parents = taxonomy.parents(each.category)
        rows.append(row(each, taxonomy[each.category].name, place[parents[0]] if parents else 0, each.own))
    modes = ["coverage", "confidence", "rung"] + (["precision"] if findings.measured else [])
    words = {key: say(key) for key in (*STAGES, "products", "coverage", "confidence", "rung", "precision", "nothing_known", "judged_tags")}
    return {"rows": rows, "modes": modes, "words": words}


def promised(promise: Promise, say: Say) -> str:
    """Say what is proven of a precision, or what that lacks; as `Promise` itself does, but in the page's language.

    >>> promised(Promise(0.9, lacking=62), speaker("en"))
    'Precision 0.9 is not proven: there are no labels to hold out, and 62 or more are needed.'
    """
    where = say("promise_where", branch=promise.branch) if promise.branch else ""
    told = say(f"promise_{promise.verdict}", where=where, certainty=1 - DOUBT, **asdict(promise))
    is_partial = promise.verdict == "kept" and promise.unknown
    return told + say("space") + say("promise_unknown", unknown=promise.unknown) if is_partial else told


def reason(branch: Mapping[str, Any], say: Say) -> str:
    """Say how the labels of one root fare, from what the training noted of it; as `fewtag status` does, in the page's language.

    >>> noted = {"labels": 9, "held_out": 4, "accuracy": 0.5, "zero_shot_accuracy": 0.25}
    >>> reason(noted, speaker("en"))
    'labels gain 25 points on 4 held out, which may be chance'
    """
    gain = branch["accuracy"] - branch["zero_shot_accuracy"]
    effect = Effect.of(branch["labels"], branch["held_out"], gain)
    told = say(f"reason_{effect.kind}", points=abs(100 * gain), held=branch["held_out"])
    return say("chance", reason=told) if effect.chance else told


def _plotly() -> str:
    """Return plotly.js, minified."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise FewtagError("the report's map needs plotly, which is not installed", mend='pip install "fewtag[report]"') from None
    return str(get_plotlyjs())


def _largest(regions: Mapping[str, Region]) -> list[Region]:
    """Return the categories with most products, those above first."""
    return sorted((region for region in regions.values() if region.products), key=lambda region: -region.products)[:MOST_ROWS]


def _emptiest(taxonomy: Taxonomy, regions: Mapping[str, Region]) -> list[Region]:
    """Return the roots that leave most products open."""
    found = sorted((regions[root] for root in taxonomy.roots), key=lambda region: -region.open)
    return [region for region in found if region.open][:MOST_BRANCHES]
