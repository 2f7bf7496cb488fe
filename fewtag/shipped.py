"""Finds the files that travel with fewtag: in the wheel they lie in `fewtag/shipped/`, in a checkout at the top of the repository."""

from __future__ import annotations

from pathlib import Path


def shipped(folder: str) -> Path:
    """Return the folder of shipped files of that name: `prompts` or `taxonomy`.

    >>> (shipped("prompts") / "category.v1.j2").is_file()
    True
    """
    package = Path(__file__).parent
    in_wheel = package / "shipped" / folder
    return in_wheel if in_wheel.is_dir() else package.parent / folder
