"""A shop's categories as a networkx hierarchy: paths, ancestors, assignable classes, and fast sums of scores over subtrees.

The trap: names repeat ("Clothing > Clothing", "Toys > Other" and "Pets > Other"), so everything here goes by id.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn

import networkx as nx
import numpy as np
import numpy.typing as npt

from fewtag.errors import TaxonomyError, did_you_mean

if TYPE_CHECKING:
    from scipy import sparse

Select = Literal["one", "many"]
SEPARATOR: Final = ">"
NO_HINTS: Final = frozenset({"and", "for", "the", "und", "für", "les", "des", "con"})
"""Words of names that say nothing of a category."""

_SCRIPTS: Final = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
)


@dataclass(frozen=True, slots=True)
class Category:
    """One node: what the file says of it. `parents` are ids; `line` is where it stands in its file."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    examples: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    assignable: bool = False
    select: Select | None = None
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Facet:
    """One question that a product answers: its classes exclude each other (`one`) or not (`many`). The main facet's id is None."""

    id: str | None
    select: Select
    classes: tuple[str, ...]


class Taxonomy:
    """The categories, each behind its first parent and else in the order of their file, and the acyclic graph that they form.

    >>> taxonomy = Taxonomy.from_paths(["Toys > Dolls", "Toys > Kites", "Tea"])
    >>> taxonomy.classes, taxonomy.path("toys/dolls")
    (('toys/dolls', 'toys/kites', 'tea'), 'Toys > Dolls')
    """

    def __init__(self, categories: Iterable[Category], *, name: str = "taxonomy", language: str | None = None, source: str = "") -> None:
        """Raise TaxonomyError for no categories, an id twice, an unknown parent or a cycle; `source` is the file that errors name."""
        self._categories: dict[str, Category] = {}
        self._source = source
        for category in categories:
            if first := self._categories.get(category.id):
                since = f" (first at line {first.line})" if first.line else ""
                self._fail(category, f"category '{category.id}' is defined twice{since}", "give one of them another id")
            self._categories[category.id] = category
        if not self._categories:
            raise TaxonomyError("the taxonomy has no categories", mend="list at least one under `categories:`", where=source)
        self.name = name
        self._language_is_given = bool(language)
        said = language or language_of(category.name for category in self._categories.values())
        self.language = re.split("[-_]", said)[0].lower()  # "zh-CN" is looked up as "zh"
        if not re.fullmatch("[a-z]{2,3}", self.language):
            raise TaxonomyError(f"the language is '{said}'", mend="write its code, such as en, zh or de", where=source)
        self.graph = self._build()

    @classmethod
    def load(cls, path: str | Path) -> Taxonomy:
        """Read a taxonomy.yaml; raises TaxonomyError with file and line."""
        from fewtag.taxonomy_file import read_taxonomy_file

        return read_taxonomy_file(path).taxonomy

    @classmethod
    def from_paths(cls, paths: Iterable[str], *, language: str | None = None, separator: str = SEPARATOR) -> Taxonomy:
        """Build a taxonomy from full paths. Each path given is assignable; inner categories that are only passed through are not.

        Ids are made from the paths. The language is seen from the script of the names unless it is given.
        """
        paths = [paths] if isinstance(paths, str) else paths
        given = [tuple(part.strip() for part in path.split(separator)) for path in paths]
        for names in given:
            if not all(names):
                path = f" {separator} ".join(names)
                raise TaxonomyError(f"the path '{path}' has an empty name", mend=f"write it as 'Parent {separator} Child'")
        every = dict.fromkeys(names[:depth] for names in given for depth in range(1, len(names) + 1))
        assignable = set(given)
        ids: dict[tuple[str, ...], str] = {}
        taken: set[str] = set()
        for names in every:
            ids[names] = _free(id_of_path(names), taken)
        return cls(
            (
                Category(ids[names], names[-1], parents=(ids[names[:-1]],) if names[1:] else (), assignable=names in assignable)
                for names in every
            ),
            language=language,
        )

    def save(self, path: str | Path) -> None:
        """Write the taxonomy as a taxonomy.yaml, which loads as an equal taxonomy."""
        from fewtag.taxonomy_file import write_taxonomy

        write_taxonomy(self, Path(path))

    def to_json(self) -> str:
        """Write all that the taxonomy says, for machines: a hundred times as fast to read as YAML, without comments and lines."""
        content = [{key: value for key, value in asdict(category).items() if key != "line"} for category in self._categories.values()]
        return json.dumps([self.name, self.language, content], ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Taxonomy:
        """Read back what `to_json` wrote, as an equal taxonomy."""
        name, language, content = json.loads(text)
        lists = ("aliases", "examples", "parents")
        return cls((Category(**row | {key: tuple(row[key]) for key in lists}) for row in content), name=name, language=language)

    def __getitem__(self, category: str) -> Category:
        return self._categories[category]

    def __contains__(self, category: object) -> bool:
        return category in self._categories

    def __iter__(self) -> Iterator[str]:
        return iter(self._categories)

    def __len__(self) -> int:
        return len(self._categories)

    def __repr__(self) -> str:
        return f"Taxonomy({self.name!r}, {len(self)} categories, {len(self.classes)} assignable, language {self.language!r})"

    def __str__(self) -> str:
        return f"{self.name}: {len(self)} categories, {len(self.classes)} of them assignable, in language '{self.language}'"

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The categories without a parent."""
        return tuple(node for node in self if not self[node].parents)

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The categories without a child."""
        return tuple(node for node in self if not self.graph.out_degree(node))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The assignable categories: the leaves, and the inner ones that are marked so."""
        return tuple(node for node in self if self[node].assignable or not self.graph.out_degree(node))

    @cached_property
    def index(self) -> dict[str, int]:
        """The column of each assignable category in a matrix of probabilities."""
        return {category: column for column, category in enumerate(self.classes)}

    @cached_property
    def root_places(self) -> npt.NDArray[np.int64]:
        """The place in `roots` of the root that each assignable category's path starts at, (n_classes,)."""
        place = {root: number for number, root in enumerate(self.roots)}
        return np.array([place[self.trail(each)[0]] for each in self.classes])

    def parents(self, category: str) -> tuple[str, ...]:
        """Return the parents, the first of which the path runs through."""
        return self[category].parents

    def children(self, category: str) -> tuple[str, ...]:
        """Return the children in the order of the file."""
        return tuple(self.graph.successors(category))

    def siblings(self, category: str) -> tuple[str, ...]:
        """Return the other children of its parents; for a root, the other roots."""
        parents = self.parents(category)
        family = [child for parent in parents for child in self.children(parent)] if parents else self.roots
        return tuple(dict.fromkeys(node for node in family if node != category))

    def ancestors(self, category: str) -> tuple[str, ...]:
        """Return all categories above it, every one behind those above it; in a plain tree that is the path from the root."""
        return self._ancestors[category]

    def descendants(self, category: str) -> tuple[str, ...]:
        """Return all categories below it, in the order of the file."""
        below = nx.descendants(self.graph, category)
        return tuple(node for node in self if node in below)

    def trail(self, category: str) -> tuple[str, ...]:
        """Return the ids along first parents, from the root to the category itself."""
        trail = [category]
        while parents := self.parents(trail[-1]):
            trail.append(parents[0])
        return tuple(reversed(trail))

    def names_on_path(self, category: str) -> tuple[str, ...]:
        """Return the names along first parents, from the root to the category's own."""
        return tuple(self[node].name for node in self.trail(category))

    def path(self, category: str) -> str:
        """Return the names from root to category as one text: "Toys > Dolls"."""
        return f" {SEPARATOR} ".join(self.names_on_path(category))

    def depth(self, category: str) -> int:
        """Return the number of categories on its path; a root has depth 1."""
        return len(self.trail(category))

    def lca(self, one: str, other: str) -> str | None:
        """Return the deepest category above or equal to both, or None where they share none."""
        above = {other, *self.ancestors(other)}
        shared = [node for node in (*self.ancestors(one), one) if node in above]
        return max(shared, key=self.depth) if shared else None

    def find(self, text: str) -> str:
        """Return the id that a text means: an id, a full path, or a name or alias that only one category has.

        Raises TaxonomyError where it means none (with the nearest names) or several.
        """
        if text in self:
            return text
        meant = self._meanings.get(_folded(text), ())
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise TaxonomyError(f"'{text}' may mean {', '.join(meant)}", mend="write the id or the full path")
        near = self._nearest(_folded(text))
        mend = f"did you mean '{near}'?" if near else "write an id, a full path or a unique name of the taxonomy"
        raise TaxonomyError(f"there is no category '{text}'", mend=mend)

    def doubts(self) -> list[str]:
        """Say what is allowed, but makes tags worse: two classes with one path or alias, an alias that is another's name, an only child."""
        paths: dict[str, list[str]] = {}
        names: dict[str, list[str]] = {}
        aliases: dict[str, list[str]] = {}
        for node in self.classes:
            paths.setdefault(_folded(self.path(node)), []).append(node)
            names.setdefault(_folded(self[node].name), []).append(node)
            for alias in dict.fromkeys(_folded(each) for each in self[node].aliases):
                aliases.setdefault(alias, []).append(node)
        same = [f"{' and '.join(nodes)} have the same path, '{self.path(nodes[0])}'" for nodes in paths.values() if len(nodes) > 1]
        shared = [
            f"{' and '.join(nodes)} have the same alias, '{alias}'" for alias, nodes in aliases.items() if nodes[1:] and alias not in names
        ]
        borrowed = [
            f"the alias '{alias}' of {node} is the name of {other}"
            for node in self
            for alias in self[node].aliases
            for other in names.get(_folded(alias), ())
            if other != node
        ]
        like_paths = [f"the name '{self[node].name}' of {node} reads like a path" for node in self if SEPARATOR in self[node].name]
        alone = [
            f"{node} has a single child, so that to back off to it says nothing"
            for node in self
            if len(self.children(node)) == 1 and not self[node].assignable
        ]
        return [*self._doubts_of_all(), *same, *borrowed, *shared, *like_paths, *alone]

    def _doubts_of_all(self) -> Iterator[str]:
        foreign = next((name for category in self._categories.values() if not (name := category.name).isascii()), "")
        if foreign and self.language == "en" and not self._language_is_given:
            yield f"no language is given, so English is assumed, and '{foreign}' hardly is: add `language: de`, or whichever it is"
        if len(self.classes) == 1:
            yield "there is a single category, so that nothing can be told apart, and every product is left open"

    @cached_property
    def reach(self) -> sparse.csr_matrix:
        """Which classes lie in whose subtree: scipy CSR float32 (n_categories in file order, n_classes) of zeros and ones."""
        from scipy import sparse

        row = {node: number for number, node in enumerate(self)}
        pairs = [(row[node], column) for leaf, column in self.index.items() for node in (*self.ancestors(leaf), leaf)]
        rows, columns = np.array(pairs).T
        return sparse.csr_matrix((np.ones(len(pairs), dtype=np.float32), (rows, columns)), shape=(len(self), len(self.classes)))

    def subtree_sums(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sum scores of classes, (n, n_classes), over the subtree of every category; returns (n, n_categories)."""
        sums: npt.NDArray[np.float32] = np.ascontiguousarray((self.reach @ scores.T).T)
        return sums

    @cached_property
    def depths(self) -> npt.NDArray[np.int64]:
        """The length of the longest way to each category, (n_categories,) in file order: each lies deeper than all of its parents."""
        depths: dict[str, int] = {}
        for node in nx.topological_sort(self.graph):
            depths[node] = 1 + max((depths[parent] for parent in self.parents(node)), default=0)
        return np.array([depths[node] for node in self])

    @cached_property
    def ways(self) -> npt.NDArray[np.int64]:
        """Each class and all above it, as rows of `reach` in their order, (n_classes, longest); the class itself fills what is left."""
        row = {node: number for number, node in enumerate(self)}
        trails = [sorted(row[node] for node in (*self.ancestors(leaf), leaf)) for leaf in self.classes]
        longest = max(map(len, trails))
        return np.array([trail + [row[leaf]] * (longest - len(trail)) for leaf, trail in zip(self.classes, trails, strict=True)])

    @cached_property
    def facets(self) -> tuple[Facet, ...]:
        """The main facet, of all roots without a `select` of their own, and one facet for each root that has one."""
        own = [root for root in self.roots if self[root].select]
        below = {root: {root, *nx.descendants(self.graph, root)} for root in own}
        main = tuple(leaf for leaf in self.classes if not any(leaf in nodes for nodes in below.values()))
        facets = [Facet(None, "one", main)] if main else []
        for root in own:
            facets.append(Facet(root, self[root].select or "one", tuple(leaf for leaf in self.classes if leaf in below[root])))
        return tuple(facets)

    @cached_property
    def primary(self) -> Taxonomy:
        """The taxonomy of the first facet alone: what a product is, without the further questions that other facets ask of it."""
        if len(self.facets) == 1:
            return self
        facet = self.facets[0]
        kept = {node for leaf in facet.classes for node in (*self.ancestors(leaf), leaf)}
        if facet.id:
            kept &= {facet.id, *nx.descendants(self.graph, facet.id)}
        return Taxonomy(
            (
                replace(category, parents=tuple(parent for parent in category.parents if parent in kept))
                for node, category in self._categories.items()
                if node in kept
            ),
            name=self.name,
            language=self.language,
            source=self._source,
        )

    @cached_property
    def version(self) -> str:
        """The start of the SHA-256 of all that the taxonomy says, line numbers apart."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @cached_property
    def _ancestors(self) -> dict[str, tuple[str, ...]]:
        above: dict[str, tuple[str, ...]] = {}
        for node in nx.topological_sort(self.graph):
            above[node] = tuple(dict.fromkeys(each for parent in self.parents(node) for each in (*above[parent], parent)))
        return above

    @cached_property
    def _meanings(self) -> dict[str, tuple[str, ...]]:
        """What each folded path, name and alias means; a path before a name, so that the name of a root is unambiguous."""
        paths: dict[str, tuple[str, ...]] = {}
        names: dict[str, tuple[str, ...]] = {}
        for node, category in self._categories.items():
            path = _folded(self.path(node))
            paths[path] = (*paths.get(path, ()), node)
            for word in dict.fromkeys(_folded(each) for each in (category.name, *category.aliases)):
                names[word] = (*names.get(word, ()), node)
        return names | paths

    def _nearest(self, said: str) -> str | None:
        """Return the category that is written most like a folded text, None where none is near.

        Of a path how it ends counts more than how it begins: people leave out what lies between, and a whole path beside it is soon alike.
        """
        last = said.split(f" {SEPARATOR} ")[-1]
        near = [
            (word, node) for form in (last, said) for word in difflib.get_close_matches(form, self._hints) for node in self._hints[word]
        ]

        def likeness(pair: tuple[str, str]) -> float:
            return 2 * _alike(last, pair[0]) + (_alike(said, _folded(self.path(pair[1]))) if said != last else 0)

        return max(near, key=likeness)[1] if near else None

    @cached_property
    def _hints(self) -> dict[str, list[str]]:
        """What ids, paths, names, aliases and the words of long names hint at."""
        found = {meaning: list(nodes) for meaning, nodes in self._meanings.items()}
        for node, category in self._categories.items():
            for word in (node.casefold(), *re.findall(r"\w{3,}", _folded(category.name))):
                if word not in NO_HINTS:
                    found.setdefault(word, []).append(node)
        return found

    def _build(self) -> nx.DiGraph[str]:
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self._categories)
        for category in self._categories.values():
            for parent in category.parents:
                if parent not in self._categories:
                    self._fail(
                        category,
                        f"category '{category.id}' has the unknown parent '{parent}'",
                        did_you_mean(parent, self._categories, "write the id of a category of this file"),
                    )
                graph.add_edge(parent, category.id)
            if category.select and category.parents:
                self._fail(category, f"category '{category.id}' has `select` but is no root", "move `select` to its root")
        if not nx.is_directed_acyclic_graph(graph):
            cycle = [edge[0] for edge in nx.find_cycle(graph)]
            loop = f" {SEPARATOR} ".join([*cycle, cycle[0]])
            self._fail(self[cycle[0]], f"the categories form a circle: {loop}", "take one of these parents away")
        self._categories = {node: self._categories[node] for node in self._preorder()}
        ordered: nx.DiGraph[str] = nx.DiGraph()
        ordered.add_nodes_from(self._categories)
        ordered.add_edges_from((parent, node) for node, category in self._categories.items() for parent in category.parents)
        return ordered

    def _preorder(self) -> Iterator[str]:
        """Yield the ids from the roots down, each behind its first parent: the one order that survives a file's nesting."""
        below: dict[str, list[str]] = {}
        for node, category in self._categories.items():
            below.setdefault(category.parents[0] if category.parents else "", []).append(node)
        ahead = below.get("", [])[::-1]
        while ahead:
            node = ahead.pop()
            yield node
            ahead += below.get(node, [])[::-1]

    def _fail(self, category: Category, problem: str, mend: str) -> NoReturn:
        where = f"{self._source}:{category.line}" if category.line else self._source
        raise TaxonomyError(problem, mend=mend, where=where)


def id_of_path(names: Sequence[str]) -> str:
    """Make an id from the names on a path: lower case, with a hyphen for whatever is no letter, digit or mark upon a letter.

    >>> id_of_path(["Home & Garden", "Lamps"]), id_of_path(["食品", "茶"])
    ('home-garden/lamps', '食品/茶')
    """
    return "/".join(_slug(unicodedata.normalize("NFC", name.lower())) for name in names)


def language_of(texts: Iterable[str]) -> str:
    """See the language from the script that most texts are written in; Latin letters are taken for English.

    >>> language_of(["Tea", "Coffee"]), language_of(["茶", "咖啡 Coffee"])
    ('en', 'zh')
    """
    counts = dict.fromkeys([language for language, _ in _SCRIPTS], 0)
    total = 0
    for text in texts:
        total += 1
        if found := next((language for language, letters in _SCRIPTS if letters.search(text)), None):
            counts[found] += 1
    if 10 * counts["ja"] > counts["zh"]:  # names wholly in Chinese characters are Japanese too where enough others have kana
        counts["ja"] += counts.pop("zh")
    best = max(counts, key=counts.__getitem__)
    return best if 2 * counts[best] >= max(total, 1) else "en"


def _slug(name: str) -> str:
    """Keep marks (Hindi and Thai vowels are such): without them two names become one id."""
    kept = "".join(letter if letter.isalnum() or unicodedata.category(letter).startswith("M") else "-" for letter in name)
    return "-".join(filter(None, kept.split("-"))) or "-"


def _folded(text: str) -> str:
    return re.sub(r"\s*>\s*", " > ", " ".join(text.split())).casefold()


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _free(wanted: str, taken: set[str]) -> str:
    """Return the id, with a number behind it where it is taken, and take it."""
    found, number = wanted, 1
    while found in taken:
        number += 1
        found = f"{wanted}-{number}"
    taken.add(found)
    return found
