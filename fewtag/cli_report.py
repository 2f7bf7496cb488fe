"""The command `fewtag report`: where a workspace stands, as one page to look at and pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewtag.terminal import WorkspaceFolder, about, gold_for, open_workspace, talk, talk_of_changed_taxonomy, with_bars


def report(
    gold: Annotated[
        Path | None, typer.Option("--gold", metavar="GOLD", help="Products with their true category, as `fewtag evaluate` takes them.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the page.")] = Path("report.html"),
    workspace: WorkspaceFolder = None,
) -> None:
    """Write one HTML page that works offline: where the workspace stands, a map of the taxonomy, and what to look at.

    It shows labels that the other evidence contradicts, products that read alike and are tagged differently and, with gold, how good the
    tags are. It holds titles of products, so mind whom you send it to. The ledger stays as it is.

    Example: fewtag report --gold gold.csv -o report.html
    """
    from fewtag.report.page import check_page, page
    from fewtag.tagger import Tagger
    from fewtag.workspace import write_atomically

    check_page(out)
    tagger = Tagger.open(open_workspace(workspace).root)
    truth = gold_for(tagger, gold) if gold else None
    talk_of_changed_taxonomy(tagger)
    with about(gold):
        findings = with_bars(tagger.report, truth)
    content = page(findings).encode()
    write_atomically(out, content)
    talk(f"Report written to {out} ({len(content) / 1e6:.1f} MB)", "Next: open it in a browser; it needs no network, and prints.")
