"""Measure the time of a run, and handle running out of memory."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sdloop.errors import OutOfMemory
from sdloop.recipe.recipe import Recipe


class Stopwatch:
    """Wall time since its creation, without the time in ``stopped`` blocks."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time inside the block, such as what the loop's consumer takes."""
        away = time.perf_counter()
        yield
        self._started += time.perf_counter() - away


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out: CUDA has an own error class, on the CPU the message says it."""
    full = ("not enough memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in full)


def free_memory() -> None:
    """Free the memory of a failed attempt before a smaller one: garbage, and torch's cache."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def memory_errors(recipe: Recipe, count: int) -> Iterator[None]:
    """Turn out-of-memory errors into ``OutOfMemory``, which says what did not fit."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        width, height = recipe.final_size
        raise OutOfMemory(
            f"out of memory for {count} picture(s) of {width}x{height} at once; "
            "remedy: a smaller batch_size, tile or picture, or dtype bf16"
        ) from error
