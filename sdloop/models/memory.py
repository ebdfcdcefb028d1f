"""Measure the time of a run, and handle running out of memory."""

import gc
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from traceback import clear_frames

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


# torch's allocator has an error class of its own. CUDA ("CUDA error: out of memory", which is an
# AcceleratorError), cuDNN, cuBLAS and the CPU's allocator only say it in their messages.
_FULL = (
    *("out of memory", "not enough memory", "can't allocate memory"),
    *("_STATUS_ALLOC_FAILED", "ALLOCATION_FAILED"),
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out, in torch or in a library that it calls."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _FULL)


def free_memory() -> None:
    """Free the memory of a failed attempt before a smaller one: garbage, and torch's cache."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_errors(recipe: Recipe, count: int) -> AbstractContextManager[None]:
    """Turn out-of-memory errors into ``OutOfMemory``, which says what did not fit."""
    width, height = recipe.final_size
    return out_of_memory_is(
        f"out of memory for {count} picture(s) of {width}x{height} at once; "
        "remedy: a smaller batch_size, tile or picture, memory low or lowest, or dtype bf16"
    )


@contextmanager
def out_of_memory_is(message: str) -> Iterator[None]:
    """The same, in these words.

    It keeps no tensors of the failed attempt: a smaller one needs their memory.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        clear_frames(error.__traceback__)
        raise OutOfMemory(message) from error
