"""Shows on stderr how far long work has come; silent unless a door (the command line) turns it on, as a library should be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_shown: ContextVar[bool] = ContextVar("shown", default=False)


@contextmanager
def shown() -> Iterator[None]:
    """Turn the bars on for all work within."""
    token = _shown.set(True)
    try:
        yield
    finally:
        _shown.reset(token)


def bar(what: str, total: int | None) -> Any:
    """Return a tqdm bar to be used as a context manager: `bar.update(n)` says that n more of `total` (None: unknown) are done.

    Work that is done at once shows none.
    """
    from tqdm import tqdm

    pause = 0.5 if sys.stderr.isatty() else 10.0  # a log file keeps every line that a terminal would overwrite
    silent = total == 0 or not _shown.get()
    return tqdm(total=total, desc=what, unit="", dynamic_ncols=True, leave=False, mininterval=pause, delay=pause, disable=silent)
