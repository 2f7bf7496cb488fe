"""What is learnt from labels: which rungs are to learn and how (`Plan`), and what there is to learn from (`Course`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fewtag.core import Label, Product
from fewtag.errors import FewtagError
from fewtag.models.fine_tune.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to learn from labels, and how.

    With `tune` the encoder learns too; None: where labels are enough to tell whether that helps. `fine_tune` is whether a classifier
    does; None: where labels are many. `settings` are for that, or what a search of so many `trials` starts from. Labels of a `weight`
    below 1 teach the classifier alone.
    """

    tune: bool | None = None
    fine_tune: bool | None = None
    settings: TrainSettings = TrainSettings()  # noqa: RUF009  it is frozen
    trials: int = 0

    @classmethod
    def of(cls, tune: bool | None, fine_tune: Any, trials: int = 0) -> Plan:
        """Make a plan of fewer words; settings, or trials, are a demand, and where nothing is tuned, nothing is fine-tuned unasked.

        Raises FewtagError for what is neither.

        >>> Plan.of(False, None).fine_tune, Plan.of(True, None, trials=20).fine_tune
        (False, True)
        """
        if not isinstance(fine_tune, bool | TrainSettings | None):
            mend = 'give True, False or None, or TrainSettings(method="lora") and the like'
            raise FewtagError(f"fine_tune is {fine_tune!r}", mend=mend)
        if trials < 0:
            raise FewtagError(f"{trials} settings are to be tried", mend="give 1 or more, or 0 to try none")
        settings = fine_tune if isinstance(fine_tune, TrainSettings) else TrainSettings()
        if fine_tune is None:
            fine_tune = True if trials else False if tune is False else None
        return cls(tune, bool(fine_tune) if fine_tune is not None else None, settings, trials)


@dataclass(frozen=True)
class Course:
    """What is learnt from: labels and their products, and a catalogue without labels."""

    products: Sequence[Product]
    labels: Sequence[Label]
    catalogue: Sequence[Product]

    @cached_property
    def taught(self) -> list[Label]:
        """What people have said; tags that are learnt from, which weigh less, are not that."""
        return [label for label in self.labels if label.weight >= 1]

    @cached_property
    def positive(self) -> list[Label]:
        """What people have said that products are, and not what they are not."""
        return [label for label in self.taught if not label.negative]

    @cached_property
    def labelled(self) -> dict[str, Product]:
        """The labelled products by their ids."""
        return {product.id: product for product in self.products}

    def asked(self, rows: npt.NDArray[np.int64]) -> list[Product]:
        """Return the products of some of the positive labels."""
        return [self.labelled[self.positive[row].product_id] for row in rows]
