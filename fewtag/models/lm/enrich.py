"""Has a language model write, once for each category, words and titles of its products; what it wrote is kept as it was written.

The trap: a small model goes on where it should stop and repeats itself, so what it wrote is read as a list of which most may be junk.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from fewtag.models.lm.model import LanguageModel
from fewtag.models.ngrams import fold
from fewtag.models.source import Source
from fewtag.progress import bar
from fewtag.prompts import Prompt
from fewtag.taxonomy import Taxonomy
from fewtag.workspace import writing

TOKENS: Final = 96
"""How much a model may write of one category."""
SIBLINGS: Final = 12
MOST_WORDS: Final = 12
MOST_TITLES: Final = 4
WORD_LENGTH: Final = 32
TITLE_LENGTH: Final = 120

_END: Final = re.compile(r"\n\s*\n|\n\s*(?:category|类别)\s*[:：]", re.IGNORECASE)
_TITLES: Final = re.compile(r"(?:^|\n)\s*(?:titles?|examples?|标题)\s*[:：]", re.IGNORECASE)
_HEAD: Final = re.compile(r"^\s*(?:words?|keywords?|词语|关键词)\s*[:：]", re.IGNORECASE)
_MARK: Final = re.compile(r"^(?:[-*•·]|\d{1,2}[.)])\s+")
_QUOTES: Final = " \t*_`\"'“”‘’「」.。"
_MARKUP: Final = re.compile(r"[<>{}\[\]|\\=#�]|https?:|[:：]\s*$")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of one category, with the junk left out."""

    words: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()


class Writer:
    """A language model with a prompt; what it wrote is kept in a file of lines, by model, prompt and what it was asked.

    The model is loaded when something is asked that it has not been asked yet.
    """

    def __init__(self, source: Source, prompt: Prompt, taxonomy: Taxonomy, file: Path) -> None:
        self.source, self.prompt, self.taxonomy, self.file = source, prompt, taxonomy, file
        self.by = f"{source.name} {source.revision[:12]}, {prompt.name} {prompt.hash}"
        self._kept: dict[tuple[str, str], tuple[str, str]] = {}
        for row in _lines(file):
            self._kept[row["by"], row["category"]] = row["asked"], row["said"]

    @cached_property
    def _lm(self) -> LanguageModel:
        return LanguageModel.load(self.source)

    def write(self, categories: Sequence[str]) -> dict[str, Written]:
        """Return what is written of each category; each answer is kept as it comes, so that a kill costs one.

        Raises ModelError where the model cannot be had or does not write text.
        """
        questions = {category: self._question(category) for category in categories}
        new = [each for each, asked in questions.items() if self._kept.get((self.by, each), ("", ""))[0] != asked]
        with bar(f"{self.source.name} writes of categories", len(new)) as done:
            for category in new:
                self._keep(category, questions[category], self._lm.write(questions[category], TOKENS, chat=self.prompt.chat))
                done.update(1)
        return {category: parse(self._kept[self.by, category][1], self.taxonomy[category].name) for category in categories}

    def remembered(self, by: str, category: str) -> Written | None:
        """Return what a model, this or an earlier one, has written of a category; None where that is not known any more."""
        kept = self._kept.get((by, category))
        return parse(kept[1], self.taxonomy[category].name) if kept else None

    def _question(self, category: str) -> str:
        siblings = [self.taxonomy[each].name for each in self.taxonomy.siblings(category)[:SIBLINGS]]
        return self.prompt.ask_for_words(name=self.taxonomy[category].name, path=self.taxonomy.path(category), siblings=siblings)

    def _keep(self, category: str, asked: str, said: str) -> None:
        row = json.dumps({"by": self.by, "category": category, "asked": asked, "said": said}, ensure_ascii=False)
        with writing(self.file), self.file.open("a+b") as stream:
            if stream.tell() and not _ends_a_line(stream):  # a kill left half a line
                stream.write(b"\n")
            stream.write(f"{row}\n".encode())
        self._kept[self.by, category] = asked, said


def parse(said: str, name: str) -> Written:
    """Read what a model wrote of the category called `name`: a list of words, then, where it says so, titles.

    Words are separated by commas or line breaks, titles by semicolons or line breaks. What is too long, holds markup, repeats the
    name or comes twice is left out, and so is all behind a blank line, where a model begins to write of something else.

    >>> parse(" matcha, Tea, oolong, <b>, oolong\\nTitles: Earl Grey 100 ct; Sencha tin\\n\\nCategory: Jam", "Tea")
    Written(words=('matcha', 'oolong'), titles=('Earl Grey 100 ct', 'Sencha tin'))
    """
    said = _END.split(said.strip())[0]
    words, _, titles = _HEAD.sub("", said).partition(found.group()) if (found := _TITLES.search(said)) else (_HEAD.sub("", said), "", "")
    return Written(
        tuple(_sound(re.split(r"[,;，；、\n]", words), name, WORD_LENGTH))[:MOST_WORDS],
        tuple(_sound(re.split(r"[;；\n]", titles), name, TITLE_LENGTH))[:MOST_TITLES],
    )


def _sound(phrases: Iterable[str], name: str, longest: int) -> Iterator[str]:
    """Yield the phrases that are no junk."""
    seen = {fold(name), f"{fold(name)}s", fold(name).removesuffix("s")}
    for phrase in phrases:
        text = " ".join(_MARK.sub("", phrase.strip()).strip(_QUOTES).split())
        ok = 1 < len(text) <= longest or (text and not text.isascii() and len(text) <= longest)
        if ok and text.isprintable() and any(map(str.isalpha, text)) and not _MARKUP.search(text) and fold(text) not in seen:
            seen.add(fold(text))
            yield text


def _lines(file: Path) -> Iterator[dict[str, str]]:
    """Yield the rows that are whole."""
    if not file.is_file():
        return
    for line in file.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:  # half a line, which a kill left, or the nothing behind the last
            continue
        if isinstance(row, dict) and {"by", "category", "asked", "said"} <= row.keys():
            yield row


def _ends_a_line(stream: Any) -> bool:
    stream.seek(-1, os.SEEK_END)
    return bool(stream.read(1) == b"\n")
