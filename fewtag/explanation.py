"""Why a product has its tag: its likeliest categories, what each rung and each of the zero-shot rung's stages says of them, and people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fewtag.blend import Array
from fewtag.core import Product, Stage, Tag
from fewtag.models.zero_shot.rung import Evidence
from fewtag.store import StoredLabel
from fewtag.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Candidate:
    """One category of an explanation: its probability at the end, the stages that led there, and the phrase nearest to the product.

    `voices` is what each rung says of it alone, None where that rung does not speak for it.
    """

    category: str
    path: str
    probability: float
    similarity: float
    before_calibration: float
    after_calibration: float
    nearest: str
    voices: dict[Stage, float | None]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a product has its tag: the likeliest categories, best first, and what people say of it, the oldest first."""

    product: Product
    tag: Tag
    candidates: tuple[Candidate, ...]
    labels: tuple[StoredLabel, ...]


def candidates(evidence: Evidence, voices: Mapping[Stage, Array], taxonomy: Taxonomy, shortlist: int) -> tuple[Candidate, ...]:
    """Return the likeliest of a taxonomy's classes; `voices` are what each rung says, (n_classes,), NaN where it does not speak."""
    best = np.argsort(-evidence.probability, kind="stable")[:shortlist]
    return tuple(
        Candidate(
            category := taxonomy.classes[column],
            taxonomy.path(category),
            float(evidence.probability[column]),
            float(evidence.similarity[column]),
            float(evidence.before_calibration[column]),
            float(evidence.after_calibration[column]),
            evidence.nearest[column],
            {stage: None if np.isnan(said[column]) else float(said[column]) for stage, said in voices.items()},
        )
        for column in best
    )
