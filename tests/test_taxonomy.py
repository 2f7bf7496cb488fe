"""Taxonomy: ids, paths and relations worked out by hand, and sums over subtrees against brute force on random graphs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtag.errors import TaxonomyError
from fewtag.taxonomy import Category, Facet, Taxonomy, id_of_path, language_of


def shop() -> Taxonomy:
    """Toys hold dolls and kites, gifts hold mugs; kites are gifts too."""
    return Taxonomy(
        [
            Category("toys", "Toys"),
            Category("dolls", "Dolls", aliases=("puppets",), parents=("toys",)),
            Category("kites", "Kites", parents=("toys", "gifts")),
            Category("gifts", "Gifts"),
            Category("mugs", "Mugs", parents=("gifts",)),
        ]
    )


def told(categories: Sequence[Category], source: str = "") -> str:
    with pytest.raises(TaxonomyError) as raised:
        Taxonomy(categories, source=source)
    return str(raised.value)


# relations


def test_roots_leaves_and_classes_come_in_the_order_of_the_file() -> None:
    taxonomy = shop()
    assert list(taxonomy) == ["toys", "dolls", "kites", "gifts", "mugs"]
    assert taxonomy.roots == ("toys", "gifts")
    assert taxonomy.leaves == taxonomy.classes == ("dolls", "kites", "mugs")
    assert taxonomy.index == {"dolls": 0, "kites": 1, "mugs": 2}


def test_each_category_is_moved_behind_its_first_parent() -> None:
    taxonomy = Taxonomy(
        [
            Category("tea/green", "Green", parents=("tea",)),
            Category("jam", "Jam"),
            Category("tea", "Tea"),
            Category("x", "X", parents=("jam",)),
        ]
    )
    assert list(taxonomy) == ["jam", "x", "tea", "tea/green"]


def test_it_is_a_collection_of_ids() -> None:
    taxonomy = shop()
    assert len(taxonomy) == 5
    assert "kites" in taxonomy
    assert "Kites" not in taxonomy
    assert taxonomy["kites"].name == "Kites"
    with pytest.raises(KeyError, match="Kites"):
        taxonomy["Kites"]


def test_it_tells_its_size_and_language() -> None:
    assert repr(shop()) == "Taxonomy('taxonomy', 5 categories, 3 assignable, language 'en')"
    assert str(shop()) == "taxonomy: 5 categories, 3 of them assignable, in language 'en'"


def test_parents_children_and_siblings() -> None:
    taxonomy = shop()
    assert taxonomy.parents("kites") == ("toys", "gifts")
    assert taxonomy.children("toys") == ("dolls", "kites")
    assert taxonomy.children("gifts") == ("kites", "mugs")
    assert taxonomy.siblings("kites") == ("dolls", "mugs"), "those of all its parents"
    assert taxonomy.siblings("mugs") == ("kites",)
    assert taxonomy.siblings("toys") == ("gifts",), "the other roots"


def test_siblings_that_share_both_parents_are_named_once() -> None:
    taxonomy = Taxonomy([Category("a", "A"), Category("b", "B"), *(Category(each, each, parents=("a", "b")) for each in ("c", "d"))])
    assert taxonomy.siblings("c") == ("d",)


def test_the_path_runs_through_the_first_parents() -> None:
    taxonomy = shop()
    assert taxonomy.trail("kites") == ("toys", "kites")
    assert taxonomy.names_on_path("kites") == ("Toys", "Kites")
    assert taxonomy.path("kites") == "Toys > Kites"
    assert taxonomy.path("gifts") == "Gifts"
    assert [taxonomy.depth(node) for node in taxonomy] == [1, 2, 2, 1, 2]


def test_ancestors_are_all_categories_above_and_descendants_all_below() -> None:
    taxonomy = shop()
    assert taxonomy.ancestors("kites") == ("toys", "gifts")
    assert taxonomy.ancestors("toys") == ()
    assert taxonomy.descendants("gifts") == ("kites", "mugs")
    assert taxonomy.descendants("mugs") == ()


def test_in_a_tree_the_ancestors_are_the_path_from_the_root() -> None:
    taxonomy = Taxonomy.from_paths(["A > B > C > D"])
    assert taxonomy.ancestors("a/b/c/d") == ("a", "a/b", "a/b/c") == taxonomy.trail("a/b/c/d")[:-1]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("dolls", "kites", "toys"),
        ("kites", "mugs", "gifts"),
        ("dolls", "mugs", None),
        ("dolls", "dolls", "dolls"),
        ("toys", "dolls", "toys"),
        ("dolls", "toys", "toys"),
    ],
)
def test_the_lowest_common_ancestor(one: str, other: str, shared: str | None) -> None:
    assert shop().lca(one, other) == shared


# what may be assigned, and facets


def test_an_inner_category_is_a_class_where_it_is_marked_so() -> None:
    taxonomy = Taxonomy([Category("shoes", "Shoes", assignable=True), Category("heels", "Heels", parents=("shoes",))])
    assert taxonomy.classes == ("shoes", "heels")
    assert taxonomy.leaves == ("heels",)


def test_without_a_select_all_classes_form_one_facet() -> None:
    assert shop().facets == (Facet(None, "one", ("dolls", "kites", "mugs")),)
    assert shop().primary.version == shop().version


def faceted() -> Taxonomy:
    return Taxonomy(
        [
            Category("tea", "Tea"),
            Category("green", "Green", parents=("tea",)),
            Category("gold", "Gold", parents=("tea", "colour")),
            Category("diet", "Diet", select="many"),
            Category("vegan", "Vegan", parents=("diet",)),
            Category("halal", "Halal", parents=("diet",)),
            Category("colour", "Colour", select="one"),
            Category("red", "Red", parents=("colour",)),
        ]
    )


def test_each_root_with_a_select_is_a_facet_of_its_own() -> None:
    assert faceted().facets == (
        Facet(None, "one", ("green",)),
        Facet("diet", "many", ("vegan", "halal")),
        Facet("colour", "one", ("gold", "red")),
    )


def test_the_primary_taxonomy_is_that_of_the_first_facet() -> None:
    primary = faceted().primary
    assert list(primary) == ["tea", "green"]
    assert primary.facets == (Facet(None, "one", ("green",)),)


def test_where_every_root_is_a_facet_the_first_is_the_primary_one() -> None:
    diet, vegan = Category("diet", "Diet", select="many"), Category("vegan", "Vegan", parents=("diet", "colour"))
    taxonomy = Taxonomy([diet, vegan, Category("colour", "Colour", select="one"), Category("red", "Red", parents=("colour",))])
    assert [facet.id for facet in taxonomy.facets] == ["diet", "colour"]
    assert list(taxonomy.primary) == ["diet", "vegan"]
    assert taxonomy.primary.parents("vegan") == ("diet",)


def test_select_belongs_to_a_root() -> None:
    categories = [Category("diet", "Diet"), Category("vegan", "Vegan", parents=("diet",), select="one", line=7)]
    assert told(categories, "t.yaml") == "t.yaml:7: category 'vegan' has `select` but is no root -> move `select` to its root"


# what a text means


@pytest.mark.parametrize("text", ["kites", "Kites", "  KITES ", "Toys > Kites", "toys>kites", "Toys  >  Kites"])
def test_a_category_is_found_by_id_name_or_path(text: str) -> None:
    assert shop().find(text) == "kites"


def test_a_category_is_found_by_an_alias() -> None:
    assert shop().find("Puppets") == "dolls"


def test_an_id_goes_before_the_name_of_another() -> None:
    taxonomy = Taxonomy([Category("tea", "Coffee"), Category("coffee", "Tea")])
    assert taxonomy.find("tea") == "tea"
    assert taxonomy.find("Tea") == "coffee"


def test_the_name_of_a_root_goes_before_the_same_name_below() -> None:
    taxonomy = Taxonomy.from_paths(["Clothing > Clothing", "Clothing > Hats"])
    assert taxonomy.find("Clothing") == "clothing"
    assert taxonomy.find("Clothing > Clothing") == "clothing/clothing"


def test_a_name_that_several_have_is_refused_with_their_ids() -> None:
    taxonomy = Taxonomy.from_paths(["Toys > Other", "Pets > Other"])
    with pytest.raises(TaxonomyError) as raised:
        taxonomy.find("Other")
    assert str(raised.value) == "'Other' may mean toys/other, pets/other -> write the id or the full path"


def test_a_path_that_several_have_is_refused_too() -> None:
    """The last of them used to be taken in silence."""
    taxonomy = Taxonomy([Category("toys", "Toys"), *(Category(each, "Other", parents=("toys",)) for each in ("o1", "o2"))])
    with pytest.raises(TaxonomyError, match=r"'Toys > Other' may mean o1, o2 -> write the id"):
        taxonomy.find("Toys > Other")


def test_an_unknown_text_is_answered_with_the_nearest() -> None:
    with pytest.raises(TaxonomyError, match=r"there is no category 'Kits' -> did you mean 'kites'\?"):
        shop().find("Kits")
    with pytest.raises(TaxonomyError, match=r"no category 'Zebra' -> write an id, a full path or a unique name of the taxonomy"):
        shop().find("Zebra")
    tools = Taxonomy.from_paths(["Tools > Nails & screws", "Tools > Drills & drivers", "Tools > Nails"])
    with pytest.raises(TaxonomyError, match=r"no category 'Drils' -> did you mean 'tools/drills-drivers'\?"):
        tools.find("Drils")  # nearer to a word of a long name than to 'Nails' as a whole
    with pytest.raises(TaxonomyError, match=r"-> did you mean 'tools/nails-screws'\?"):
        tools.find("Tools > Screws")
    pens = Taxonomy.from_paths(["Stationery > Pens, paper & post", "Pets"])
    with pytest.raises(TaxonomyError, match=r"-> did you mean 'stationery/pens-paper-post'\?"):
        pens.find("Pens")  # a word of a name, however long its path is
    food = Taxonomy.from_paths(["Food > Jam & honey", "Food > Meat", "Pans"])
    for said, meant in (("Jam", "food/jam-honey"), ("Food > Jam", "food/jam-honey"), ("Pan", "pans"), ("Met", "food/meat")):
        with pytest.raises(TaxonomyError, match=f"-> did you mean '{meant}'"):
            food.find(said)


@pytest.mark.parametrize(
    ("paths", "text", "near"),
    [
        (["Tools > Drills", "Tools > Nails"], "Drils", "tools/drills"),
        (["Tools > Drills", "Tools > Nails"], "Tools > Drils", "tools/drills"),
        (["Tools > Power tools > Drills", "Tools > Nails"], "Tools > Drils", "tools/power-tools/drills"),
        (["Toys > Other", "Pets > Other"], "Pats > Other", "pets/other"),
        (["Drinks > Tea", "Kitchen > Teas & more"], "Drinks > Teas", "drinks/tea"),
        (["Drinks > Tea", "Drinks > Coffee"], "DRINKS/COFEE", "drinks/coffee"),
    ],
)
def test_a_misspelt_path_is_answered_with_what_ends_like_it_rather_than_begins(paths: list[str], text: str, near: str) -> None:
    with pytest.raises(TaxonomyError, match=rf"did you mean '{near}'"):
        Taxonomy.from_paths(paths).find(text)


def test_doubts_are_nothing_for_a_sound_taxonomy() -> None:
    assert shop().doubts() == []


def test_doubts_name_shared_aliases_and_names_that_read_like_paths() -> None:
    taxonomy = Taxonomy(
        [Category("tea", "Tea", aliases=("Brew", "brew")), Category("beer", "Beer", aliases=("brew ",)), Category("jam", "Food > Jam")]
    )
    assert taxonomy.doubts() == ["tea and beer have the same alias, 'brew'", "the name 'Food > Jam' of jam reads like a path"]


def test_doubts_name_equal_paths_borrowed_names_and_only_children() -> None:
    taxonomy = Taxonomy(
        [
            Category("tea", "Tea"),
            Category("t1", "Green", parents=("tea",)),
            Category("t2", "green", aliases=("JAM",), parents=("tea",)),
            Category("pots", "Pots"),
            Category("jam", "Jam", aliases=("jam",), parents=("pots",)),
        ]
    )
    assert taxonomy.doubts() == [
        "t1 and t2 have the same path, 'Tea > Green'",
        "the alias 'JAM' of t2 is the name of jam",
        "pots has a single child, so that to back off to it says nothing",
    ]


@pytest.mark.parametrize("language", [None, "de"])
def test_a_language_that_was_only_guessed_is_doubted_where_a_name_looks_like_another(language: str | None) -> None:
    doubts = Taxonomy.from_paths(["Möbel > Tische", "Möbel > Stühle"], language=language).doubts()
    said = ["no language is given, so English is assumed, and 'Möbel' hardly is: add `language: de`, or whichever it is"]
    assert doubts == ([] if language else said)


def test_a_single_category_is_doubted() -> None:
    [doubt] = Taxonomy.from_paths(["Tea"]).doubts()
    assert doubt == "there is a single category, so that nothing can be told apart, and every product is left open"


# sums over subtrees


def test_a_class_counts_once_in_each_subtree_that_it_lies_in() -> None:
    taxonomy = shop()  # in order: toys, dolls, kites, gifts, mugs
    scores = np.array([[0.5, 0.25, 0.25], [1, 0, 0]], dtype=np.float32)  # dolls, kites, mugs
    sums = taxonomy.subtree_sums(scores)
    assert sums.tolist() == [[0.75, 0.5, 0.25, 0.5, 0.25], [1, 1, 0, 0, 0]]
    assert sums.dtype == np.float32


def test_json_reads_back_as_an_equal_taxonomy() -> None:
    again = Taxonomy.from_json(shop().to_json())
    assert [again[node] for node in again] == [shop()[node] for node in shop()]
    assert (again.name, again.language, again.version, again.classes) == (shop().name, shop().language, shop().version, shop().classes)


def test_the_ways_hold_each_class_and_all_above_it_and_are_filled_with_the_class() -> None:
    taxonomy = Taxonomy.from_paths(["Toys > Dolls > Rag", "Toys > Kites", "Tea"])  # in order: toys, dolls, rag, kites, tea
    assert taxonomy.ways.tolist() == [[0, 1, 2], [0, 3, 3], [4, 4, 4]]
    assert taxonomy.depths.tolist() == [1, 2, 3, 2, 1]


def test_a_class_counts_once_though_two_paths_lead_to_it() -> None:
    taxonomy = Taxonomy(
        [Category("a", "A"), *(Category(each, each, parents=("a",)) for each in ("b", "c")), Category("d", "D", parents=("b", "c"))]
    )
    assert taxonomy.subtree_sums(np.ones((1, 1), dtype=np.float32)).tolist() == [[1, 1, 1, 1]]


def test_an_inner_class_counts_for_itself_and_above() -> None:
    taxonomy = Taxonomy.from_paths(["Shoes", "Shoes > Heels"])
    assert taxonomy.subtree_sums(np.array([[0.75, 0.25]], dtype=np.float32)).tolist() == [[1, 0.25]]


def test_no_scores_have_no_sums() -> None:
    assert shop().subtree_sums(np.zeros((0, 3), dtype=np.float32)).shape == (0, 5)


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    """Draw up to eight categories in any order, each with any of those before it as parents, some marked assignable."""
    categories: list[Category] = []
    for number in range(draw(st.integers(1, 8))):
        parents = draw(st.lists(st.sampled_from([each.id for each in categories]), unique=True, max_size=3)) if categories else []
        categories.append(Category(f"c{number}", f"Name {number}", parents=tuple(parents), assignable=draw(st.booleans())))
    return Taxonomy(draw(st.permutations(categories)))


def above(taxonomy: Taxonomy, node: str) -> set[str]:
    """Walk up all parents, by definition and slowly."""
    return {node}.union(*(above(taxonomy, parent) for parent in taxonomy[node].parents))


@given(taxonomies())
def test_sums_agree_with_brute_force_on_any_graph(taxonomy: Taxonomy) -> None:
    scores = np.arange(1, len(taxonomy.classes) + 1, dtype=np.float32)  # whole numbers, which sum exactly
    expected = [
        sum(float(score) for score, leaf in zip(scores, taxonomy.classes, strict=True) if node in above(taxonomy, leaf))
        for node in taxonomy
    ]
    assert taxonomy.subtree_sums(scores[None]).tolist() == [expected]


@given(taxonomies())
def test_relations_agree_with_brute_force_on_any_graph(taxonomy: Taxonomy) -> None:
    for node in taxonomy:
        ancestors = taxonomy.ancestors(node)
        assert len(set(ancestors)) == len(ancestors)
        assert {*ancestors, node} == above(taxonomy, node)
        assert all(set(taxonomy.ancestors(each)) <= set(ancestors[:place]) for place, each in enumerate(ancestors))
        assert set(taxonomy.descendants(node)) == {each for each in taxonomy if node in above(taxonomy, each)} - {node}
        assert set(taxonomy.children(node)) == {each for each in taxonomy if node in taxonomy[each].parents}
        for other in taxonomy:
            shared = above(taxonomy, node) & above(taxonomy, other)
            found = taxonomy.lca(node, other)
            assert (found in shared and taxonomy.depth(found) == max(map(taxonomy.depth, shared))) if found else not shared


@given(taxonomies())
def test_each_category_stands_behind_its_first_parent_with_only_its_descendants_between(taxonomy: Taxonomy) -> None:
    order = list(taxonomy)
    for node in order:
        if parents := taxonomy.parents(node):
            between = order[order.index(parents[0]) + 1 : order.index(node)]
            assert order.index(parents[0]) < order.index(node)
            assert all(parents[0] in taxonomy.trail(each) for each in between)


# from paths


def test_every_path_given_is_a_class_and_those_passed_through_are_not() -> None:
    taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites", "Tea", "Tea > Green"])
    assert list(taxonomy) == ["toys", "toys/dolls", "toys/kites", "tea", "tea/green"]
    assert taxonomy.classes == ("toys/dolls", "toys/kites", "tea", "tea/green")
    assert not taxonomy["toys"].assignable


def test_a_path_twice_is_one_category() -> None:
    assert Taxonomy.from_paths(["Tea", " Tea ", "Tea>Green", "Tea > Green"]).classes == ("tea", "tea/green")


def test_paths_that_make_the_same_id_are_numbered() -> None:
    taxonomy = Taxonomy.from_paths(["A+ > X", "A- > X", "a-2", "A!"])
    assert list(taxonomy) == ["a", "a/x", "a-2", "a/x-2", "a-2-2", "a-3"]
    assert [taxonomy.path(node) for node in taxonomy] == ["A+", "A+ > X", "A-", "A- > X", "a-2", "A!"]


def test_the_separator_and_the_language_can_be_given() -> None:
    taxonomy = Taxonomy.from_paths(["Toys/Dolls"], separator="/", language="de")
    assert taxonomy.path("toys/dolls") == "Toys > Dolls"
    assert taxonomy.language == "de"


@pytest.mark.parametrize(("path", "written"), [("Toys > ", "Toys > "), ("> Toys", " > Toys"), ("A >> B", "A >  > B"), ("", "")])
def test_an_empty_name_in_a_path_is_refused(path: str, written: str) -> None:
    with pytest.raises(TaxonomyError) as raised:
        Taxonomy.from_paths([path])
    assert str(raised.value) == f"the path '{written}' has an empty name -> write it as 'Parent > Child'"


# what contradicts itself


def test_a_taxonomy_has_categories() -> None:
    assert told([], "t.yaml") == "t.yaml: the taxonomy has no categories -> list at least one under `categories:`"
    with pytest.raises(TaxonomyError, match="the taxonomy has no categories"):
        Taxonomy.from_paths([])


def test_an_id_is_used_once() -> None:
    twice = [Category("tea", "Tea", line=9), Category("tea", "Green tea", line=14)]
    assert told(twice, "t.yaml") == "t.yaml:14: category 'tea' is defined twice (first at line 9) -> give one of them another id"
    assert told([replace(each, line=None) for each in twice]) == "category 'tea' is defined twice -> give one of them another id"


def test_a_parent_is_a_category() -> None:
    near = [Category("toys", "Toys", line=2), Category("dolls", "Dolls", parents=("toy",), line=3)]
    assert told(near, "t.yaml") == "t.yaml:3: category 'dolls' has the unknown parent 'toy' -> did you mean 'toys'?"
    far = [Category("dolls", "Dolls", parents=("xyz",))]
    assert told(far) == "category 'dolls' has the unknown parent 'xyz' -> write the id of a category of this file"


def test_categories_form_no_circle() -> None:
    circle = [Category("a", "A", parents=("c",), line=1), Category("b", "B", parents=("a",)), Category("c", "C", parents=("b",))]
    assert told(circle, "t.yaml") == "t.yaml:1: the categories form a circle: a > b > c > a -> take one of these parents away"
    assert told([Category("a", "A", parents=("a",))]) == "the categories form a circle: a > a -> take one of these parents away"


# version, language and ids


def test_the_version_is_pinned() -> None:
    """When this fails, tags of old ledgers no longer know their taxonomy: change it only for what the version must see."""
    said = (
        '["taxonomy", "en", [{"id": "tea", "name": "Tea", "aliases": ["chai"], "description": "", "examples": [], "parents": [], '
        '"assignable": false, "select": null}]]'
    )
    assert hashlib.sha256(said.encode()).hexdigest()[:12] == "495b00f99ac4"
    assert Taxonomy([Category("tea", "Tea", aliases=("chai",))]).version == "495b00f99ac4"


def test_the_version_says_what_the_categories_say_and_not_where_they_stand() -> None:
    tea = Category("tea", "Tea", line=3)
    version = Taxonomy([tea]).version
    assert Taxonomy([replace(tea, line=8)], source="t.yaml").version == version
    assert Taxonomy([tea], name="another").version != version, "prompts show the name to the model"
    changes = [
        {"id": "t"},
        {"name": "Teas"},
        {"aliases": ("chai",)},
        {"description": "leaves"},
        {"examples": ("Earl Grey",)},
        {"assignable": True},
        {"select": "one"},
    ]
    versions = {Taxonomy([replace(tea, **change)]).version for change in changes} | {Taxonomy([tea], language="fr").version}  # type: ignore[arg-type]
    assert len(versions - {version}) == len(changes) + 1


def test_the_version_depends_on_the_order_of_the_classes() -> None:
    assert Taxonomy.from_paths(["Tea", "Jam"]).version != Taxonomy.from_paths(["Jam", "Tea"]).version


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["Tea", "Jam"], "en"),
        ([], "en"),
        (["2024", ""], "en"),
        (["茶", "果酱", "Jam"], "zh"),
        (["茶", "Jam"], "zh"),
        (["茶", "Coffee", "Jam"], "en"),
        (["お茶", "コーヒー", "果物"], "ja"),
        (["植物の茶", *["茶"] * 10], "zh"),
        (["植物の茶", *["茶"] * 9], "ja"),
        (["녹차", "커피"], "ko"),
        (["Чай", "Кофе"], "ru"),
        (["Τσάι"], "el"),
        (["شاي"], "ar"),
        (["תה"], "he"),
        (["ชา"], "th"),
        (["चाय"], "hi"),
    ],
)
def test_the_language_is_seen_from_the_script_of_most_names(texts: list[str], language: str) -> None:
    assert language_of(texts) == language


def test_a_language_that_is_given_goes_before_the_script() -> None:
    assert Taxonomy([Category("tea", "茶")]).language == "zh"
    assert Taxonomy([Category("tea", "茶")], language="ja").language == "ja"


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["Home & Garden", "Lamps"], "home-garden/lamps"),
        (["T-shirts / tops"], "t-shirts-tops"),
        (["snake_case"], "snake-case"),
        (["  Tea!  "], "tea"),
        (["+++"], "-"),
        (["Café"], "café"),
        (["Cafe\u0301"], "café"),
        (["食品", "茶"], "食品/茶"),
        (["चाय"], "चाय"),
        (["ชา"], "ชา"),
    ],
)
def test_ids_are_made_from_the_names_on_the_path(names: list[str], made: str) -> None:
    assert id_of_path(names) == made


def test_names_that_differ_in_their_vowel_marks_alone_have_different_ids() -> None:
    assert id_of_path(["चाय"]) != id_of_path(["चीय"])


# saving


@given(taxonomies())
def test_a_saved_taxonomy_loads_as_an_equal_one(tmp_path_factory: pytest.TempPathFactory, taxonomy: Taxonomy) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    taxonomy.save(path)
    loaded = Taxonomy.load(path)
    assert [loaded[node] for node in loaded] == [taxonomy[node] for node in taxonomy]
    assert (loaded.version, loaded.name, loaded.language) == (taxonomy.version, taxonomy.name, taxonomy.language)


def test_saving_keeps_what_a_category_says(tmp_path: Path) -> None:
    said = Category("t", "No", aliases=("true", "007"), description="a: b # c", examples=("x > y", "- z"), assignable=True, select="many")
    taxonomy = Taxonomy([said, Category("2024", "1.5", parents=("t",))], name="null", language="no")
    taxonomy.save(tmp_path / "t.yaml")
    loaded = Taxonomy.load(tmp_path / "t.yaml")
    assert [loaded[node] for node in loaded] == [taxonomy[node] for node in taxonomy]
    assert (loaded.version, loaded.name, loaded.language) == (taxonomy.version, "null", "no")
