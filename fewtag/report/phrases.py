"""Says the page's phrases in a language: English, Chinese, and English again for a taxonomy in any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fewtag.report.chinese import CHINESE
from fewtag.report.english import ENGLISH

Say = Callable[..., str]

PHRASES: Final[Mapping[str, Mapping[str, str]]] = {"en": ENGLISH, "zh": CHINESE}


def spoken(language: str) -> str:
    """Return the language of a page's words for a taxonomy's language.

    >>> spoken("zh"), spoken("de")
    ('zh', 'en')
    """
    return language if language in PHRASES else "en"


def speaker(language: str) -> Say:
    """Return what says a phrase in a language, with its gaps filled.

    >>> speaker("zh")("depth", depth=2), speaker("fr")("depth", depth=2)
    ('第 2 层', 'Depth 2')
    """
    table = PHRASES[spoken(language)]

    def say(key: str, **values: Any) -> str:
        return table[key].format(**values)

    return say
