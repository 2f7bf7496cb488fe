"""Says where models run and in which number format; the trap: a CPU without bfloat16 instructions emulates them, 100 times slower."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def best_device() -> str:
    """Return `cuda` where torch finds a graphics card, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def best_dtype(device: str) -> torch.dtype:
    """Return bfloat16 where the device computes in it natively, else float32."""
    import torch

    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # A private name of torch, so that its absence in some release must mean no more than "not native".
        native = device == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return torch.bfloat16 if native else torch.float32


@contextmanager
def batches_side_by_side(device: str) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]]:
    """Give a `map` that works on one batch per core of a CPU, each on a single thread of torch; elsewhere the plain `map`.

    A batch that is split between cores waits for the slowest at every layer: beside another busy program that is ten times slower.
    """
    import torch

    threads = torch.get_num_threads()
    if device != "cpu" or threads == 1:
        yield map
        return
    pool = ThreadPoolExecutor(threads)
    torch.set_num_threads(1)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for what has not begun
        torch.set_num_threads(threads)
