"""The flags that every trainer has, and what follows from them before the first step."""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from data_folder import DataError, open_data
from muon import calculates_in_bf16
from transformers.utils.logging import disable_progress_bar


def add_flags(
    parser: argparse.ArgumentParser, *, unit: str, seen: int, rate: float, every: int
) -> None:
    """The shared flags; ``unit`` is what a trainer counts."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="the run's folder, the same for every command")
    add("--data", type=Path, help="folder of your own pictures and metadata.jsonl [drawn scenes]")
    add("--held-out", type=int, help="how many to measure with and never train on")
    add(f"--{unit}", dest="seen", type=int, default=seen, help="to see in all [%(default)s]")
    add("--batch", type=int, help=f"{unit} per step and process [256 on a GPU]")
    add("--rate", type=float, default=rate, help="highest learning rate [%(default)s]")
    add("--optimizer", choices=("adamw", "muon"), default="adamw", help="[%(default)s]")
    add("--every", type=int, default=every, help="steps between checkpoints [%(default)s]")
    add("--report", type=int, default=250, help="steps between reports [%(default)s]")
    add("--workers", type=int, default=4, help="that make batches ahead; 0: none [%(default)s]")
    add("--average-every", type=int, default=0, help="see the README on two CPU cores [off]")
    add_precision(parser)
    add(
        "--compile",
        action="store_true",
        help="let torch.compile fuse the model; its gradients are checked first",
    )
    add("--seed", type=int, default=0, help="of the first weights [%(default)s]")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """The forward's precision: by default bf16 where it is not emulated."""
    fast = calculates_in_bf16(torch.accelerator.current_accelerator() or torch.device("cpu"))
    parser.add_argument(
        "--precision",
        choices=("no", "bf16"),
        default="bf16" if fast else "no",
        help="of the forward [here: %(default)s; bf16 where it is faster]",
    )


def parse_flags(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The flags' values, with ``data`` opened: what is wrong with it is a wrong flag."""
    args = parser.parse_args(argv)
    least = {"seen": 1, "batch": 1, "every": 1, "report": 1, "workers": 0, "average_every": 0}
    for name, value in least.items():
        given = getattr(args, name)
        if given is not None and given < value:
            flag = name.replace("_", "-")
            parser.error(f"--{flag} must be at least {value}, got {given}")
    try:
        args.data = open_data(args.data, args.held_out)
    except DataError as error:
        parser.error(str(error))
    return args


def start(args: argparse.Namespace, *, batch: int) -> Accelerator:
    """The accelerator of a run, and what depends on its device: the batch (``batch`` on a CPU),
    and cuDNN's choice of kernels (the shapes are few, so it may try them).

    Processes that ``torchrun`` started find each other on a CPU only if accelerate is told that
    it is one.
    """
    torch.manual_seed(args.seed)
    disable_progress_bar()
    torch.backends.cudnn.benchmark = True
    on_cpu = not torch.accelerator.is_available()
    accelerator = Accelerator(mixed_precision=args.precision, cpu=on_cpu)
    if args.batch is None:
        args.batch = 256 if accelerator.device.type == "cuda" else batch
    args.out.mkdir(parents=True, exist_ok=True)
    return accelerator
