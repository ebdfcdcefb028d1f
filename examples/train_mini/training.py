"""What both trainers share: the learning rate, checkpoints that resume exactly, and one line of log per report.

Nothing here remembers randomness. The data are scenes of consecutive seeds and each step's noise comes from a generator
seeded by the step, so a checkpoint is weights, optimiser moments and a step number, and resuming changes no number.
"""

import math
import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

CHECKPOINT = "checkpoint.pt"
HELD_OUT = 1 << 40
"""Seeds from here on are never trained on; every measurement draws them."""


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """The learning rate of a step: a straight rise to ``peak``, then half a cosine down to zero at ``steps``.

    >>> [round(cosine_rate(step, 300, 1.0), 2) for step in (0, 99, 200, 300)]
    [0.01, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def step_generator(step: int, accelerator: Accelerator) -> torch.Generator:
    """The CPU generator of this step's noise on this process: a function of both numbers and nothing else."""
    return torch.Generator().manual_seed(step * accelerator.num_processes + accelerator.process_index)


def batch_seeds(step: int, batch: int, accelerator: Accelerator) -> range:
    """The scene seeds of this step on this process; the processes of one step take neighbouring stretches."""
    start = (step * accelerator.num_processes + accelerator.process_index) * batch
    return range(start, start + batch)


def save_checkpoint(folder: Path, state: dict) -> None:
    """Replace the checkpoint at once, so that a kill while writing leaves the old one whole."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / (CHECKPOINT + ".new")
    torch.save(state, fresh)
    os.replace(fresh, folder / CHECKPOINT)


def load_checkpoint(folder: Path) -> dict | None:
    """The last checkpoint of a run, or None before there is one."""
    path = folder / CHECKPOINT
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None


class Log:
    """Averages of losses and the speed since the last report, printed as one line."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything collected and start the clock."""
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.started = time.perf_counter()

    def add(self, losses: dict[str, Tensor]) -> None:
        """Collect one step's losses without waiting for the device."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
        self.count += 1

    def report(self, step: int, pictures_per_step: int, **extra: float) -> None:
        """Print the averages and begin anew."""
        seconds = time.perf_counter() - self.started
        means = {name: value.item() / self.count for name, value in self.sums.items()}
        numbers = " ".join(f"{name} {value:.4f}" for name, value in {**means, **extra}.items())
        speed = self.count * pictures_per_step / seconds
        print(f"step {step} pictures {step * pictures_per_step} {numbers} ({speed:.1f}/s)", flush=True)
        self.clear()
