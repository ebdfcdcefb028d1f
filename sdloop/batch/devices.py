"""The devices of ``--gpus``, and of a process under ``accelerate launch``."""

import os
import re

from sdloop.errors import SettingError


def devices_of(text: str) -> list[str]:
    """The devices in ``--gpus``: "all", numbers, or "cpu", which may be repeated.

    Raises ``SettingError`` if there is no GPU, or on Windows, which cannot fork.
    """
    if not hasattr(os, "fork"):
        raise SettingError(f"gpus needs Linux or macOS, got {text}: use --device and --shard there")
    if text == "all":
        count = _count_gpus()
        if count == 0:
            raise SettingError("gpus must be there for 'all', and torch sees none")
        return [f"cuda:{number}" for number in range(count)]
    names = text.split(",")
    if not all(re.fullmatch("[0-9]{1,4}|cpu", name, re.ASCII) for name in names):
        raise SettingError(f"gpus must be all, or numbers as in 0,1,3, got {text!r}")
    return [name if name == "cpu" else f"cuda:{name}" for name in names]


def local_device(device: str) -> str:
    """``device``, or under ``accelerate launch`` the GPU of this process."""
    rank = os.environ.get("LOCAL_RANK")
    if device != "auto" or rank is None or os.environ.get("LOCAL_WORLD_SIZE", "1") == "1":
        return device
    return "cpu" if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" else f"cuda:{rank}"


def _count_gpus() -> int:
    """The number of GPUs, counted in a separate process: CUDA cannot be used before a fork."""
    number = os.fork()
    if number == 0:
        count = 0
        try:
            import torch

            count = min(torch.cuda.device_count(), 255)
        finally:
            os._exit(count)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
