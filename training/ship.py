"""Packs a trained folder small enough to ship: `python -m training.ship FOLDER NAME` writes what changed, in eight bits a weight.

The table of word embeddings, half of each model, is frozen in training and comes from the package of the original, by its hash. The trap:
a model that was trained upon any other table would be packed without a word, so each table is compared with the original's.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fewtag.errors import ModelError
from fewtag.models.source import EMBEDDED, file_hash, locate
from fewtag.models.weights import LAYERS, TABLE, WEIGHTS, WHOLE, Shipped, digest, make, packed


def pack(base: Path, trained: Path, folder: Path, beside: Sequence[str] = ()) -> Shipped:
    """Write a trained folder's layers, and those small files that are to stand in place of `base`'s; return what they are known by.

    Raises ModelError where the folder's word embeddings are not the base's.
    """
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(trained / WHOLE)
    [table] = [each for name, each in load_file(base / WHOLE).items() if name.endswith(TABLE)]
    for name, each in weights.items():
        if name.endswith(TABLE) and not torch.equal(each, table):
            mend = "train with the recipes of `training/`, which freeze them"
            raise ModelError("the word embeddings are not the original's", mend=mend, where=trained)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(packed(weights), folder / LAYERS)
    for name in beside:
        shutil.copy(trained / name, folder / name)
    with tempfile.TemporaryDirectory() as made:
        make(folder, base, Path(made))
        return Shipped(file_hash(folder / LAYERS), digest(Path(made) / WHOLE))


def main() -> None:
    """Pack a folder, and print its row of `SHIPPED`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("trained", type=Path)
    parser.add_argument("name")
    parser.add_argument("--beside", nargs="*", default=[], help="files that are not the original's, such as config.json")
    arguments = parser.parse_args()
    folder = WEIGHTS / arguments.name
    row = pack(Path(locate(EMBEDDED).place), arguments.trained, folder, arguments.beside)
    print(f'    "{arguments.name}": {row!r},')
    print(f"{folder / LAYERS}: {(folder / LAYERS).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
