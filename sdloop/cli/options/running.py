"""The flags for how a batch is run; see ``options``."""

import re
from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option
from sdloop.errors import SettingError
from sdloop.rules import check_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningOptions:
    """Batch size, which part of the plan to run, on which GPUs, and whether to redo pictures."""

    batch_size: Annotated[
        str | None,
        option(
            "Batch",
            "Pictures made at the same time. The noise of each picture stays the same; the last"
            " bits of its pixels may differ. auto: 1 on a CPU, as many as fit on a GPU.",
            "--batch-size",
            metavar="N|auto",
            default="auto",
        ),
    ] = None
    shard: Annotated[
        str | None,
        option(
            "Batch",
            "Make only one part of the pictures, for job arrays: 3/8 is the third of eight "
            "parts. auto reads the variables of Slurm, AWS Batch, Kubernetes or SkyPilot. "
            "Processes that write to the same folder share the work without it.",
            "--shard",
            metavar="3/8|auto",
        ),
    ] = None
    gpus: Annotated[
        str | None,
        option(
            "Batch",
            "Run one process on each of these GPUs: all, or numbers such as 0,1,3. They share "
            "the work.",
            "--gpus",
            metavar="all|N,N",
        ),
    ] = None
    on: Annotated[
        str | None,
        option(
            "Batch",
            "Run on the GPUs of a Ray cluster. ray is the cluster of RAY_ADDRESS, or without it "
            "this computer.",
            "--on",
            metavar="ray|ADDRESS",
        ),
    ] = None
    rescan: Annotated[
        bool,
        option(
            "Batch",
            "Open all finished pictures. Otherwise an index is read where there is one.",
            "--rescan",
        ),
    ] = False
    redo: Annotated[
        bool, option("Batch", "Make all pictures again, and overwrite existing ones.", "--redo")
    ] = False

    def __post_init__(self) -> None:
        if self.on is not None and self.gpus is not None:
            raise SettingError(f"on cannot be combined with gpus, got {self.on} and {self.gpus}")
        if self.on is not None and not re.fullmatch(r"ray|(ray://)?[\w.-]+:[0-9]+", self.on):
            raise SettingError(
                f"on must be ray, or an address like ray://head:10001, got {self.on!r}"
            )
        if self.redo and self.rescan:
            raise SettingError(
                "rescan cannot be combined with redo, which makes all pictures again"
            )


def parse_batch_size(text: str | int) -> int | None:
    """A number of pictures, or None for "auto".

    >>> parse_batch_size("4"), parse_batch_size("auto")
    (4, None)
    """
    if text == "auto":
        return None
    if isinstance(text, str) and not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise SettingError(f"batch_size must be a whole number or auto, got {text!r}")
    check_whole("batch_size", int(text), 1, 4096)
    return int(text)
