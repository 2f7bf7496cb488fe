"""Reads and writes taxonomy.yaml: the categories, and what the file says of the catalogue, the models and the prompt.

The trap: YAML turns `true`, `1.50` and `007` into something else than their text, and keeps silent about it; here that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from fewtag.catalogue_file import Columns
from fewtag.errors import TaxonomyError, did_you_mean
from fewtag.taxonomy import Category, Taxonomy, id_of_path
from fewtag.workspace import write_atomically
from fewtag.yaml_tree import parsed, round_trip, written

FORMAT: Final = 1
TOP_KEYS: Final = ("fewtag", "name", "language", "catalogue", "models", "prompt", "categories")
CATEGORY_KEYS: Final = ("id", "name", "aliases", "description", "examples", "children", "parents", "assignable", "select")
SYNTAX_MENDS: Final = (
    ("duplicate key", "take one of the two away"),
    ("'\\t'", "indent with blanks, not with a tab"),
    ("another document", "take the `---` between them away"),
    ("", "mend the line, or put its text in quotes"),
)

Settings = TypeVar("Settings", "Columns", "ModelSettings")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which models the file asks for: a preset, or parts of one, each a hub id or a local folder."""

    preset: str | None = None
    encoder: str | None = None
    lm: str | None = None
    classifier: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class TaxonomyFile:
    """All that a taxonomy.yaml says; `ids_made` counts the categories whose id was made from their path."""

    path: Path
    taxonomy: Taxonomy
    catalogue: Columns | None
    models: ModelSettings
    prompt: str | None
    ids_made: int

    def resolved(self) -> TaxonomyFile:
        """Return it with the paths that start at the file made absolute: the catalogue, a prompt, and models that are local folders."""
        folder, models = self.path.parent, self.models

        def place(name: str | None) -> str | None:
            own = name and (name.endswith(".j2") or (folder / name).is_dir())
            return str((folder / name).resolve()) if name and own else name

        catalogue = self.catalogue and replace(self.catalogue, file=str((folder / self.catalogue.file).resolve()))
        models = replace(models, encoder=place(models.encoder), lm=place(models.lm), classifier=place(models.classifier))
        return replace(self, catalogue=catalogue, models=models, prompt=place(self.prompt))


def read_taxonomy_file(path: str | Path) -> TaxonomyFile:
    """Read a taxonomy.yaml.

    Raises TaxonomyError, with file and line, for whatever is missing, unknown, twice there or of the wrong kind.
    """
    reader = _Reader(str(path))
    top = reader.load()
    reader.known_keys(top, TOP_KEYS, "the file")
    if str(made_for := top.get("fewtag", FORMAT)) != str(FORMAT):
        reader.fail(
            f"the file has format {made_for}, and this fewtag reads format {FORMAT}", "upgrade fewtag, or write `fewtag: 1`", top, "fewtag"
        )
    return TaxonomyFile(
        Path(path),
        reader.taxonomy(top),
        reader.settings(top, "catalogue", Columns),
        reader.settings(top, "models", ModelSettings) or ModelSettings(),
        reader.text(top, "prompt") or None,
        len(reader.without_id),
    )


def write_ids(path: str | Path) -> int:
    """Write the ids that were made from paths into the file, so that they outlive a renaming; comments and order stay.

    Returns how many were written. Raises TaxonomyError where the file is wrong, WorkspaceError where it cannot be written.
    """
    reader = _Reader(str(path))
    top = reader.load(round_trip)
    reader.taxonomy(top)
    for siblings, place, made in reader.without_id:
        entry = siblings[place]
        if not isinstance(entry, CommentedMap):
            siblings[place] = CommentedMap(id=made, name=str(entry))
            if comments := siblings.ca.items.get(place):  # the one behind the name would else stand between the dash and the id
                siblings[place].ca.items["name"] = [None, None, comments[0], None]
                comments[0] = None
        elif reader.text(entry, "id"):  # the one just written
            reader.fail("a YAML alias (`*`) uses a category a second time", "write the category out", line=reader.line_of(siblings, place))
        else:
            entry.insert(0, "id", made)
    if reader.without_id:
        write_atomically(Path(path), written(top).encode())
    return len(reader.without_id)


def write_taxonomy(taxonomy: Taxonomy, path: Path) -> None:
    """Write a taxonomy as a file of its own; every category stands below its first parent, which keeps their order."""

    def node(category: Category) -> CommentedMap:
        entry = CommentedMap(id=category.id, name=category.name)
        for key in ("aliases", "description", "examples", "assignable", "select"):
            if value := getattr(category, key):
                entry[key] = list(value) if isinstance(value, tuple) else value
        if category.parents[1:]:
            entry["parents"] = list(category.parents[1:])
        if children := [child for child in taxonomy.children(category.id) if taxonomy.parents(child)[0] == category.id]:
            entry["children"] = [node(taxonomy[child]) for child in children]
        return entry

    top = CommentedMap(fewtag=FORMAT, name=taxonomy.name, language=taxonomy.language)
    top["categories"] = [node(taxonomy[root]) for root in taxonomy.roots]
    write_atomically(path, written(top).encode())


