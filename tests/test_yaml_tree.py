"""The fast way to parse YAML says what ruamel's round trip says, and where it stands; what it is not sure of, ruamel says."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml.error import YAMLError
from test_taxonomy_file import WITHOUT_IDS, WRONG

from fewtag import yaml_tree
from fewtag.shipped import shipped
from fewtag.yaml_tree import parsed, round_trip

PLAIN = [
    WITHOUT_IDS,
    "a: no\nb: ~\nc: Null\nd: TRUE\ne: 12\nf: 3-in-1 shampoo\ng: 100 ct\nh: -x\ni:\nj: tea\nk: y\n",
    "a:\n  - x\n  -\n  - # said of it\n    name: y\n  - ? q\n    : r\n",
    "a: |\n  x\n  y\n\nb: >-\n  x\n  y\n   z\n\n  w\nc: \"x\\\n   y\\u00e9\"\nd: 'it''s'\ne: p\n  q\n",
    "{a: [b, {c: d}], e: http://x.y:80/z, 'f':g, \"true\": '12'}\n",
    "茶: [绿茶, '红茶']\r\n咖啡: 🍵\r\n",
    "# nothing\n",
    "",
    *(path.read_text(encoding="utf-8") for path in sorted(shipped("taxonomy").glob("*.yaml"))),
]
RARE = [
    "a: 007\n",
    "a: 1.50\n",
    "a: 1_000\n",
    "a: 0o7\n",
    "a: 2024-01-01\n",
    "a: &x [1]\nb: *x\n",
    "a: &x {b: c}\nd:\n  <<: *x\n",
    "%YAML 1.1\n---\na: no\n",
    "a: !!str 12\n",
    "a: [! 12]\n",
    "a: x\u2028b: y\n",
    "[[1, 2], {[3]: 4}]\n",
    "1.5: x\n",
    "[" * 120 + "]" * 120,
]


def told(tree: Any) -> Any:
    """Return values with their kinds, and the line and column of each."""
    if isinstance(tree, dict | list):
        places = {key: tuple(noted[:2]) for key, noted in (tree.lc.data or {}).items()}
        return type(tree), [told(each) for each in (tree.items() if isinstance(tree, dict) else tree)], places
    if isinstance(tree, tuple):
        return [told(each) for each in tree]
    return isinstance(tree, str), isinstance(tree, bool), type(tree) is int, str(tree)


@pytest.mark.parametrize("text", [*PLAIN, *RARE, *WRONG], ids=range(len(PLAIN) + len(RARE) + len(WRONG)))
def test_both_ways_say_the_same(text: str) -> None:
    try:
        expected = told(round_trip(text))
    except (YAMLError, RecursionError) as error:
        with pytest.raises(type(error)):
            parsed(text)
    else:
        assert told(parsed(text)) == expected


@pytest.mark.parametrize("text", PLAIN, ids=range(len(PLAIN)))
def test_what_is_plain_takes_the_fast_way(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "round_trip", None)
    parsed(text)


@pytest.mark.parametrize("text", RARE, ids=range(len(RARE)))
def test_what_is_rare_is_ruamels(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "round_trip", lambda _: "ruamel")
    assert parsed(text) == "ruamel"
