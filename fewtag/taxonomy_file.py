"""Reads and writes taxonomy.yaml: the categories, and what the file says of the catalogue, the models and the prompt.

The trap: ids outlive names, so those made from paths are written down before a name changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from fewtag.catalogue_file import Columns
from fewtag.taxonomy import Category, Taxonomy, id_of_path
from fewtag.yaml_file import YamlReader, write_yaml
from fewtag.yaml_tree import round_trip

FORMAT: Final = 1
TOP_KEYS: Final = ("fewtag", "name", "language", "catalogue", "models", "prompt", "categories")
CATEGORY_KEYS: Final = ("id", "name", "aliases", "description", "examples", "children", "parents", "assignable", "select")
SERVER_KEYS: Final = ("server", "model")
Settings = TypeVar("Settings", "Columns", "ModelSettings")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which models the file asks for: a preset, or parts of one, each a hub id or a local folder; `lm` may be a server's address, with
    its name for the model behind a "#".

    `enrich` is whether the language model also writes words of each category.
    """

    preset: str | None = None
    encoder: str | None = None
    lm: str | None = None
    classifier: str | None = None
    where: str = ""
    enrich: bool = False


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
        catalogue = self.catalogue and replace(self.catalogue, file=str((folder / self.catalogue.file).resolve()))
        encoder, lm, classifier = (local(name, folder) for name in (models.encoder, models.lm, models.classifier))
        models = replace(models, encoder=encoder, lm=lm, classifier=classifier)
        return replace(self, catalogue=catalogue, models=models, prompt=local(self.prompt, folder))


def local(name: str | None, start: Path) -> str | None:
    """Return the absolute path of a folder or a prompt's file that is named from `start` on; any other name as it is."""
    own = name and (name.endswith(".j2") or (start / name).is_dir())
    return str((start / name).resolve()) if name and own else name


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
        write_yaml(top, Path(path))
    return len(reader.without_id)


def write_taxonomy(taxonomy: Taxonomy, path: Path) -> None:
    """Write a taxonomy as a file of its own; every category stands below its first parent, which keeps their order."""

    def node(category: Category) -> CommentedMap:
        written = CommentedMap(id=category.id, name=category.name)
        for key in ("aliases", "description", "examples", "assignable", "select"):
            if value := getattr(category, key):
                written[key] = list(value) if isinstance(value, tuple) else value
        if category.parents[1:]:
            written["parents"] = list(category.parents[1:])
        if children := [child for child in taxonomy.children(category.id) if taxonomy.parents(child)[0] == category.id]:
            written["children"] = [node(taxonomy[child]) for child in children]
        return written

    top = CommentedMap(fewtag=FORMAT, name=taxonomy.name, language=taxonomy.language)
    top["categories"] = [node(taxonomy[root]) for root in taxonomy.roots]
    write_yaml(top, path)


class _Reader(YamlReader):
    """Walks the parsed file and knows which categories have no id of their own."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "start from one of the starter taxonomies", "start it with `fewtag: 1` and `categories:`")
        self.without_id: list[tuple[CommentedSeq, int, str]] = []

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
        flags = {field.name for field in fields(kind) if field.default is False}
        values: dict[str, Any] = {
            name: self.flag(section, name, self.line_of(section, name)) if name in flags else self.named(section, name) for name in names
        }
        if kind is Columns and not values["file"]:
            self.fail("`catalogue` names no file", "add `file: products.csv`", top, key)
        return kind(**values, where=f"{self.path}:{self.line_of(top, key)}")

    def named(self, section: CommentedMap, name: str) -> Any:
        """Read a setting; a language model on a server is a mapping, which becomes one text: its address, and its name behind a "#"."""
        value = section.get(name)
        if name != "lm" or not isinstance(value, CommentedMap):
            return self.text(section, name) or value or None  # a tab is a delimiter, not nothing
        self.known_keys(value, SERVER_KEYS, "`lm`")
        server, model = (self.text(value, key) for key in SERVER_KEYS)
        if not server.startswith(("http://", "https://")):
            self.fail(f"`lm` is on the server '{server}'", 'write it as `server: "http://localhost:8000/v1"`', section, name)
        return f"{server}#{model}" if model else server

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
