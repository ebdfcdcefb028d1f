"""What the trainers share: the loop over steps, the learning rate, and checkpoints that resume
exactly.

Nothing here remembers randomness. A step's data and its noise are functions of its number, so a
checkpoint is weights, optimiser moments and that number, and resuming changes no bit.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from loading import Make, Share, Tensors, load
from log import Log, Losses
from torch import nn

Feed = Callable[[Tensors, torch.Generator], Tensors]
"""A batch on the device and the step's generator there, to what the model is called with."""


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


def add_flags(
    parser: argparse.ArgumentParser, *, unit: str, seen: int, rate: float, every: int
) -> None:
    """The flags every trainer has; ``unit`` is what it counts."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="the run's folder, the same for every command")
    add(f"--{unit}", dest="seen", type=int, default=seen, help="to see in all [%(default)s]")
    add("--batch", type=int, help=f"{unit} per step and process [256 on a GPU, else 16]")
    add("--rate", type=float, default=rate, help="highest learning rate [%(default)s]")
    add("--every", type=int, default=every, help="steps between checkpoints [%(default)s]")
    add("--report", type=int, default=250, help="steps between reports [%(default)s]")
    add("--workers", type=int, default=4, help="that make batches ahead; 0: none [%(default)s]")
    add("--precision", choices=("no", "bf16"), default="bf16", help="of the forward [%(default)s]")
    add("--compile", action="store_true", help="let torch.compile fuse the model")
    add("--seed", type=int, default=0, help="of the first weights [%(default)s]")


def start(args: argparse.Namespace) -> Accelerator:
    """The accelerator of a run, and what depends on its device: the batch, and cuDNN's choice of
    kernels (the shapes are few, so it may try them).

    Processes that ``torchrun`` started find each other on a CPU only if accelerate is told that
    it is one.
    """
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    on_cpu = not torch.accelerator.is_available()
    accelerator = Accelerator(mixed_precision=args.precision, cpu=on_cpu)
    if args.batch is None:
        args.batch = 256 if accelerator.device.type == "cuda" else 16
    args.out.mkdir(parents=True, exist_ok=True)
    return accelerator


class Trainer:
    """One of a run's parts being trained: its modules, its optimiser and how far it came.

    The forward of ``model`` gives its losses by name, of which the one called ``loss`` is
    minimised. ``kept`` are modules that belong in the checkpoint besides. What the processes wrap
    around the model stays in here: the caller's own module is the one to look at and to save.
    """

    def __init__(
        self, args: argparse.Namespace, accelerator: Accelerator, name: str, model: nn.Module,
        **kept: nn.Module,
    ) -> None:  # fmt: skip
        self.args, self.accelerator, self.done = args, accelerator, 0
        self.modules = {"model": model, **kept}
        self.file = args.out / f"{name}.pt"
        for module in self.modules.values():
            module.to(accelerator.device)
        self.trained = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(
            self.trained, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        if args.compile:
            self.model = torch.compile(self.model)
        world = accelerator.num_processes
        self.share = Share(batch=args.batch, rank=accelerator.process_index, world=world)
        self.steps = args.seen // (args.batch * world)
        self.log = Log(
            args.out / f"{name}.jsonl", accelerator.device, per_step=args.batch * world,
            workers=args.workers,
        )  # fmt: skip
        self.resume()

    def resume(self) -> None:
        """Take up the run's last checkpoint, if it has one."""
        if self.file.is_file():
            state = torch.load(self.file, map_location="cpu", weights_only=True)
            for name, module in self.modules.items():
                module.load_state_dict(state[name])
            self.optimizer.load_state_dict(state["optimizer"])
            self.done = state["done"]

    def save(self) -> None:
        """Replace the checkpoint at once, so that a kill while writing leaves the old one
        whole."""
        state = {name: module.state_dict() for name, module in self.modules.items()}
        state |= {"optimizer": self.optimizer.state_dict(), "done": self.done}
        fresh = self.file.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.file)

    def generator(self) -> torch.Generator:
        """This process's generator for this step, on the device."""
        turn = self.done * self.share.world + self.share.rank
        return torch.Generator(self.accelerator.device).manual_seed(turn)

    def step(self, batch: Tensors, feed: Feed) -> Losses:
        """One optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_rate(self.done, self.steps, self.args.rate)
        device = self.accelerator.device
        inputs = [tensor.to(device, non_blocking=True) for tensor in batch]
        losses = self.model(*feed(tuple(inputs), self.generator()))
        self.accelerator.backward(losses["loss"])
        self.accelerator.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses

    def run(self, make: Make, feed: Feed) -> Iterator[int]:
        """Train to the end, yielding how many steps are done once the weights have moved."""
        rest = range(self.done, self.steps)
        workers, device = self.args.workers, self.accelerator.device
        for batch, seconds in load(make, rest, workers=workers, device=device):
            with self.log.model:
                losses = self.step(batch, feed)
            self.log.add(losses, seconds)
            self.done += 1
            yield self.done

    def due(self, every: int) -> bool:
        """Whether this process should do now what is done every so many steps, and at the end."""
        last = self.done == self.steps
        return self.accelerator.is_main_process and (last or self.done % every == 0)
