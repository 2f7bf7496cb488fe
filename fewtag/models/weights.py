"""The weights that fewtag brings: layers in eight bits upon word embeddings from another package, made into ordinary model folders once.

The trap: layers are worth nothing upon any other table, or once a bit of them has turned. So the file is known by its SHA-256, the table
by that of its package, and the folder that is made of both by what it must hold.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fewtag.errors import ModelError

if TYPE_CHECKING:
    import torch

WEIGHTS: Final = Path(__file__).parent.parent / "weights"
LAYERS: Final = "layers.safetensors"
WHOLE: Final = "model.safetensors"
TABLE: Final = "word_embeddings.weight"
SCALE: Final = ".scale"
LEVELS: Final = 127
REINSTALL: Final = "pip install --force-reinstall fewtag"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model whose layers lie in `weights/`: the SHA-256 of their file, and that of all weights together, by `digest`."""

    layers: str
    whole: str


SHIPPED: Final = {
    "product-minilm": Shipped(
        layers="99596e83c96acc2af319d3ef7c892e7ce9c15330ddfed639086e6c5c71059977",
        whole="b71993bc56b7d5fb5dfbbd17dde18bceaf8939af5d4f155b5aed65a766bcccf7",
    ),
}
"""By name; `python -m training.ship` prints a row."""


def folder_of(name: str, base: Path) -> Path:
    """Return the folder of a shipped model in transformers' format, made now if it is not there; `base` holds the word embeddings.

    Raises ModelError where the layers are not those that this version of fewtag was made with, or nothing can be written.
    """
    from huggingface_hub import cached_assets_path, constants

    expected = SHIPPED[name]
    check(WEIGHTS / name / LAYERS, expected.layers)
    try:
        folder: Path = cached_assets_path("fewtag", "weights", f"{name}-{expected.layers[:16]}", assets_dir=constants.HF_ASSETS_CACHE)
        if not _is_whole(folder, expected.whole):
            with tempfile.TemporaryDirectory(dir=folder.parent) as made:
                make(WEIGHTS / name, base, Path(made))
                if not _is_whole(Path(made), expected.whole):
                    raise ModelError(f"the weights of '{name}' come out wrong on this machine", mend=REINSTALL, where=WEIGHTS / name)
                shutil.copytree(made, folder, dirs_exist_ok=True)
    except (OSError, ValueError) as error:  # huggingface_hub says ValueError of a file in the way
        mend = "set HF_HOME to a folder that can be written"
        raise ModelError(f"the weights of '{name}' cannot be unpacked: {error}", mend=mend) from None
    return folder


def check(file: Path, expected: str) -> None:
    """Raise ModelError where a file's SHA-256 is not the one that is expected."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise ModelError(f"the weights have SHA-256 {found[:12]}..., not {expected[:12]}...", mend=REINSTALL, where=file)


def make(packed: Path, base: Path, folder: Path) -> None:
    """Write a model folder: `base`'s files, those of `packed` in place of theirs, and the weights of both."""
    from safetensors.torch import load_file, save_file

    for files in (base, packed):
        ignored = shutil.ignore_patterns(LAYERS, WHOLE, "README.md", ".*")
        shutil.copytree(files, folder, dirs_exist_ok=True, ignore=ignored)
    table = next(each for name, each in load_file(base / WHOLE).items() if name.endswith(TABLE))
    save_file(unpacked(load_file(packed / LAYERS), table), folder / WHOLE, metadata={"format": "pt"})


def unpacked(layers: dict[str, torch.Tensor], table: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return all weights by name, float32: a matrix is whole numbers times a scale for each row, an empty one stands for the table."""
    import torch

    whole = {}
    for name, each in layers.items():
        if name.endswith(TABLE):
            whole[name] = table.to(torch.float32)
        elif not name.endswith(SCALE):
            whole[name] = each.to(torch.float32) * layers[name + SCALE] if name + SCALE in layers else each
    return whole


def packed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return layers as they are shipped, what `unpacked` undoes: matrices in whole numbers of -127 to 127, and all else as it is.

    The table of word embeddings is left empty.
    """
    import torch

    layers = {}
    for name, each in weights.items():
        if name.endswith(TABLE):
            layers[name] = torch.empty(0)
        elif each.dim() == 2:
            scale = each.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
            layers[name], layers[name + SCALE] = (each / scale).round().to(torch.int8), scale
        else:
            layers[name] = each
    return layers


def digest(file: Path) -> str:
    """Return the SHA-256 of a safetensors file's names and numbers, whatever order they are written in."""
    from safetensors import safe_open

    found = hashlib.sha256()
    with safe_open(file, "np") as stream:
        for name in sorted(stream.keys()):
            each = stream.get_tensor(name)
            found.update(f"{name} {each.dtype} {each.shape}\n".encode())
            found.update(each.tobytes())
    return found.hexdigest()


def _is_whole(folder: Path, expected: str) -> bool:
    from safetensors import SafetensorError

    try:
        return (folder / WHOLE).is_file() and digest(folder / WHOLE) == expected
    except SafetensorError:  # half a file, of a copy that was killed
        return False
