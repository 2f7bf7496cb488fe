"""Makes pairs of a product-like title and a category in words: `python -m training.data` (`FEWTAG_DATA` names the folder to learn from).

Real titles come from Flipkart (CC BY-SA 4.0) and PriceRunner (CC BY 4.0), names from Shopify's taxonomy (MIT) and Best Buy's (CC0), and
nothing else may be read here. The trap: weights that are measured on a set must have been made with `--leave-out` of that set.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path as File
from typing import Any, Final

from fewtag.models.verbalise import parts_of, sentences
from fewtag.taxonomy import Taxonomy
from training.words import FEATURES, KINDS, MEASURED, NOISE, SIZES, SYLLABLES, SYNONYMS, UNASKED, VALUES, listed

Path = tuple[str, ...]
"""The names from the department down to a category."""
Random = random.Random

DATA: Final = File(os.environ.get("FEWTAG_DATA", "../shared/data"))
CACHE: Final = File(__file__).parent / ".cache"
SHARES: Final = {"shopify": 0.36, "kinds": 0.2, "flipkart": 0.28, "pricerunner": 0.08, "bestbuy": 0.08}
"""How many of all pairs each source gives; what is left out, the others give."""
LEFT_OUT: Final = ("flipkart", "pricerunner")
SEPARATOR: Final = " > "
DEPTH: Final = 8
LONGEST: Final = 24
"""Words of a title; what stands behind them is of no more use, and costs time."""
NO_GOODS: Final = frozenset(
    listed("Services,Product Add-Ons,Bundles,Uncategorized,Mature,Name Brands,Gift Cards,Movies & Music,Best Buy Outlet,Digital Downloads")
    + listed("Geek Squad,More Categories")
)
"""Departments of what is no product."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A title, a category that is right for it in words and a sibling's words in the same mould; names on the title's path beside them."""

    title: str
    word: str
    sibling: str
    owner: str
    other: str
    path: Path


class Tree:
    """The categories of a source, with the attributes of each."""

    def __init__(self, paths: Iterable[Path], attributes: dict[Path, tuple[str, ...]] | None = None) -> None:
        self.paths = tuple(paths)
        self.attributes = attributes or {}
        every = dict.fromkeys(path[:depth] for path in self.paths for depth in range(1, len(path) + 1))
        self._children: dict[Path, list[Path]] = {}
        for path in every:
            self._children.setdefault(path[:-1], []).append(path)

    def sibling(self, path: Path, rng: Random) -> Path:
        """Draw another child of the same parent; of the grandparent where there is none, and the path itself in a bare tree."""
        for depth in range(len(path), 0, -1):
            others = [each for each in self._children[path[: depth - 1]] if each != path[:depth]]
            if others:
                return rng.choice(others)
        return path


@cache
def phrases(path: Path) -> tuple[str, ...]:
    """Say a category as fewtag says it to an encoder, and as a path; its bare name stands first.

    >>> phrases(("Toys", "Kites"))[:2]
    ('Kites', 'Kites')
    """
    taxonomy = Taxonomy.from_paths([SEPARATOR.join(path)], language="en")
    said = sentences(taxonomy, taxonomy.classes[0])
    return (path[-1], *said.whole, SEPARATOR.join(path), *said.parts)


def made_up(rng: Random) -> str:
    """Make a word that could be a brand.

    >>> made_up(Random(1)).istitle()
    True
    """
    word = "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()
    return f"{word} {rng.choice(SYLLABLES).capitalize()}" if rng.random() < 0.15 else word


