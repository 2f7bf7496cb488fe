"""Prompts: the versioned templates a language model reads; a released one is never edited, as its hash is stored with each tag."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fewtag.core import Product
from fewtag.errors import PromptError
from fewtag.shipped import shipped

Kind = Literal["category", "enrich"]
VARIABLES: Final[dict[Kind, tuple[str, ...]]] = {
    "category": ("product", "taxonomy_name", "category"),
    "enrich": ("name", "path", "siblings"),
}
"""What a prompt may name: one that asks for a product's category, and one that asks for words of a category."""
CONTENT_FREE: Final = ("N/A", "", "[MASK]")
"""Texts that say nothing of any product: the three of contextual calibration (Zhao et al. 2021)."""

_JINJA: Final = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with its name (`category.v1`, or a user's own file) and the start of the SHA-256 of its text.

    >>> prompt = Prompt.load("category.v1")
    >>> prompt.render(product=Product("1", "Earl Grey tea bags")).splitlines()[-2:]
    ['Product: Earl Grey tea bags', 'Category:']
    """

    name: str
    template: str
    hash: str
    source: str = ""

    @classmethod
    def load(cls, name: str, kind: Kind = "category") -> Prompt:
        """Read a shipped prompt by its name, or a user's own by the path of its `.j2` file.

        Raises PromptError where there is no such prompt, it does not parse, it names a variable that its kind does not have, or it gives
        away both the product and its category.
        """
        path = Path(name) if name.endswith(".j2") else shipped("prompts") / f"{name}.j2"
        try:
            template = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            stems = sorted(file.stem for file in shipped("prompts").glob("*.j2"))
            known = ", ".join(stem for stem in stems if stem.startswith("enrich") == (kind == "enrich"))
            raise PromptError(f"there is no prompt '{name}'", mend=f"take one of {known}, or the path of your own .j2 file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"the prompt cannot be read: {error}", mend="give it as a readable UTF-8 text file", where=path) from None
        _check(template, path, VARIABLES[kind])
        return cls(path.stem, template, hashlib.sha256(template.encode()).hexdigest()[:16], str(path))

    @property
    def chat(self) -> bool:
        """Whether the text is the user's turn for a chat model: the name says so (`category_chat.v1`)."""
        return self.name.split(".")[0].endswith("_chat")

    @property
    def channel(self) -> bool:
        """Whether the template names a category, for the product to follow, rather than the other way round (`channel.v1`)."""
        return "category" in meta.find_undeclared_variables(_JINJA.parse(self.template))

    def render(self, *, product: Product, taxonomy_name: str = "") -> str:
        """Fill the template for one product; white space at both ends is dropped, as a label brings its own space."""
        mend = "name only columns that every product has"
        return self._fill(f"product '{product.id}'", mend, product=product, taxonomy_name=taxonomy_name)

    def render_category(self, name: str, *, taxonomy_name: str = "") -> str:
        """Fill the template of a channel for one category, by its name.

        >>> Prompt.load("channel.v1").render_category("Tea").splitlines()[-2:]
        ['Category: Tea', 'Product:']
        """
        return self._fill(f"category '{name}'", "mend the template", category=name, taxonomy_name=taxonomy_name)

    def ask_for_words(self, *, name: str, path: str, siblings: Sequence[str]) -> str:
        """Fill a template of the kind `enrich` for one category.

        >>> Prompt.load("enrich.v1", "enrich").ask_for_words(name="Tea", path="Drinks > Tea", siblings=["Jam"]).splitlines()[-3:]
        ['Category: Drinks > Tea', 'Beside it: Jam', 'Words:']
        """
        return self._fill(f"category '{name}'", "mend the template", name=name, path=path, siblings=siblings)

    def _fill(self, owner: str, mend: str, **values: Any) -> str:
        try:
            filled = _compile(self.template).render(**values)
        except (TemplateError, TypeError) as error:
            raise PromptError(f"prompt '{self.name}' cannot be filled for {owner}: {error}", mend=mend, where=self.source) from None
        return filled.strip()

    def content_free(self, *, taxonomy_name: str = "") -> list[str]:
        """Fill the template with each text of `CONTENT_FREE`: what calibration subtracts is the model's view of nothing."""
        return [self.render(product=Product("", text), taxonomy_name=taxonomy_name) for text in CONTENT_FREE]

    def verbalise(self, name: str) -> str:
        """Return what follows the prompt, a category's name or a product's text, with the space that separates the two.

        A chat model's answer starts without a space, and so does text after a full-width sign (Chinese, Japanese).

        >>> Prompt.load("category.v1").verbalise("Tea"), Prompt.load("category.zh.v1").verbalise("茶")
        (' Tea', '茶')
        """
        last = self.template.rstrip()[-1:]
        joined = self.chat or (last != "" and unicodedata.east_asian_width(last) in "WF")
        return name if joined else f" {name}"


@lru_cache(maxsize=16)
def _compile(template: str) -> Template:
    return _JINJA.from_string(template)


def _check(template: str, path: Path, variables: Sequence[str]) -> None:
    """Raise PromptError, with file and line, for a template that does not parse or names an unknown variable."""
    try:
        tree = _JINJA.parse(template)
        named = meta.find_undeclared_variables(tree)
        unknown = named - {*variables, *_JINJA.globals}
    except TemplateSyntaxError as error:
        problem = f"the prompt does not parse: {(error.message or '').rstrip('.')}"
        raise PromptError(problem, mend="mend the jinja2 syntax", where=f"{path}:{error.lineno}") from None
    if {"product", "category"} <= named:
        problem = "the prompt gives away both the product and its category"
        raise PromptError(problem, mend="name one of them: the model is asked for the other", where=path)
    for part in tree.find_all(nodes.Getattr):
        if isinstance(part.node, nodes.Name) and part.node.name == "product" and part.attr != "text":
            problem = f"the prompt reads product.{part.attr}, and a model is shown product.text alone"
            raise PromptError(problem, mend="put the column into `catalogue: {text: ...}`", where=f"{path}:{part.lineno}")
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            problem = f"the prompt names an unknown variable '{name.name}'"
            raise PromptError(problem, mend=f"use {', '.join(variables)}", where=f"{path}:{name.lineno}")
