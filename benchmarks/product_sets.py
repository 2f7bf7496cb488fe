"""The real product sets that quality is measured on, read from the folder that FEWTAG_DATA names; none of it is part of the project.

The traps: titles repeat (37% of Flipkart's do), so they are made unique, lower-cased, before anything is drawn or split; and the embedded
encoder has learnt from Flipkart and PriceRunner, so these two are measured upon weights that never saw them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fewtag import Product, Tagger, Taxonomy
from fewtag.models.encoder import CachedEncoder, SentenceEncoder
from fewtag.models.source import EMBEDDED, PRODUCT_ENCODER, locate
from fewtag.taxonomy_file import ModelSettings

DATA: Final = Path(os.environ.get("FEWTAG_DATA", "../shared/data"))
CACHE: Final = Path(__file__).parent / ".cache"
LEARNT_FROM: Final = ("flipkart", "pricerunner")
UNSEEN: Final = Path(__file__).parent.parent / "training/.cache/unseen"
"""An encoder that was tuned without them; `training/README.md` says by which commands."""
SETFIT_STEPS: Final = 300
SETFIT_PAIRS: Final = 32
MIN_ROWS: Final = 20
"""A category with fewer products says little about a model, and much about chance."""


@dataclass(frozen=True)
class ProductSet:
    """Products with the id of the category that each belongs to, and the taxonomy of those categories."""

    name: str
    taxonomy: Taxonomy
    products: list[Product]
    gold: list[str]


@dataclass(frozen=True)
class Source:
    """Where a set lies, and which column holds the path."""

    file: str
    language: str = "en"
    path: str = "path"


SOURCES: Final = {
    "instacart": Source("instacart_48k.parquet"),
    "flipkart": Source("flipkart_20k.parquet", path="path_min20"),
    "mwpd": Source("mwpd2020_gpc_train.parquet"),
    "pricerunner": Source("pricerunner_35k.parquet"),
    "zh_products": Source("zh_products_24k.parquet", language="zh"),
}


def load(name: str, rows: int | None = None) -> ProductSet:
    """Read a set: unique titles, categories with `MIN_ROWS` products or more, and at most `rows` products drawn at random."""
    source = SOURCES[name]
    frame = pd.read_parquet(DATA / source.file, columns=["id", "title", source.path]).rename(columns={source.path: "path"})
    frame = frame[(frame["path"].fillna("") != "") & (frame["title"].fillna("").str.strip() != "")]
    frame = frame.loc[~frame["title"].str.lower().duplicated()]
    frame = frame[frame.groupby("path")["path"].transform("size") >= MIN_ROWS]
    paths = sorted(frame["path"].unique())
    if rows and len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    taxonomy = Taxonomy.from_paths(paths, language=source.language)
    ids = {path: taxonomy.find(path) for path in paths}
    products = [Product(str(row.id), row.title) for row in frame.itertuples()]
    return ProductSet(name, taxonomy, products, [ids[path] for path in frame["path"]])


def encoder_name(name: str) -> str:
    """Return the encoder that a set is measured upon: the embedded one, or one that never saw the set; the original where there is none."""
    if name not in LEARNT_FROM:
        return PRODUCT_ENCODER
    if UNSEEN.is_dir():
        return str(UNSEEN)
    print(f"{name}: upon {EMBEDDED}, as there is no encoder in {UNSEEN} that was tuned without it")
    return EMBEDDED


def cached_encoder(name: str) -> CachedEncoder:
    """Return the encoder of a set, whose vectors all benchmarks share."""
    return _cached(encoder_name(name))


def tagger_for(
    data: ProductSet, workspace: Path | None = None, *, encoder: str | None = None, lm: Path | None = None, prompt: str | None = None
) -> Tagger:
    """Return a tagger with the encoder of a set, or another; with a language model, its folder and the prompt that it reads."""
    spoken = data.taxonomy.language == "en"
    encoder = (encoder or encoder_name(data.name)) if spoken else None
    tagger = Tagger(data.taxonomy, preset=ModelSettings(encoder=encoder, lm=str(lm) if lm else None), prompt=prompt, workspace=workspace)
    if encoder:
        tagger._ladder._encoder = tagger._ladder._zero_shot.encoder = _cached(encoder)
    return tagger


def trained_setfit(texts: list[str], gold: list[int]) -> Any:
    """Return SetFit as its authors train it on MiniLM: pairs of titles, 300 steps of 32, and logistic regression; classes are numbers."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    model = SetFitModel(SentenceTransformer(locate(EMBEDDED).place), LogisticRegression())
    arguments = TrainingArguments(max_steps=SETFIT_STEPS, batch_size=SETFIT_PAIRS, output_dir=str(CACHE / "setfit"), save_strategy="no")
    Trainer(model, arguments, train_dataset=Dataset.from_dict({"text": texts, "label": gold})).train()
    return model


def _cached(encoder: str) -> CachedEncoder:
    return CachedEncoder(SentenceEncoder(encoder), CACHE / "vectors")
