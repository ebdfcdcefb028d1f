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
from compiling import check_gradients, compile_model
from loading import Make, Share, Tensors, load
from log import Log, Losses
from muon import Muon
from torch import nn

Feed = Callable[[int, Tensors, torch.Generator], Tensors]
"""A step, its batch on the device and its generator there, to what the model is called with."""


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


def make_optimizer(name: str, trained: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of ``--optimizer``; the rate is set at every step."""
    if name == "muon":
        return Muon(trained)
    return torch.optim.AdamW(trained, betas=(0.9, 0.99), weight_decay=0.01, fused=True)


class Trainer:
    """One of a run's parts being trained: its modules, its optimiser and how far it came.

    The forward of ``model`` gives its losses by name, of which the one called ``loss`` is
    minimised. ``kept`` are modules that belong in the checkpoint besides. What accelerate wraps
    around the model stays in here: the caller's own module is the one to look at and to save.

    Several processes share every step's gradients, or with ``--average-every`` each goes its own
    way for so many steps and then takes the mean of all their weights (Stich 2018,
    arXiv:1805.09767, local SGD).
    """

    def __init__(
        self, args: argparse.Namespace, accelerator: Accelerator, name: str, model: nn.Module,
        **kept: nn.Module,
    ) -> None:  # fmt: skip
        self.args, self.accelerator, self.done, self.checked = args, accelerator, 0, False
        self.modules = {"model": model, **kept}
        self.file = args.out / f"{name}.pt"
        for module in self.modules.values():
            module.to(accelerator.device)
        self.trained = [value for value in model.parameters() if value.requires_grad]
        optimizer = make_optimizer(args.optimizer, self.trained)
        world = accelerator.num_processes
        self.averaging = args.average_every if world > 1 else 0
        # Evaluation mode is the one in which accelerate leaves gradients to their own process.
        self.model = accelerator.prepare_model(model, evaluation_mode=self.averaging > 0)
        self.optimizer = accelerator.prepare(optimizer)
        self.eager = self.model
        if args.compile:
            self.model = compile_model(self.eager)
        self.share = Share(batch=args.batch, rank=accelerator.process_index, world=world)
        self.steps = args.seen // (args.batch * world)
        self.log = Log(
            args.out / f"{name}.jsonl", accelerator.device, per_step=args.batch * world,
            workers=args.workers,
        )  # fmt: skip
        self.resume()

    @property
    def own_file(self) -> Path:
        """Where this process keeps its optimiser's moments, if they are not those of all."""
        return self.file.with_stem(f"{self.file.stem}-{self.share.rank}")

    def resume(self) -> None:
        """Take up the run's last checkpoint, if it has one."""
        if not self.file.is_file():
            return
        state = torch.load(self.file, map_location="cpu", weights_only=True)
        for name, module in self.modules.items():
            self.restore(module, state[name])
        self.done = state["done"]
        moments = state["optimizer"]
        if self.averaging and self.share.rank and self.own_file.is_file():
            own = torch.load(self.own_file, map_location="cpu", weights_only=True)
            moments = own["optimizer"] if own["done"] == self.done else moments
        self.optimizer.load_state_dict(moments)

    def restore(self, module: nn.Module, state: dict[str, torch.Tensor]) -> None:
        """Give a module its weights, if they are of its shape."""
        own = module.state_dict()
        if any(name not in own or own[name].shape != state[name].shape for name in state):
            raise SystemExit(f"{self.file} is of other shapes than the flags ask for")
        module.load_state_dict(state)

    def save(self) -> None:
        """Replace the checkpoint, and before it the other processes' moments if they are their
        own: a checkpoint that is there has all that belongs to it."""
        moments = {"optimizer": self.optimizer.state_dict(), "done": self.done}
        if self.averaging and self.share.rank:
            replace_file(self.own_file, moments)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            weights = {name: module.state_dict() for name, module in self.modules.items()}
            replace_file(self.file, weights | moments)

    def generator(self) -> torch.Generator:
        """This process's generator for this step, on the device."""
        turn = self.done * self.share.world + self.share.rank
        return torch.Generator(self.accelerator.device).manual_seed(turn)

    def step(self, batch: Tensors, feed: Feed) -> Losses:
        """One optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_rate(self.done, self.steps, self.args.rate)
        device = self.accelerator.device
        inputs = tuple(tensor.to(device, non_blocking=True) for tensor in batch)
        fed = feed(self.done, inputs, self.generator())
        if self.model is not self.eager and not self.checked:
            check_gradients(self.eager, self.model, self.trained, fed)
            self.checked = True
        losses = self.model(*fed)
        self.accelerator.backward(losses["loss"])
        self.accelerator.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1
        # What is measured, shipped and resumed is what the processes agree on.
        if self.averaging and any(
            map(self.at, (self.averaging, self.args.report, self.args.every))
        ):
            self.agree()
        return losses

    @torch.no_grad()
    def agree(self) -> None:
        """Give every process the mean of all their weights, in one message: one for each of some
        two hundred tensors takes ten times as long."""
        flat = torch.cat([weight.flatten() for weight in self.trained])
        mean = self.accelerator.reduce(flat, "mean")
        parts = mean.split([weight.numel() for weight in self.trained])
        same = [part.view_as(weight) for part, weight in zip(parts, self.trained, strict=True)]
        torch._foreach_copy_(self.trained, same)

    def run(self, make: Make, feed: Feed) -> Iterator[int]:
        """Train to the end, yielding how many steps are done once the weights have moved.

        Checkpoints are written after the caller has had its turn: a kill in the middle of its
        work is then a kill before the checkpoint, and the work is done again.
        """
        rest = range(self.done, self.steps)
        workers, device = self.args.workers, self.accelerator.device
        for batch, seconds in load(make, rest, workers=workers, device=device):
            with self.log.model:
                losses = self.step(batch, feed)
            self.log.add(losses, seconds)
            yield self.done
            if self.at(self.args.every):
                self.save()

    def at(self, every: int) -> bool:
        """Whether now is when something is done every so many steps, and at the end."""
        return self.done == self.steps or self.done % every == 0

    def due(self, every: int) -> bool:
        """Whether now is when this process should do it alone, for all of them."""
        return self.accelerator.is_main_process and self.at(every)


def replace_file(file: Path, state: dict[str, object]) -> None:
    """Write a state at once, so that a kill while writing leaves the old one whole."""
    fresh = file.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(file)
