"""Reads YAML that people write, with file and line in every error, and writes it back with its comments and order.

The trap: YAML turns `true`, `1.50` and `007` into something else than their text, and keeps silent about it; here that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from fewtag.errors import TaxonomyError, did_you_mean
from fewtag.workspace import write_atomically
from fewtag.yaml_tree import parsed, written

SYNTAX_MENDS: Final = (
    ("duplicate key", "take one of the two away"),
    ("'\\t'", "indent with blanks, not with a tab"),
    ("another document", "take the `---` between them away"),
    ("", "mend the line, or put its text in quotes"),
)


class YamlReader:
    """Walks a parsed file and knows where each value stands; what it finds wrong is a TaxonomyError with file and line."""

    def __init__(self, path: str, mend_empty: str, mend_shape: str) -> None:
        """Take the file, and what to do where it is empty, or is no mapping."""
        self.path, self._mend_empty, self._mend_shape = path, mend_empty, mend_shape

    def load(self, parse: Callable[[str], Any] = parsed) -> CommentedMap:
        """Parse the file; what is to be written back wants `round_trip` for `parse`."""
        try:
            source = Path(self.path).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise TaxonomyError("there is no such file", mend="name an existing taxonomy.yaml", where=self.path) from None
        except IsADirectoryError:
            raise TaxonomyError("this is a folder", mend="name the taxonomy.yaml within it", where=self.path) from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise TaxonomyError("the file is not UTF-8 text", mend="save it as UTF-8", where=f"{self.path}:{line}") from None
        except OSError as error:
            raise TaxonomyError(f"the file cannot be read: {error.strerror}", mend="check its permissions", where=self.path) from None
        try:
            top = parse(source)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = " ".join(str(error.problem or error.context).split()).split(" with value ")[0]
            mend = next(mend for sign, mend in SYNTAX_MENDS if sign in problem)
            where = f"{self.path}:{mark.line + 1}" if mark else self.path
            raise TaxonomyError(f"this is not valid YAML: {problem}", mend=mend, where=where) from None
        except ReaderError as error:
            before = source[: error.position]
            problem = f"the file holds the character {source[error.position]!r}"
            self.fail(problem, "delete it, or save the file as plain text", line=before.count("\n") + 1)
        except YAMLError as error:
            problem = " ".join(str(error).split())
            raise TaxonomyError(f"this is not valid YAML: {problem}", mend="save it as plain text", where=self.path) from None
        except RecursionError:
            raise TaxonomyError("the file is nested too deeply", mend="take levels away", where=self.path) from None
        if top is None:
            raise TaxonomyError("the file is empty", mend=self._mend_empty, where=self.path)
        if not isinstance(top, CommentedMap):
            raise TaxonomyError("the file is no mapping", mend=self._mend_shape, where=f"{self.path}:1")
        return top

    def known_keys(self, mapping: Mapping[str, Any], known: Sequence[str], owner: str, line: int = 1) -> None:
        """Fail where a mapping has a key that it should not have."""
        for key in mapping:
            if key not in known:
                mend = did_you_mean(str(key), known, f"use one of {', '.join(known)}")
                self.fail(f"{owner} has the unknown key '{key}'", mend, mapping, str(key), line)

    def text(self, mapping: Mapping[str, Any], key: str, line: int = 1) -> str:
        """Read a text; one that is missing is empty."""
        return self._as_text(mapping.get(key), mapping, key, line)

    def texts(self, mapping: Mapping[str, Any], key: str, line: int) -> tuple[str, ...]:
        """Read a list of texts; a single text is a list of one."""
        value = mapping.get(key)
        if isinstance(value, Mapping):
            self.fail(f"`{key}` is no list", f"write it as `{key}: [one, two]`", mapping, key, line)
        values = value if isinstance(value, list) else [] if value is None else [value]
        return tuple(text for each in values if (text := self._as_text(each, mapping, key, line)))

    def _as_text(self, value: Any, mapping: Mapping[str, Any], key: str, line: int) -> str:
        if value is None:
            return ""
        if not isinstance(value, str) and type(value) is not int:  # 007 and 1.50 have types of their own, and would become 7 and 1.5
            held = "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else f"'{value}'"
            self.fail(f"`{key}` holds {held}, which YAML does not read as text", "put it in quotes", mapping, key, line)
        return str(value).strip()

    def line_of(self, parent: Mapping[str, Any] | Sequence[Any], key: str | int, line: int = 1) -> int:
        """Return the line of a key in its mapping or of a place in its list; where the parser did not note it, `line`."""
        noted = getattr(getattr(parent, "lc", None), "data", None) or {}
        return int(noted[key][0]) + 1 if key in noted else line

    def fail(self, problem: str, mend: str, mapping: Mapping[str, Any] | None = None, key: str = "", line: int = 1) -> NoReturn:
        """Raise the error, at the line of a key where one is named."""
        where = self.line_of(mapping, key, line) if mapping is not None else line
        raise TaxonomyError(problem, mend=mend, where=f"{self.path}:{where}")


def write_yaml(top: CommentedMap, path: Path) -> None:
    """Write a file whole or not at all."""
    write_atomically(path, written(top).encode())