class _Reader:
    """Walks the parsed file and knows where each value stands."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.without_id: list[tuple[CommentedSeq, int, str]] = []

    def load(self, parse: Callable[[str], Any] = parsed) -> CommentedMap:
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
            raise TaxonomyError("the file is empty", mend="start from one of the starter taxonomies", where=self.path)
        if not isinstance(top, CommentedMap):
            raise TaxonomyError("the file is no mapping", mend="start it with `fewtag: 1` and `categories:`", where=f"{self.path}:1")
        return top

    def taxonomy(self, top: CommentedMap) -> Taxonomy:
        if not isinstance(top.get("categories"), CommentedSeq) or not top["categories"]:
            self.fail("the file lists no categories", "add `categories:` with at least one `- name: ...` below it", top, "categories")
        return Taxonomy(
            list(self.categories(top["categories"], (), ())),
            name=self.text(top, "name") or Path(self.path).stem,
            language=self.text(top, "language") or None,
            source=self.path,
        )

    def categories(self, siblings: Any, trail: tuple[str, ...], parent: tuple[str, ...]) -> Iterator[Category]:
        """Yield the categories of a list and, each behind its parent, those below them."""
        for place, entry in enumerate(siblings):
            line = self.line_of(siblings, place)
            mapping = entry if isinstance(entry, CommentedMap) else CommentedMap(name=entry)
            if not isinstance(entry, CommentedMap):
                mapping.lc.data = {"name": [line - 1, 0, line - 1, 0]}
            self.known_keys(mapping, CATEGORY_KEYS, "a category", line)
            name = " ".join(self.text(mapping, "name", line).split())
            if not name:
                self.fail("a category has no name", "add `name:`", line=line)
            names = (*trail, name)
            own = self.text(mapping, "id", line)
            if not own:
                own = id_of_path(names)
                self.without_id.append((siblings, place, own))
            yield Category(
                own,
                name,
                self.texts(mapping, "aliases", line),
                " ".join(self.text(mapping, "description", line).split()),
                self.texts(mapping, "examples", line),
                tuple(dict.fromkeys((*parent, *self.texts(mapping, "parents", line)))),
                self.flag(mapping, "assignable", line),
                self.choice(mapping, "select", ("one", "many"), line),
                line,
            )
            children = mapping.get("children")
            if children is None:
                continue
            if not isinstance(children, CommentedSeq):
                self.fail("`children` is no list", "start each child with `- `", mapping, "children", line)
            yield from self.categories(children, names, (own,))

    def settings(self, top: CommentedMap, key: str, kind: type[Settings]) -> Settings | None:
        """Read a section whose keys are the fields of a dataclass of texts."""
        section = top.get(key)
        if section is None:
            return None
        if not isinstance(section, CommentedMap):
            self.fail(f"`{key}` is no mapping", f"write it as `{key}: {{...}}`", top, key)
        names = [field.name for field in fields(kind) if field.name != "where"]
        self.known_keys(section, names, f"`{key}`")
        values = {name: self.text(section, name) or section.get(name) or None for name in names}  # a tab is a delimiter, not nothing
        if kind is Columns and not values["file"]:
            self.fail("`catalogue` names no file", "add `file: products.csv`", top, key)
        return kind(**values, where=f"{self.path}:{self.line_of(top, key)}")  # type: ignore[arg-type]

    def known_keys(self, mapping: Mapping[str, Any], known: Sequence[str], owner: str, line: int = 1) -> None:
        for key in mapping:
            if key not in known:
                mend = did_you_mean(str(key), known, f"use one of {', '.join(known)}")
                self.fail(f"{owner} has the unknown key '{key}'", mend, mapping, str(key), line)

    def text(self, mapping: Mapping[str, Any], key: str, line: int = 1) -> str:
        return self._as_text(mapping.get(key), mapping, key, line)

    def texts(self, mapping: Mapping[str, Any], key: str, line: int) -> tuple[str, ...]:
        """Read a list of texts; a single text is a list of one."""
        value = mapping.get(key)
        if isinstance(value, Mapping):
            self.fail(f"`{key}` is no list", f"write it as `{key}: [one, two]`", mapping, key, line)
        values = value if isinstance(value, list) else [] if value is None else [value]
        return tuple(text for each in values if (text := self._as_text(each, mapping, key, line)))

    def flag(self, mapping: Mapping[str, Any], key: str, line: int) -> bool:
        value = mapping.get(key, False)
        if not isinstance(value, bool):
            self.fail(f"`{key}` is '{value}'", "write true or false", mapping, key, line)
        return value

    def choice(self, mapping: Mapping[str, Any], key: str, choices: Sequence[str], line: int) -> Any:
        value = mapping.get(key)
        if value is not None and value not in choices:
            self.fail(f"`{key}` is '{value}'", f"write {' or '.join(choices)}", mapping, key, line)
        return value

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
        where = self.line_of(mapping, key, line) if mapping is not None else line
        raise TaxonomyError(problem, mend=mend, where=f"{self.path}:{where}")
