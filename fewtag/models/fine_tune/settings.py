"""What a fine-tuning run is told (`TrainSettings`) and what it has to tell afterwards (`TrainRecord`); loads no model library.

The trap: a good learning rate is a hundred times larger for a lone head than for a whole body, so None asks for the method's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from fewtag.errors import ModelError, did_you_mean

Method = Literal["full", "frozen", "lora", "adalora", "prefix"]
Balance = Literal["none", "weights", "sampling"]

Rule = tuple[Callable[[Any], bool], str]
POSITIVE: Final[Rule] = (lambda value: 0 < value < math.inf, "more than 0")
NOT_NEGATIVE: Final[Rule] = (lambda value: 0 <= value < math.inf, "0 or more")
WHOLE: Final[Rule] = (lambda value: value == int(value) >= 1, "a whole number from 1")
COUNT: Final[Rule] = (lambda value: value == int(value) >= 0, "a whole number from 0")
SHARE: Final[Rule] = (lambda value: 0 <= value < 1, "from 0 to below 1")
RULES: Final[Mapping[str, Rule]] = {
    "learning_rate": POSITIVE,
    "epochs": WHOLE,
    "batch_size": WHOLE,
    "accumulate": WHOLE,
    "weight_decay": NOT_NEGATIVE,
    "warmup": SHARE,
    "dropout": SHARE,
    "label_smoothing": SHARE,
    "hierarchy": NOT_NEGATIVE,
    "adversarial": NOT_NEGATIVE,
    "held_out": (lambda value: 0 <= value <= 0.5, "from 0 to 0.5"),
    "patience": COUNT,
    "freeze_layers": COUNT,
    "rank": WHOLE,
    "prefix_length": WHOLE,
    "checkpoint_steps": WHOLE,
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to fine-tune; every figure is checked when it is said, and a ModelError names the one that cannot be.

    `method` is what learns: the whole body, the head alone ("frozen"), low-rank updates of the body (LoRA, Hu et al. 2021; AdaLoRA,
    Zhang et al. 2023) or keys and values before each text (prefix tuning, Li and Liang 2021). With "full", `freeze_layers` keeps the
    embeddings and the first so many layers as they are. `warmup` and `held_out` are shares, of the steps and of the labels; training
    stops after `patience` evaluations without a gain on the held-out labels (0: never), and the best checkpoint is kept.
    `balance` lets a rare class weigh more, or be drawn more often, by the inverse root of its count. `hierarchy` weighs the loss on
    the ancestors beside the category's own. `adversarial` is the length of the step that FGM takes against the embeddings (0: none).
    With `probe` the new head is first fitted alone, on the untouched body. A checkpoint is written each `checkpoint_steps` steps, or at
    the end of each epoch; `report_to` goes to the Trainer as it is.
    """

    method: Method = "full"
    learning_rate: float | None = None
    epochs: int = 5
    batch_size: int = 32
    accumulate: int = 1
    optim: str = "adamw_torch_fused"
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float | None = None
    balance: Balance = "none"
    label_smoothing: float = 0.0
    hierarchy: float = 0.5
    adversarial: float = 0.0
    probe: bool = True
    held_out: float = 0.1
    patience: int = 2
    freeze_layers: int = 0
    rank: int = 8
    prefix_length: int = 16
    checkpoint_steps: int | None = None
    report_to: str = "none"

    def __post_init__(self) -> None:
        for name, choices in (("method", get_args(Method)), ("balance", get_args(Balance))):
            if getattr(self, name) not in choices:
                raise ModelError(f"there is no {name} '{getattr(self, name)}'", mend=f"use one of {', '.join(choices)}")
        for name, (holds, range_) in RULES.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value) or not holds(value):
                raise ModelError(f"{name} is {value!r}", mend=f"give {range_}")
        if self.freeze_layers and self.method != "full":
            raise ModelError(f"freeze_layers has no meaning for method '{self.method}'", mend="leave it 0, or use method 'full'")
        if self.adversarial and (self.method != "full" or self.freeze_layers):
            raise ModelError("adversarial needs embeddings that learn", mend="use method 'full' with freeze_layers 0, or leave it 0")

    @classmethod
    def parse(cls, words: Iterable[str]) -> TrainSettings:
        """Return the settings that NAME=VALUE words ask for; raises ModelError for a name or a value that cannot be.

        >>> TrainSettings.parse(["method=lora", "epochs=3"]).epochs
        3
        """
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if name not in known or not equals:
                mend = (
                    did_you_mean(name, known, f"use one of {', '.join(sorted(known))}") if equals else "write NAME=VALUE, such as epochs=3"
                )
                raise ModelError(f"there is no setting '{word}'", mend=mend)
            try:
                given[name] = json.loads(value)
            except ValueError:
                given[name] = value
        return cls(**given)


OPTIONAL: Final = frozenset({"learning_rate", "dropout", "checkpoint_steps"})


@dataclass(frozen=True, slots=True)
class TrainRecord:
    """What came of a run. `data` is the hash of its examples; `seconds` is the wall time since `resumed_at`, the step that it began at.

    `figures` are those on the held-out labels, of the checkpoint that was kept: log_loss (of the category, in nats), accuracy,
    macro_f1 and hierarchical_f1; empty where none could be held out.
    """

    data: str
    source: str
    settings: TrainSettings
    seed: int
    classes: int
    examples: int
    held_out: int
    steps: int
    resumed_at: int
    seconds: float
    figures: dict[str, float]

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> TrainRecord:
        """Read what `save` wrote; raises ModelError where that is not there or not whole."""
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            known = {field.name for field in fields(TrainSettings)}
            settings = {key: value for key, value in content.pop("settings").items() if key in known}
            return cls(settings=TrainSettings(**settings), **content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError("the training record cannot be read", mend="train again", where=file) from error