def singular(word: str) -> str:
    """Take the plural off an English word, roughly.

    >>> [singular(each) for each in ("Berries", "Dishes", "Lamps", "Glass", "Tea")]
    ['Berry', 'Dish', 'Lamp', 'Glass', 'Tea']
    """
    for ending, instead in (("ies", "y"), ("shes", "sh"), ("ches", "ch"), ("sses", "ss"), ("xes", "x"), ("ss", "ss"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    return word


def values_of(attribute: str, rng: Random) -> str:
    """Draw a value of an attribute; "" where there is no table for it."""
    return next((rng.choice(values) for key, values in VALUES if key in attribute), "")


def type_words(path: Path, rng: Random) -> str:
    """Say what a thing is in a title's words: a part of its category's name, one of them, reworded, or with a word of what is above."""
    words = rng.choice(parts_of(path[-1])).split()
    if rng.random() < 0.7:
        words[-1] = singular(words[-1])
    if len(words) > 2 and rng.random() < 0.2:
        words.pop(rng.randrange(len(words) - 1))
    if len(words) > 1 and rng.random() < 0.12:
        words = [words[-1], "for", *words[:-1]]
    if len(path) > 1 and rng.random() < 0.15:
        words.insert(0, singular(rng.choice(path[-2].replace("&", "").split() or [""])))
    said = " ".join(words)
    for name, others in SYNONYMS.items():
        found = re.search(rf"\b({name}|{singular(name)})\b", said, re.IGNORECASE)
        if found and rng.random() < 0.5:
            said = said[: found.start()] + rng.choice(listed(others)) + said[found.end() :]
    return said.strip()


def shop_title(core: str, path: Path, attributes: Sequence[str], rng: Random) -> str:
    """Dress up the words for a thing as a shop does: a brand, values, a size, noise, another order, a cut end, a slip of the finger."""
    named = [each for each in attributes if each not in ("color", "pattern") or rng.random() < 0.4]  # the taxonomy gives them to all things
    asked = [value for each in rng.sample(named, min(3, len(named))) if (value := values_of(each, rng))]
    asked += [rng.choice(UNASKED[path[0]])] if path[0] in UNASKED and rng.random() < 0.5 else []
    asked += [rng.choice(FEATURES)] if rng.random() < 0.1 else []
    rng.shuffle(asked)
    cut = rng.randint(0, len(asked))
    chunks = [made_up(rng)] if rng.random() < 0.6 else []
    chunks += [*asked[:cut], core, *(asked[cut:] if rng.random() < 0.6 else [])]
    chunks += [f"{rng.choice('ABCDEFGHKLMNPRSTVXZ')}{rng.choice('BDGKMRSTX')}{rng.randint(10, 9999)}"] if rng.random() < 0.12 else []
    chunks += [rng.choice(SIZES.get(path[0], MEASURED))] if rng.random() < 0.45 else []
    if rng.random() < 0.15:
        rng.shuffle(chunks)
    if rng.random() < 0.2:
        chunks.insert(rng.choice([0, len(chunks)]), rng.choice(NOISE))
    words = " ".join(chunks).split()
    if rng.random() < 0.08:
        words = words[: max(rng.randint(2, 6), len(core.split()))]
    if rng.random() < 0.08:
        at = rng.randrange(len(words))
        words[at] = mistyped(words[at], rng)
    return " ".join(words[:LONGEST])


def mistyped(word: str, rng: Random) -> str:
    """Swap two neighbouring letters, or lose one; a word of less than four letters stays."""
    if len(word) < 4:
        return word
    at = rng.randrange(1, len(word) - 1)
    return word[:at] + (word[at + 1] + word[at] + word[at + 2 :] if rng.random() < 0.5 else word[at + 1 :])


Drawn = tuple[str, Path]
"""A title with its path."""


@dataclass(frozen=True)
class Origin:
    """A source of pairs: its tree, and how a title is drawn."""

    tree: Tree
    draw: Callable[[Random], Drawn]


def synthetic(tree: Tree) -> Origin:
    """Draw titles without end from a taxonomy alone; a department counts for the root of its size, so that no large one drowns the rest."""
    departments: dict[str, list[Path]] = {}
    for path in tree.paths:
        departments.setdefault(path[0], []).append(path)
    names, weights = list(departments), [len(each) ** 0.5 for each in departments.values()]

    def draw(rng: Random) -> Drawn:
        path = rng.choice(departments[rng.choices(names, weights)[0]])
        return shop_title(type_words(path, rng), path, tree.attributes.get(path, ()), rng), path

    return Origin(tree, draw)


def of_kinds(tree: Tree, kinds: dict[str, str]) -> Origin:
    """Draw titles from our own table of what a category holds; a name that stands in several places of the tree means the first."""
    first: dict[str, Path] = {}
    for path in sorted(tree.paths, key=len):
        first.setdefault(path[-1], path)
    known = {first[name]: listed(said) for name, said in kinds.items() if name in first}
    paths = list(known)

    def draw(rng: Random) -> Drawn:
        path = rng.choice(paths)
        return shop_title(rng.choice(known[path]), path, tree.attributes.get(path, ()), rng), path

    return Origin(tree, draw)


def real(rows: Iterable[Drawn]) -> Origin:
    """Draw real titles, each title once (lower-cased); a category counts for the root of its size."""
    seen: dict[str, Drawn] = {}
    for title, path in rows:
        seen.setdefault(title.lower(), (" ".join(title.split()[:LONGEST]), path))
    by_path: dict[Path, list[str]] = {}
    for title, path in seen.values():
        by_path.setdefault(path, []).append(title)
    paths, weights = list(by_path), [len(each) ** 0.5 for each in by_path.values()]

    def draw(rng: Random) -> Drawn:
        path = rng.choices(paths, weights)[0]
        return rng.choice(by_path[path]), path

    return Origin(Tree(paths), draw)


def depth_of(path: Path, rng: Random) -> int:
    """Draw at which level a title is told its category: its own in two of five cases, the one above in two, any in the last."""
    lot = rng.random()
    return len(path) if lot < 0.4 else max(1, len(path) - 1) if lot < 0.8 else rng.randint(1, len(path))


def pairs(origins: dict[str, Origin], count: int, seed: int, shares: dict[str, float] = SHARES) -> Iterator[Pair]:
    """Draw so many pairs from the origins by their shares; the same for the same seed."""
    rng = Random(seed)
    names = list(origins)
    weights = [shares[name] for name in names]
    for _ in range(count):
        origin = origins[rng.choices(names, weights)[0]]
        title, path = origin.draw(rng)
        own = path[: depth_of(path, rng)]
        beside = origin.tree.sibling(own, rng)
        words, others = phrases(own), phrases(beside)
        mould = rng.randrange(max(len(words), 2)) if rng.random() < 0.7 else 0
        yield Pair(title, words[mould % len(words)], others[mould % len(others)], own[-1], beside[-1], path)


def without_brands(path: Path) -> Path:
    """Leave out the levels of a Flipkart path that are a brand or a product before the name above, and what stands below them.

    >>> without_brands(("Shoes", "Men's Shoes", "Acme Men's Shoes"))
    ('Shoes', "Men's Shoes")
    """
    for depth in range(2, len(path)):
        last, above = path[depth].split(), path[depth - 1].split()
        if len(last) > len(above) and last[-len(above) :] == above:
            return path[:depth]
    return path


def read_origins(folder: File, leave_out: Sequence[str] = ()) -> dict[str, Origin]:
    """Read what may be learnt from out of the folder, but for the sets that are left out."""
    import pandas as pd

    nodes = pd.read_parquet(folder / "taxonomies/shopify_categories.parquet", columns=["path_en", "attributes"])
    attributes = {tuple(path.split(SEPARATOR)): tuple(each) for path, each in zip(nodes["path_en"], nodes["attributes"], strict=True)}
    shop = Tree(tuple(path for path in attributes if path[0] not in NO_GOODS), attributes)
    listed = json.loads((folder / "taxonomies/bestbuy_categories.json").read_text(encoding="utf-8"))
    found = dict.fromkeys(tuple(" ".join((step["name"] or "").split()) for step in each["path"]) for each in listed)
    best_buy = Tree(tuple(path for path in found if all(path) and path[0] not in NO_GOODS))
    origins = {"shopify": synthetic(shop), "kinds": of_kinds(shop, KINDS), "bestbuy": synthetic(best_buy)}
    files = {"flipkart": ("flipkart_20k.parquet", "path_min20"), "pricerunner": ("pricerunner_35k.parquet", "path")}
    for name, (file, column) in files.items():
        if name not in leave_out:
            frame = pd.read_parquet(folder / file, columns=["title", column]).dropna()
            frame = frame[(frame[column] != "") & (frame["title"].str.strip() != "")]
            origins[name] = real((row[0], without_brands(tuple(row[1].split(SEPARATOR)))) for row in frame.itertuples(index=False))
    return origins


def write(drawn: Iterable[Pair], file: File) -> File:
    """Write pairs as JSON lines, the names of both categories, and numbers of names: the owner's, the sibling's and those of the path."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name.lower(), len(numbers))

    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8") as stream:
        for each in drawn:
            above = [number(name) for name in each.path][:DEPTH]
            label = [number(each.owner), number(each.other), *above, *[-1] * (DEPTH - len(above))]
            line = {
                "title": each.title,
                "word": each.word,
                "sibling": each.sibling,
                "name": each.owner,
                "other": each.other,
                "label": label,
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    return part.rename(file)


def read(file: File) -> list[dict[str, Any]]:
    """Read what `write` wrote."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Write the pairs, and show some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=120_000)
    parser.add_argument("--leave-out", nargs="*", default=[], choices=LEFT_OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=File, help="by default a file in training/.cache")
    arguments = parser.parse_args()
    name = "-".join(["pairs", *(f"without-{each}" for each in arguments.leave_out)])
    file = arguments.out or CACHE / f"{name}.jsonl"
    write(pairs(read_origins(DATA, arguments.leave_out), arguments.pairs, arguments.seed), file)
    for line in read(file)[:30]:
        print(f"{line['title']:<70.70} {line['word']:<50.50} {line['sibling']:<40.40}")
    print(f"{arguments.pairs} pairs in {file}")


if __name__ == "__main__":
    main()
