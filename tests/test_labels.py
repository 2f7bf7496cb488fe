"""Which labels hold: worked out by hand, and against a slow reading of the same rules, row by row.

The trap: the rules are of one source's word first and of several sources' words after, and a withdrawal comes before both.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtag.core import Label, Product
from fewtag.errors import LabelError, TaxonomyError
from fewtag.labels import Conflict, Saying, Standing, category_of, contradict, not_taken_back, standing
from fewtag.store import StoredLabel
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Toys > Dolls"])


def rows(*said: str) -> list[StoredLabel]:
    """Write rows as `source product category`, a denial as `-category`, a withdrawal as `undo` or `undo:category`; `@7` is run 7."""
    found = []
    for seq, words in enumerate(said, 1):
        source, product, word, *run = words.split()
        withdrawn, negative = word.startswith("undo"), word.startswith("-")
        category = word.removeprefix("undo").removeprefix(":").removeprefix("-")
        label = Label(product, category, source, negative)
        text = "" if withdrawn else f"text {seq}"
        found.append(StoredLabel(label, text, withdrawn, seq, int(run[0][1:]) if run else None, f"day {seq}"))
    return found


def words(labels: list[Label]) -> list[str]:
    return [f"{label.source} {label.product_id} {'-' * label.negative}{label.category}" for label in labels]


def held(found: Standing) -> list[str]:
    return words([row.label for row in found.held])


def test_nothing_said_is_nothing_held() -> None:
    assert standing([]) == Standing([], [], [], [])


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (["ann 1 tea", "ann 2 tea"], ["ann 1 tea", "ann 2 tea"]),
        (["ann 1 tea", "ann 1 coffee"], ["ann 1 coffee"]),
        (["ann 1 tea", "bob 1 tea"], ["ann 1 tea", "bob 1 tea"]),
        (["ann 1 tea", "ann 1 -tea"], ["ann 1 -tea"]),
        (["ann 1 -tea", "ann 1 tea"], ["ann 1 tea"]),
        (["ann 1 -tea", "ann 1 coffee", "ann 1 -dolls"], ["ann 1 -tea", "ann 1 coffee", "ann 1 -dolls"]),
        (["ann 1 tea", "ann 1 coffee", "ann 1 -coffee"], ["ann 1 -coffee"]),  # what was superseded does not come back
        (["ann 1 tea", "ann 2 tea", "ann 1 tea"], ["ann 2 tea", "ann 1 tea"]),  # said again, it is the newest
        (["ann 1 tea", "ann 1 undo"], []),
        (["ann 1 undo", "ann 1 tea"], ["ann 1 tea"]),
        (["ann 1 tea", "bob 1 undo"], ["ann 1 tea"]),
        (["ann 1 tea", "ann 2 undo"], ["ann 1 tea"]),
        (["ann 1 tea", "ann 1 -dolls", "ann 1 undo"], []),
        (["ann 1 tea", "ann 1 -dolls", "ann 1 undo:dolls"], ["ann 1 tea"]),
        (["ann 1 tea", "ann 1 coffee", "ann 1 undo:coffee"], ["ann 1 tea"]),  # what is taken back has superseded nothing
        (["ann 1 tea", "ann 1 coffee @7", "ann 1 -dolls", "ann 1 undo @7"], ["ann 1 tea", "ann 1 -dolls"]),
        (["ann 1 tea @7", "ann 1 -dolls @8", "ann 1 undo @8"], ["ann 1 tea"]),
    ],
)
def test_what_holds_of_what_was_said(said: list[str], left: list[str]) -> None:
    assert held(standing(rows(*said))) == left


@pytest.mark.parametrize(
    ("said", "learnt", "at_odds"),
    [
        (["ann 1 tea", "bob 1 tea"], ["bob 1 tea"], []),  # they agree, so it is learnt once
        (["ann 1 tea", "bob 1 coffee"], ["bob 1 coffee"], [0, 1]),
        (["ann 1 tea", "bob 1 coffee", "ann 1 dolls"], ["ann 1 dolls"], [1, 2]),
        (["ann 1 tea", "bob 1 coffee", "bob 1 undo"], ["ann 1 tea"], []),
        (["ann 1 tea", "bob 1 -tea"], ["bob 1 -tea"], [0, 1]),
        (["ann 1 -tea", "bob 1 tea"], ["bob 1 tea"], [0, 1]),
        (["ann 1 -tea", "bob 1 coffee"], ["ann 1 -tea", "bob 1 coffee"], []),
        (["ann 1 -tea", "bob 1 -coffee"], ["ann 1 -tea", "bob 1 -coffee"], []),
        (["ann 1 tea", "bob 1 coffee", "cal 1 -coffee"], ["ann 1 tea", "cal 1 -coffee"], [0, 1, 2]),  # cal outweighs bob, so ann counts
        (["ann 1 tea", "bob 1 coffee", "cal 1 -dolls"], ["bob 1 coffee", "cal 1 -dolls"], [0, 1]),
    ],
)
def test_what_is_learnt_where_several_speak(said: list[str], learnt: list[str], at_odds: list[int]) -> None:
    given = rows(*said)
    found = standing(given)
    assert words(found.labels) == learnt
    sayings = [Saying(row.label.source, row.label.category, row.label.negative, row.at) for row in (given[place] for place in at_odds)]
    assert found.conflicts == ([Conflict("1", tuple(sayings))] if at_odds else [])


def test_a_denial_of_an_inner_category_denies_those_below_it() -> None:
    ann_denies = rows("ann 1 drinks/tea", "ann 1 -drinks")
    assert held(standing(ann_denies, SHOP)) == ["ann 1 -drinks"]
    assert held(standing(ann_denies)) == ["ann 1 drinks/tea", "ann 1 -drinks"]
    bob_denies = rows("ann 1 drinks/tea", "bob 1 -drinks", "ann 2 toys/dolls", "bob 2 -drinks")
    found = standing(bob_denies, SHOP)
    assert words(found.labels) == ["bob 1 -drinks", "ann 2 toys/dolls", "bob 2 -drinks"]
    assert [conflict.product_id for conflict in found.conflicts] == ["1"]
    assert standing(bob_denies).conflicts == []


def test_below_two_parents_a_denial_of_either_counts() -> None:
    categories = [Category("left", "Left"), Category("right", "Right"), Category("leaf", "Leaf", parents=("left", "right"))]
    for above in ("left", "right"):
        assert contradict(Label("1", "leaf"), Label("1", above, negative=True), Taxonomy(categories))


def test_a_label_of_a_category_that_is_gone_still_stands() -> None:
    assert words(standing(rows("ann 1 gone", "ann 2 -gone", "bob 2 gone"), SHOP).labels) == ["ann 1 gone", "bob 2 gone"]


def test_a_product_has_the_text_of_its_newest_label_and_comes_once() -> None:
    found = standing(rows("ann 1 -tea", "ann 2 tea", "bob 1 coffee", "cal 3 tea", "cal 3 undo"))
    assert found.products == [Product("1", "text 3"), Product("2", "text 2")]
    assert {label.product_id for label in found.labels} == {"1", "2"}


def test_the_labels_of_a_conflict_are_what_its_sources_said() -> None:
    [conflict] = standing(rows("ann 1 tea", "bob 1 -tea")).conflicts
    assert conflict.labels == {Label("1", "tea", "ann"), Label("1", "tea", "bob", negative=True)}


SAID = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cal"]),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["drinks/tea", "drinks/coffee", "toys/dolls", "-drinks", "-drinks/tea", "-toys/dolls", "undo", "undo:drinks/tea"]),
        st.sampled_from(["", "@7", "@8"]),
    ).map(" ".join),
    max_size=12,
)


def excludes(one: Label, other: Label) -> bool:
    """Two sayings of a product exclude each other where no category would make both of them true."""

    def true(label: Label, category: str) -> bool:
        below = {label.category, *SHOP.descendants(label.category)}
        return (category in below) is not label.negative

    return not any(true(one, category) and true(other, category) for category in [*SHOP.classes, "some category that is new"])


def by_brute_force(given: list[StoredLabel]) -> tuple[set[int], set[int], set[int]]:
    """Return the rows that hold, that are learnt and that are in conflict, each judged by looking at all the others."""

    def same(row: StoredLabel, other: StoredLabel) -> bool:
        return (row.label.product_id, row.label.source) == (other.label.product_id, other.label.source)

    def repeats(row: StoredLabel, other: StoredLabel) -> bool:
        return (row.label.category, row.label.negative) == (other.label.category, other.label.negative)

    spoken = [
        row
        for row in given
        if not row.withdrawn
        and not any(
            undo.withdrawn
            and undo.seq > row.seq
            and same(row, undo)
            and (not undo.label.category or undo.label.category == row.label.category)
            and (undo.run_id is None or undo.run_id == row.run_id)
            for undo in given
        )
    ]
    holds = [
        row
        for row in spoken
        if not any(
            later.seq > row.seq and same(row, later) and (repeats(row, later) or excludes(row.label, later.label)) for later in spoken
        )
    ]

    def others(row: StoredLabel) -> list[StoredLabel]:
        return [other for other in holds if other.label.product_id == row.label.product_id and other.seq != row.seq]

    def learnt(row: StoredLabel) -> bool:
        return not any(
            other.seq > row.seq and learnt(other) and (repeats(row, other) or excludes(row.label, other.label)) for other in others(row)
        )

    at_odds = {row.seq for row in holds if any(excludes(row.label, other.label) for other in others(row))}
    return {row.seq for row in holds}, {row.seq for row in holds if learnt(row)}, at_odds


@given(SAID)
def test_it_is_what_a_slow_reading_of_the_rules_finds(said: list[str]) -> None:
    given = rows(*said)
    found = standing(given, SHOP)
    holds, learnt, at_odds = by_brute_force(given)
    assert [row.seq for row in found.held] == sorted(holds)
    assert found.labels == [row.label for row in given if row.seq in learnt]
    sayings = {(conflict.product_id, *saying) for conflict in found.conflicts for saying in conflict.sayings}
    expected = {
        (row.label.product_id, row.label.source, row.label.category, row.label.negative, row.at) for row in given if row.seq in at_odds
    }
    assert sayings == expected
    assert len({conflict.product_id for conflict in found.conflicts}) == len(found.conflicts)


@given(SAID)
def test_what_is_learnt_never_contradicts_itself_and_has_each_products_text(said: list[str]) -> None:
    found = standing(rows(*said), SHOP)
    for one in found.labels:
        assert not any(contradict(one, other, SHOP) for other in found.labels if other.product_id == one.product_id)
    assert [product.id for product in found.products] == list(dict.fromkeys(label.product_id for label in found.labels))


@given(SAID)
def test_an_import_that_is_taken_back_is_as_if_it_had_not_been(said: list[str]) -> None:
    given = rows(*said)
    undone = given + [
        StoredLabel(Label(product, "", source), "", True, len(given) + 1, 7, "later")
        for source in ("ann", "bob", "cal")
        for product in "12"
    ]
    without = [row for row in given if row.withdrawn or row.run_id != 7]
    assert not_taken_back(undone) == not_taken_back(without)
    assert standing(undone, SHOP) == standing(without, SHOP)


@pytest.mark.parametrize(
    ("text", "negative", "category"),
    [
        ("toys/dolls", False, "toys/dolls"),
        ("drinks > TEA", False, "drinks/tea"),
        ("Coffee", True, "drinks/coffee"),
        ("Drinks", True, "drinks"),
    ],
)
def test_a_label_names_its_category_by_id_path_or_name(text: str, negative: bool, category: str) -> None:
    assert category_of(text, SHOP, negative=negative) == category


def test_a_label_of_an_inner_category_is_refused_unless_products_hang_there() -> None:
    with pytest.raises(LabelError) as caught:
        category_of("Drinks", SHOP)
    assert str(caught.value) == "no product belongs to 'drinks' itself -> write one of its children: drinks/tea, drinks/coffee"
    assert category_of("Drinks", Taxonomy.from_paths(["Drinks", "Drinks > Tea"])) == "drinks"
    with pytest.raises(TaxonomyError, match="there is no category 'Cofee' -> did you mean 'drinks/coffee'"):
        category_of("Cofee", SHOP)


def test_a_label_of_a_facet_that_is_not_tagged_is_refused() -> None:
    shop = Taxonomy(
        [
            Category("tea", "Tea"),
            Category("jam", "Jam"),
            Category("colour", "Colour", select="many"),
            Category("red", "Red", parents=("colour",)),
        ]
    )
    for negative in (False, True):
        with pytest.raises(LabelError) as caught:
            category_of("Red", shop, negative=negative)
        assert str(caught.value) == "category 'red' belongs to a facet that is not tagged yet -> write a category at or below tea, jam"
