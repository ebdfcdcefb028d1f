"""Batches made ahead in worker processes, in the order of the steps.

A batch is a pure function of its step, so it does not matter which process makes it, and a run
that begins at step 700 gets the batch that an undisturbed one got there.
"""

import multiprocessing
import multiprocessing.context
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Tensors = tuple[Tensor, ...]
Make = Callable[[int], Tensors]
"""The tensors of a step; it is sent to the workers, so it must pickle."""

AHEAD = 4
"""Batches that each worker may have ready."""

# The workers are the parallel ones. A tokenizer's own threads would only fight them.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

IMPORTED = (
    "torch",
    "accelerate",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.models.unets.unet_2d_condition",
    "transformers.models.clip.modeling_clip",
)
"""What the server that forks the workers imports once. A worker begins by importing the command
that started it, and these are what takes seconds of that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The part of each turn's places that falls to one of several processes."""

    batch: int
    rank: int = 0
    world: int = 1

    def places(self, turn: int) -> range:
        """``batch`` places that no other process and no other turn has."""
        first = (turn * self.world + self.rank) * self.batch
        return range(first, first + self.batch)


class Steps(Dataset[tuple[Tensors, float]]):
    """What a worker runs: the batch of a step, and the seconds it took to make."""

    def __init__(self, make: Make) -> None:
        self.make = make

    def __getitem__(self, step: int) -> tuple[Tensors, float]:
        started = time.perf_counter()
        return self.make(step), time.perf_counter() - started


def load(
    make: Make, steps: range, *, workers: int, device: torch.device
) -> Iterator[tuple[Tensors, float]]:
    """The batches of these steps in their order, with the seconds that each took to make.

    Without workers they are made here, one at a time.
    """
    loader = DataLoader(
        Steps(make),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        multiprocessing_context=worker_context() if workers else None,
        pin_memory=device.type == "cuda",
    )
    return iter(loader)


def worker_context() -> multiprocessing.context.BaseContext:
    """How workers start: from a server that was started afresh.

    A plain fork would copy a process whose torch has threads, and a lock that one of them held
    stays shut in the copy forever.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context
