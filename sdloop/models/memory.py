"""What a run takes: time, and memory that is not there."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sdloop.errors import OutOfMemory
from sdloop.recipe.recipe import Recipe


class Stopwatch:
    """Wall time since it was made, without the time that others took meanwhile."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out what happens inside: a consumer looks at a step as long as it likes."""
        away = time.perf_counter()
        yield
        self._started += time.perf_counter() - away


def is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a class of its own for it, the CPU's allocator only says so."""
    full = ("not enough memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in full)


def free_memory() -> None:
    """Give back what a failed attempt held, for a smaller one: cycles, and torch's own cache."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def memory_errors(recipe: Recipe, count: int) -> Iterator[None]:
    """Say what did not fit, instead of the allocator's own words."""
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
