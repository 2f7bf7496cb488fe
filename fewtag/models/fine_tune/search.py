"""Searches good training settings with optuna: a study in a file, which a killed search takes up where it stood.

The trap: a sampler that is seeded once per process says the same again after a kill. Here each trial's own number seeds its sampler,
so that an interrupted search asks for the same settings as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Final

from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.models.fine_tune.examples import ENOUGH_TO_HOLD_OUT, examples_of, split
from fewtag.models.fine_tune.rung import FineTune
from fewtag.models.fine_tune.settings import TrainSettings

FOLDER: Final = "search"
STUDY: Final = "search.db"

SPACE: Final[Mapping[str, Callable[[Any, float], Any]]] = {
    "learning_rate": lambda trial, usual: trial.suggest_float("learning_rate", usual / 5, usual * 5, log=True),
    "epochs": lambda trial, usual: trial.suggest_int("epochs", 2, 8),
    "weight_decay": lambda trial, usual: trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
    "warmup": lambda trial, usual: trial.suggest_float("warmup", 0.0, 0.3),
    "hierarchy": lambda trial, usual: trial.suggest_float("hierarchy", 0.0, 1.5),
}
"""What is searched: a function from an optuna trial and the method's usual learning rate to a value."""


def search(model: FineTune, products: Sequence[Product], labels: Sequence[Label], trials: int) -> TrainSettings:
    """Return the settings with the lowest held-out log-loss of so many trials, those of earlier calls with the same examples included.

    Trials are drawn by a tree-structured Parzen estimator (Bergstra et al. 2011); one that is worse than the median at the same
    evaluation is given up. Raises ModelError where optuna is missing, or too few labels to hold some out.
    """
    from fewtag.models.fine_tune.adapt import WAYS

    optuna = _optuna()
    examples = examples_of(model.taxonomy, products, labels)
    if not len(split(examples, model.settings.held_out, model.seed)[1]):
        problem = f"the labels are too few to hold {ENOUGH_TO_HOLD_OUT} of them out, so that nothing can be compared"
        raise ModelError(problem, mend="label more products, or train with the settings as they are")
    folder = model.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    about = [model.source.identity, model.taxonomy.version, examples.hash, asdict(model.settings), model.seed]
    with _quietly(optuna):
        study = optuna.create_study(
            study_name=hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16],
            storage=f"sqlite:///{folder / STUDY}",
            pruner=optuna.pruners.MedianPruner(),
            direction="minimize",
            load_if_exists=True,
        )
        for left in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(left.number, state=optuna.trial.TrialState.FAIL)  # by a kill
        ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        usual = model.settings.learning_rate or WAYS[model.settings.method].learning_rate
        while (number := len(study.get_trials(states=ended))) < trials:
            study.sampler = optuna.samplers.TPESampler(seed=model.seed + number)
            trial = study.ask()
            chosen = replace(model.settings, **{name: suggest(trial, usual) for name, suggest in SPACE.items()})
            value = _attempt(model, chosen, products, labels, trial)
            study.tell(trial, value, state=None if value is not None else optuna.trial.TrialState.PRUNED)
        if not study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
            return model.settings
        return replace(model.settings, **study.best_params)


def _attempt(model: FineTune, settings: TrainSettings, products: Sequence[Product], labels: Sequence[Label], trial: Any) -> float | None:
    """Train with some settings; return the lowest held-out log-loss, or None where the trial was given up."""
    given_up = False

    def watch(evaluation: int, figures: dict[str, float]) -> bool:
        nonlocal given_up
        trial.report(figures["log_loss"], evaluation)
        given_up = bool(trial.should_prune())
        return given_up

    rung = FineTune(model.taxonomy, model.source, settings=settings, seed=model.seed, folder=model.folder / FOLDER)
    record = rung.fit(products, labels, watch).record
    assert record is not None, "a rung that was fitted has a record"
    return None if given_up else record.figures["log_loss"]


@contextmanager
def _quietly(optuna: Any) -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ModelError("optuna is not installed", mend='pip install "fewtag[tune]"') from None
    return optuna
