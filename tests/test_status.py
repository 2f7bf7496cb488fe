"""What the status says of a ledger filled by hand, tag by tag.

The trap: a tag may name a category above the assignable ones, one that the taxonomy no longer has, or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fewtag.core import Label, Tag
from fewtag.errors import WorkspaceError
from fewtag.status import CategoryStatus, Tally, read_status, status_of, subtree_counts, tag_counts, tally
from fewtag.store import Ledger, ModelIdentity, Run
from fewtag.taxonomy import Category, Taxonomy
from fewtag.workspace import Workspace

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Dolls"])
MODEL, OTHER = ModelIdentity("minilm", "53aa"), ModelIdentity("gpt", "0", "cafe")


def tag(product_id: str, category: str | None, confidence: float, stage: str = "zero-shot") -> Tag:
    return Tag(product_id, category, confidence, stage, (), confidence)  # type: ignore[arg-type]


TAGS = [
    tag("1", "drinks/tea", 0.75),
    tag("2", "drinks/tea", 0.25),
    tag("3", "toys/dolls", 0.5),
    tag("4", "drinks", 1.0),
    tag("5", None, 0.125),
    tag("6", "drinks/coffee", 0.5),
]


def start(ledger: Ledger, fingerprint: str = "f", kind: str = "bootstrap") -> Run:
    return ledger.start_run(kind, fingerprint, SHOP.version, 0, {})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / ".fewtag")


@pytest.fixture
def ledger(workspace: Workspace) -> Iterator[Ledger]:
    with Ledger.open(workspace.ledger) as opened:
        yield opened


def test_a_run_under_way_has_a_start_and_no_end(ledger: Ledger) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, TAGS[:2])
    under_way = status_of(ledger, SHOP)
    assert under_way.finished is None
    assert under_way.products == 2
    ledger.finish_run(run)
    done = status_of(ledger, SHOP)
    assert done.finished is not None
    assert done.started == under_way.started <= done.finished


def test_every_number_of_a_ledger_filled_by_hand(ledger: Ledger) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, TAGS[:4])
    ledger.add_tags(run, OTHER, TAGS[4:])
    ledger.finish_run(run)
    given = [Label("1", "drinks/tea"), Label("1", "drinks/coffee"), Label("9", "drinks/tea"), Label("9", "drinks", "bob", negative=True)]
    ledger.add_labels([(label, "a text") for label in given])
    status = status_of(ledger, SHOP)
    assert status.taxonomy == "taxonomy"
    assert (status.products, status.tagged, status.backed_off, status.abstained) == (6, 4, 1, 1)
    assert (status.labels, status.conflicts) == (3, 1)  # coffee took the place of tea; bob denies what is above tea
    assert status.voices == (("zero-shot", "minilm", 4), ("zero-shot", "gpt", 2))
    assert status.categories == (
        CategoryStatus("drinks/tea", "Drinks > Tea", 2, 0.5),
        CategoryStatus("drinks", "Drinks", 1, 1.0),  # of equal counts, the first path
        CategoryStatus("drinks/coffee", "Drinks > Coffee", 1, 0.5),
        CategoryStatus("toys/dolls", "Toys > Dolls", 1, 0.5),
    )


def test_an_inner_category_that_is_assignable_counts_as_tagged(ledger: Ledger) -> None:
    ledger.add_tags(start(ledger), MODEL, TAGS)
    assert tally(ledger, SHOP) == Tally(products=6, tagged=4, backed_off=1, abstained=1)
    shop = Taxonomy.from_paths(["Drinks", "Drinks > Tea", "Drinks > Coffee", "Toys > Dolls"])
    assert tally(ledger, shop) == Tally(products=6, tagged=5, backed_off=0, abstained=1)


def test_what_people_have_labelled_is_counted_apart(ledger: Ledger) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, [*TAGS[:-1], tag("6", "drinks/coffee", 1.0, "label"), tag("7", "toys/dolls", 1.0, "label")])
    ledger.add_tags(run, MODEL, [tag("7", "toys/dolls", 0.9)])  # the label was taken back since
    assert tally(ledger, SHOP) == Tally(products=7, tagged=5, backed_off=1, abstained=1, labelled=1)
    ledger.add_tags(run, MODEL, [tag("8", "gone", 1.0, "label")])
    assert tally(ledger, SHOP) == Tally(products=8, tagged=5, backed_off=2, abstained=1, labelled=1), "of the tagged ones"
    status = status_of(ledger, SHOP)
    assert status.tally == tally(ledger, SHOP)
    assert ("label", "", 2) in status.voices, "labels are no model's"
    sureness = {each.category: each.confidence for each in status.categories}
    assert (sureness["drinks/coffee"], sureness["toys/dolls"]) == (None, 0.7), "of dolls, the mean of 0.5 and 0.9"


def test_a_ledger_without_tags_counts_nothing(ledger: Ledger) -> None:
    start(ledger)
    assert tally(ledger, SHOP) == Tally(0, 0, 0, 0)
    status = status_of(ledger, SHOP)
    assert (status.voices, status.categories, status.labels, status.conflicts) == ((), (), 0, 0)


def test_a_later_run_of_another_kind_is_not_taken_for_the_bootstrap(ledger: Ledger) -> None:
    run = start(ledger)
    ledger.add_tags(run, MODEL, TAGS)
    ledger.finish_run(run)
    start(ledger, kind="label")
    assert status_of(ledger, SHOP).finished is not None


def test_the_status_adds_the_tags_up_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.add_tags(start(ledger), MODEL, TAGS)
    counts, asked = Ledger.counts, []
    monkeypatch.setattr(Ledger, "counts", lambda self: asked.append(self) or counts(self))
    status_of(ledger, SHOP)
    assert len(asked) == 1


def test_a_category_that_the_taxonomy_no_longer_has_is_shown_by_its_id(ledger: Ledger) -> None:
    ledger.add_tags(start(ledger), MODEL, [tag("1", "garden/gnomes", 0.5)])
    assert status_of(ledger, SHOP).categories == (CategoryStatus("garden/gnomes", "garden/gnomes", 1, 0.5),)


def test_a_later_run_supersedes_an_earlier_one(ledger: Ledger) -> None:
    for fingerprint, batch in (("f", TAGS), ("g", [tag("1", "toys/dolls", 0.5), tag("2", None, 0.25)])):
        run = start(ledger, fingerprint)
        ledger.add_tags(run, MODEL, batch)
        ledger.finish_run(run)
    status = status_of(ledger, SHOP)
    assert (status.products, status.tagged, status.backed_off, status.abstained) == (2, 1, 0, 1)
    assert [row.category for row in status.categories] == ["toys/dolls"]


def test_the_status_of_a_workspace_reads_the_taxonomy_that_its_tagger_was_made_with(workspace: Workspace, ledger: Ledger) -> None:
    with pytest.raises(WorkspaceError) as told:
        read_status(workspace)
    assert str(told.value) == f"{workspace.root}: nothing has been tagged yet -> run `fewtag bootstrap taxonomy.yaml` first"
    ledger.add_tags(start(ledger), MODEL, TAGS)
    with pytest.raises(WorkspaceError) as told:
        read_status(workspace)
    assert str(told.value) == f"{workspace.tagger}: the tagger is damaged, or of an older fewtag -> delete this folder and bootstrap again"
    workspace.tagger.mkdir()
    (workspace.tagger / "taxonomy.json").write_text(SHOP.to_json(), encoding="utf-8")
    assert read_status(workspace) == status_of(ledger, SHOP)


def test_tags_are_counted_for_every_category_above_them(workspace: Workspace, ledger: Ledger) -> None:
    ledger.add_tags(start(ledger), MODEL, [*TAGS, tag("7", "garden/gnomes", 0.5)])
    # Drinks: one for itself, two for tea, one for coffee. What abstained and what is unknown counts nowhere.
    assert tag_counts(workspace, SHOP) == {"drinks": 4, "drinks/tea": 2, "drinks/coffee": 1, "toys": 1, "toys/dolls": 1}
    assert tag_counts(None, SHOP) == {}


def test_below_two_parents_a_tag_counts_for_both_and_once_for_what_is_above_both() -> None:
    diamond = Taxonomy(
        [
            Category("all", "All"),
            Category("left", "Left", parents=("all",)),
            Category("right", "Right", parents=("all",)),
            Category("leaf", "Leaf", parents=("left", "right")),
        ]
    )
    assert subtree_counts({"leaf": 3, "right": 1}, diamond) == {"all": 4, "left": 3, "leaf": 3, "right": 4}
    assert subtree_counts({}, diamond) == dict.fromkeys(diamond, 0)
