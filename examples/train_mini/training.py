"""What both trainers share: the loop over steps, the learning rate, and checkpoints that resume
exactly.

Nothing here remembers randomness. The data are scenes of consecutive seeds and each step's noise
comes from a generator seeded by the step, so a checkpoint is weights, optimiser moments and a step
number, and resuming changes no number.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

CHECKPOINT = "checkpoint.pt"
HELD_OUT = 1 << 40
"""Seeds from here on are never trained on; every measurement draws them."""

Losses = dict[str, Tensor]
MakeBatch = Callable[[range, torch.Generator], tuple[Tensor, ...]]
"""Places in the endless row of scenes, and the step's generator, to the tensors the model is
called with."""


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """The learning rate of a step: a straight rise to ``peak``, then half a cosine down to zero at
    ``steps``.

    >>> [round(cosine_rate(step, 300, 1.0), 2) for step in (0, 99, 200, 300)]
    [0.01, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def add_flags(parser: argparse.ArgumentParser, *, batch: int, rate: float) -> None:
    """The flags every trainer has."""
    parser.add_argument(
        "--out", type=Path, required=True, help="the run's folder: checkpoint and weights"
    )
    parser.add_argument(
        "--pictures", type=int, required=True, help="to see in all; sets the cosine's length"
    )
    parser.add_argument("--batch", type=int, default=batch, help="pictures per step and device")
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")


class Trainer:
    """A run: its modules, its optimiser and how far it came. ``modules["model"]`` is trained,
    others are kept along.

    The model's forward gives its losses by name; the one called ``loss`` is minimised.
    """

    def __init__(self, args: argparse.Namespace, modules: dict[str, nn.Module]) -> None:
        self.args, self.modules, self.done = args, modules, 0
        self.accelerator = Accelerator(mixed_precision=args.precision)
        self.trained = [value for value in modules["model"].parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(self.trained, betas=(0.9, 0.99), weight_decay=0.01)
        for module in modules.values():
            module.to(self.accelerator.device)
        self.model, self.optimizer = self.accelerator.prepare(modules["model"], optimizer)
        self.per_step = args.batch * self.accelerator.num_processes
        self.resume()

    def resume(self) -> None:
        """Take up the run's last checkpoint, if it has one."""
        path = self.args.out / CHECKPOINT
        if path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=True)
            for name, module in self.modules.items():
                module.load_state_dict(state[name])
            self.optimizer.load_state_dict(state["optimizer"])
            self.done = state["done"]

    def save(self) -> None:
        """Replace the checkpoint at once, so that a kill while writing leaves the old one
        whole."""
        path = self.args.out / CHECKPOINT
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: module.state_dict() for name, module in self.modules.items()}
        state |= {"optimizer": self.optimizer.state_dict(), "done": self.done}
        fresh = path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(path)

    def places(self) -> tuple[range, torch.Generator]:
        """This process's share of the next step's scenes, and its generator: functions of the step
        alone."""
        turn = self.done * self.accelerator.num_processes + self.accelerator.process_index
        return range(
            turn * self.args.batch, (turn + 1) * self.args.batch
        ), torch.Generator().manual_seed(turn)

    def step(self, make_batch: MakeBatch, rate: float) -> Losses:
        """One optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = make_batch(*self.places())
        losses = self.model(*(tensor.to(self.accelerator.device) for tensor in batch))
        self.accelerator.backward(losses["loss"])
        self.accelerator.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1
        return losses

    def run(self, make_batch: MakeBatch) -> Iterator[Losses]:
        """Train to the end, yielding each step's losses once the weights have moved."""
        steps = self.args.pictures // self.per_step
        while self.done < steps:
            yield self.step(make_batch, cosine_rate(self.done, steps, self.args.rate))

    def due(self) -> bool:
        """Whether this process should report and save now."""
        last = self.done == self.args.pictures // self.per_step
        return self.accelerator.is_main_process and (last or self.done % self.args.every == 0)


class Log:
    """Averages of losses and the speed since the last report, printed as one line."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.clear()

    def clear(self) -> None:
        """Forget everything collected and start the clock."""
        self.sums: Losses = {}
        self.count = 0
        self.started = time.perf_counter()

    def add(self, losses: Losses) -> None:
        """Collect one step's losses without waiting for the device."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
        self.count += 1

    def report(self, **measured: float) -> None:
        """Print the averages and begin anew."""
        speed = self.count * self.trainer.per_step / (time.perf_counter() - self.started)
        numbers = {name: value.item() / self.count for name, value in self.sums.items()} | measured
        words = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        done = self.trainer.done
        print(
            f"step {done} pictures {done * self.trainer.per_step} {words} ({speed:.1f}/s)",
            flush=True,
        )
        self.clear()
