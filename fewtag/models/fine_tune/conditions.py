"""The conditions that training runs under: in silence, from a seed; the caller's random numbers and log levels come back as they were."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from fewtag.models.source import loading_quietly


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from reporting what is meant to be so: a head without weights, a bar of its own."""
    logging: Any = transformers_logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with loading_quietly(), warnings.catch_warnings(action="ignore", category=FutureWarning):
            yield
    finally:
        logging.set_verbosity(level)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed within, and leave the caller's random numbers as if nothing had been drawn."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])
