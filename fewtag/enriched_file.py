"""Reads and writes enriched.yaml: what a language model has written of each category, and what a person made of that.

The trap: a person's word outlives any rerun, so entries are changed one by one, and what stands in the file beside them stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from fewtag.yaml_file import YamlReader, write_yaml
from fewtag.yaml_tree import round_trip

KEYS: Final = ("by", "words", "titles", "refused")
HEAD: Final = """\
What a language model wrote of each category; `words` and `titles` are read as the category's own. Change what you like: an entry
that you have changed is never written anew, and what stands under `refused` is never taken again. Delete an entry to have it rewritten.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the file has of one category. `by` is the model that wrote it, empty for a person; `written` is whether there are
    lists of words or titles at all, empty ones too."""

    words: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    by: str = ""
    written: bool = True

    def without_refused(self) -> Entry:
        """Return the entry without the words and titles that a person refused; case does not matter.

        >>> Entry(("Oolong", "chai"), ("A tin",), refused=("oolong",)).without_refused().words
        ('chai',)
        """
        refused = {each.casefold() for each in self.refused}
        words, titles = (tuple(each for each in said if each.casefold() not in refused) for said in (self.words, self.titles))
        return Entry(words, titles, self.refused, self.by, self.written)


def read_enriched(path: Path) -> dict[str, Entry]:
    """Return the entries by category; none where there is no file. Raises TaxonomyError, with file and line, for one that is wrong."""
    if not path.exists():
        return {}
    reader = _Reader(path)
    categories = reader.categories(reader.load())
    entries = {}
    for category in categories:
        line, entry = reader.line_of(categories, category), categories[category]
        if not isinstance(entry, CommentedMap):
            reader.fail(f"'{category}' is no mapping", "write `words: [...]` below it", line=line)
        reader.known_keys(entry, KEYS, f"'{category}'", line)
        words, titles, refused = (reader.texts(entry, key, line) for key in ("words", "titles", "refused"))
        entries[str(category)] = Entry(words, titles, refused, reader.text(entry, "by", line), "words" in entry or "titles" in entry)
    return entries


def write_enriched(path: Path, changed: Mapping[str, Entry]) -> None:
    """Put entries into the file, each in the place of its category's; the rest of the file stays as it is, comments and all."""
    if path.exists():
        reader = _Reader(path)
        top = reader.load(round_trip)
    else:
        top = CommentedMap(categories=CommentedMap())
        top.yaml_set_start_comment(HEAD)
        reader = _Reader(path)
    categories = reader.categories(top)
    for category, entry in changed.items():
        said = categories.setdefault(category, CommentedMap())
        said["by"] = entry.by
        for key in ("words", "titles"):
            said[key] = CommentedSeq(getattr(entry, key))
            said[key].fa.set_flow_style()
    write_yaml(top, path)


class _Reader(YamlReader):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path), "delete it", "start it with `categories:`")

    def categories(self, top: CommentedMap) -> CommentedMap:
        self.known_keys(top, ("categories",), "the file")
        found = top.get("categories")
        if not isinstance(found, CommentedMap):
            self.fail("`categories` is no mapping", "write each category's id with a colon below it", top, "categories")
        return found
