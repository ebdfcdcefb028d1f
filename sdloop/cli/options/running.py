"""The flags for how a batch is run; see ``options``."""

import re
from collections.abc import Mapping

from sdloop.cli.options.fields import options, own
from sdloop.errors import SettingError
from sdloop.rules import check_whole


@options(panel="Batch")
class RunningOptions:
    """Batch size, which part of the plan to run, on which GPUs, and whether to redo pictures."""

    batch_size: str | None = own(
        "Pictures made at the same time. The noise of each picture stays the same; the last"
        " bits of its pixels may differ. auto: 1 on a CPU, as many as fit on each of the GPUs.",
        metavar="N|auto",
        default="auto",
    )
    shard: str | None = own(
        "Make only one part of the pictures, for job arrays: 3/8 is the third of eight "
        "parts. auto reads the variables of Slurm, AWS Batch, Kubernetes or SkyPilot. "
        "Processes that write to the same folder share the work without it.",
        metavar="3/8|auto",
    )
    gpus: str | None = own(
        "Run one process on each of these GPUs: all, or numbers such as 0,1,3. They share "
        "the work.",
        metavar="all|N,N",
    )
    on: str | None = own(
        "Run on the GPUs of a Ray cluster. ray is the cluster of RAY_ADDRESS, or without it "
        "this computer.",
        metavar="ray|ADDRESS",
    )
    rescan: bool = own("Open all finished pictures. Otherwise an index is read where there is one.")
    redo: bool = own("Make all pictures again, and overwrite existing ones.")

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

    def has_other_computers(self, variables: Mapping[str, str]) -> bool:
        """Whether it runs on a cluster, and not on a Ray that is started for it here."""
        return self.on is not None and (self.on != "ray" or "RAY_ADDRESS" in variables)


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
