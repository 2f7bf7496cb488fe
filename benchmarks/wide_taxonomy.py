"""Measures whether a wide taxonomy is borne: `python benchmarks/wide_taxonomy.py` (minutes), with `--tuned` an hour or more on one core.

5,000 made-up categories with 8 labels each, through `Tagger.fit`. The trap: what is made up says nothing of quality in a shop. A title
here has words of its category's name and words that are its category's alone, among noise; the figure only shows that something is learnt.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fewtag import Tagger, Taxonomy
from fewtag.metrics import accuracy
from fewtag.models.few_shot.rung import FewShot
from fewtag.upper import Upper

SYLLABLES: Final = [onset + vowel for onset in (*"bdfgklmnprstvz", "st", "br") for vowel in "aeiou"]
PER_ROOT: Final = 50
OWN_WORDS: Final = 3
"""How many words each category has that stand in its titles and not in its name."""
NOISE: Final = 2000
TESTED: Final = 2000


@dataclass(frozen=True)
class Shop:
    """A made-up shop: its categories' paths, and for each the words of its name and those of its own."""

    paths: list[str]
    names: list[list[str]]
    own: list[list[str]]
    noise: list[str]

    @classmethod
    def of(cls, categories: int, rng: np.random.Generator) -> Shop:
        def words(count: int, length: int) -> list[str]:
            found: dict[str, None] = {}
            while len(found) < count:
                found["".join(rng.choice(SYLLABLES, length))] = None
            return list(found)

        roots, kinds, looks = words(-(-categories // PER_ROOT), 3), words(400, 2), words(300, 2)
        pairs = rng.permutation(len(kinds) * len(looks))[:categories]  # "kind look", each pair once
        names = [[looks[pair % len(looks)], kinds[pair // len(looks)]] for pair in pairs.tolist()]
        paths = [f"{roots[number // PER_ROOT]} > {' '.join(name)}".title() for number, name in enumerate(names)]
        own = words(OWN_WORDS * categories, 3)
        return cls(paths, names, [own[number::categories] for number in range(categories)], words(NOISE, 2))

    def title(self, category: int, rng: np.random.Generator) -> str:
        """Say one word of the name or both, one word of the category's own, and two to four that mean nothing, in any order."""
        said = [word for word in self.names[category] if rng.random() < 0.6] + [str(rng.choice(self.own[category]))]
        said += rng.choice(self.noise, rng.integers(2, 5)).tolist()
        return f"{' '.join(said[place] for place in rng.permutation(len(said)))} {rng.integers(1, 900)}g"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tuned", action="store_true", help="let the encoder learn too")
    parser.add_argument("--categories", type=int, default=5000)
    parser.add_argument("--labels", type=int, default=8, help="how many labels each category has")
    parser.add_argument("--steps", type=int, default=2000, help="how many steps the tuning may take")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    shop = Shop.of(arguments.categories, rng)
    taxonomy = Taxonomy.from_paths(shop.paths)
    ids = [taxonomy.find(path) for path in shop.paths]
    rows = np.tile(np.arange(arguments.categories), arguments.labels)
    tested = rng.integers(0, arguments.categories, TESTED)
    titles, others = ([shop.title(row, rng) for row in each.tolist()] for each in (rows, tested))
    tagger = Tagger(taxonomy)
    fresh = Upper._fresh_few_shot

    def limited(upper: Upper, tune: bool) -> FewShot:
        rung = fresh(upper, tune)
        rung.settings = replace(rung.settings, steps=(rung.settings.steps[0], arguments.steps))
        return rung

    Upper._fresh_few_shot = limited  # type: ignore[method-assign]
    start = time.monotonic()
    gold = [ids[row] for row in tested.tolist()]

    def say(what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{time.monotonic() - start:>6.0f} s {peak:>6.2f} GiB at most | {what}", flush=True)

    def judge(what: str) -> None:
        tags = [tag.alternatives[0][0] for tag in tagger.predict(others)]
        say(f"{what}: right of {len(others)} other titles {accuracy(tags, gold):.3f}")

    say(f"{len(ids)} categories under {len(taxonomy.roots)} roots, {len(titles)} titles with labels")
    tagger.bootstrap(titles)
    judge("bootstrapped, without labels")
    tagger.fit(titles, [ids[row] for row in rows.tolist()], tune=False)
    judge("trained, encoder as it is")
    if arguments.tuned:
        for what, tune in (("tuned", True), ("trained once more, quickly", False)):
            tagger.fit(titles, [None] * len(titles), tune=tune)
            judge(what)
        print(tagger.training.steps[0].record)


if __name__ == "__main__":
    main()
