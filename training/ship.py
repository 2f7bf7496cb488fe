"""Packs a tuned encoder small enough to ship: `python -m training.ship FOLDER --out FILE` writes what changed, in eight bits a weight.

The table of word embeddings, half of the encoder, is frozen in training and comes from the package of the original, by its hash. The trap:
a file of changed layers is worth nothing upon any other table, so `unpack` refuses one that names other weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from fewtag.errors import ModelError
from fewtag.models.few_shot.contrast import loaded
from fewtag.models.source import EMBEDDED, Source, file_hash, locate
from training.encoder import FROZEN

if TYPE_CHECKING:
    import torch

SCALE: Final = ".scale"
LEVELS: Final = 127
Format = Literal["int8", "bfloat16"]


def pack(source: Source, tuned: Path, file: Path, form: Format = "int8") -> str:
    """Write all of a tuned folder's weights but the word embeddings, and return the file's SHA-256.

    `int8` keeps a matrix as whole numbers of -127 to 127 with a scale for each row, `bfloat16` as it is rounded; vectors stay exact.
    Raises ModelError where the folder's word embeddings are not the source's.
    """
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(tuned / "model.safetensors")
    original = loaded(source)[0].auto_model.state_dict()
    for name in original:
        if FROZEN in name and not torch.equal(original[name], weights[name]):
            raise ModelError(
                "the word embeddings are not the original's", mend="tune with `training.encoder`, which freezes them", where=tuned
            )
    packed: dict[str, torch.Tensor] = {}
    for name, each in weights.items():
        if FROZEN in name or name not in original:
            continue
        if each.dim() == 2 and form == "int8":
            scale = each.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
            packed[name], packed[name + SCALE] = (each / scale).round().to(torch.int8), scale
        else:
            packed[name] = each.to(torch.bfloat16) if each.dim() == 2 else each
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(packed, file, metadata={"upon": source.revision})
    return file_hash(file)


def unpack(source: Source, file: Path) -> Any:
    """Return the SentenceTransformer of a packed file; raises ModelError where it was made upon other weights than the source's."""
    from safetensors import safe_open

    body = loaded(source)
    own = body[0].auto_model.state_dict()
    with safe_open(file, "pt") as stream:
        upon = (stream.metadata() or {}).get("upon", "")
        if upon != source.revision:
            raise ModelError(f"the file stands upon weights {upon[:12]}..., not {source.revision[:12]}...", mend="pack it anew", where=file)
        names = list(stream.keys())
        for name in names:
            if not name.endswith(SCALE):
                values = stream.get_tensor(name).to(own[name].dtype)
                own[name].copy_(values * stream.get_tensor(name + SCALE) if name + SCALE in names else values)
    return body.eval()


def main() -> None:
    """Pack a folder, and say how large the file is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--form", choices=["int8", "bfloat16"], default="int8")
    arguments = parser.parse_args()
    digest = pack(locate(EMBEDDED), arguments.tuned, arguments.out, arguments.form)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")


if __name__ == "__main__":
    main()
