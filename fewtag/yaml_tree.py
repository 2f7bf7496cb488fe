"""Parses YAML as ruamel.yaml's round trip does, but many times as fast where nobody is to write it back.

The trap: libyaml reads an older YAML, in which `no` is a truth value, and says less of a mistake. So it only cuts a text into nodes: what
these mean goes by ruamel's rules, and a text that libyaml refuses, or that holds what is rare, is ruamel's alone.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from io import StringIO
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import ScalarNode

RARE: Final = re.compile(r"^%|(?<![^\s\[{,])!|[\x85\u2028\u2029]", re.MULTILINE)
"""A directive, a tag, or a line's end that not everyone counts."""
DEEPEST: Final = 100
WORDS: Final = re.compile(r"[^-+.0-9~nNtTfF<=]")
"""What a plain text begins with that cannot be a number, a date, a truth value or nothing."""
INTEGER: Final = re.compile(r"0|[1-9][0-9]*")
LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # where PyYAML was built without libyaml it is slower, and says the same


class UnsureError(Exception):
    """Something that ruamel may see in another way."""


def parsed(source: str) -> Any:
    """Return what `round_trip` returns, with the line of each value and without comments; raises as that does.

    >>> tree = parsed("names: [No, 12, 'x']")
    >>> list(tree["names"]), tree.lc.data["names"][0]
    (['No', 12, 'x'], 0)
    """
    try:
        if not RARE.search(source):
            return _Nodes().value(yaml.compose(source, LOADER))
    except (yaml.YAMLError, UnsureError):
        pass  # ruamel tells what is wrong with it, if anything is
    return round_trip(source)


def round_trip(source: str) -> Any:
    """Return a text's mappings and lists as ruamel has them, to be changed and written again; raises ruamel's YAMLError."""
    return _ruamel().load(source)


def written(top: Any) -> str:
    """Write what `round_trip` returned, with its comments and in its order."""
    text = StringIO()
    _ruamel().dump(top, text)
    return text.getvalue()


class _Nodes:
    """Makes ruamel's mappings and lists of libyaml's nodes, each of which may stand in one place only."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def value(self, node: Any, depth: int = 0) -> Any:
        if node is None or isinstance(node, yaml.ScalarNode):
            return node and (node.value if node.style else _plain(node.value))
        if depth > DEEPEST or id(node) in self._seen:
            raise UnsureError
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth + 1)
        found = CommentedSeq([self.value(each, depth + 1) for each in node.value])
        found.lc.data = {place: _place(each) for place, each in enumerate(node.value)}
        return found

    def _mapping(self, node: Any, depth: int) -> CommentedMap:
        found = CommentedMap()
        for key, value in node.value:
            name = self.value(key, depth)
            if not isinstance(name, str | int) or name == "<<" or name in found:
                raise UnsureError
            found[name] = self.value(value, depth)
        found.lc.data = {name: _place(key) for name, (key, _) in zip(found, node.value, strict=True)}
        return found


def _place(node: Any) -> tuple[int, int]:
    """Return the line and the column that a node starts at, both from 0."""
    return node.start_mark.line, node.start_mark.column


@lru_cache(maxsize=10_000)
def _plain(text: str) -> Any:
    """Return what ruamel makes of a text without quotes.

    >>> _plain("No"), _plain("Null"), _plain("true"), _plain("12"), _plain("12 ct")
    ('No', None, True, 12, '12 ct')
    """
    if WORDS.match(text):
        return text
    kind = str(_resolver().resolve(ScalarNode, text, (True, False))).rpartition(":")[2]
    if kind == "int" and INTEGER.fullmatch(text):
        return int(text)
    if kind not in ("str", "null", "bool"):
        raise UnsureError
    return {"str": text, "null": None, "bool": text.lower() == "true"}[kind]


@cache
def _resolver() -> Any:
    return _ruamel().resolver


def _ruamel() -> YAML:
    found = YAML()
    found.preserve_quotes = True
    found.width = 4096
    found.indent(mapping=2, sequence=4, offset=2)
    return found
