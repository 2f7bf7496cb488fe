"""fewtag puts a shop's products into a taxonomy when almost no labels exist. Importing it is cheap: names load when they are used."""

from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fewtag.catalogue_file import Columns as Columns
    from fewtag.core import Product as Product
    from fewtag.core import Tag as Tag
    from fewtag.errors import FewtagError as FewtagError
    from fewtag.models.fine_tune.settings import TrainSettings as TrainSettings
    from fewtag.tagger import Tagger as Tagger
    from fewtag.taxonomy import Taxonomy as Taxonomy
    from fewtag.taxonomy_file import ModelSettings as ModelSettings

_HOMES: Final = {
    "Columns": "fewtag.catalogue_file",
    "FewtagError": "fewtag.errors",
    "ModelSettings": "fewtag.taxonomy_file",
    "Product": "fewtag.core",
    "Tag": "fewtag.core",
    "Tagger": "fewtag.tagger",
    "Taxonomy": "fewtag.taxonomy",
    "TrainSettings": "fewtag.models.fine_tune.settings",
}

__all__ = ["Columns", "FewtagError", "ModelSettings", "Product", "Tag", "Tagger", "Taxonomy", "TrainSettings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fewtag' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
