"""Choose the device and the precision of a model."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sdloop.errors import SettingError

# Modules with fewer weights run fastest on one thread: the embedded UNet has 5 million, SD1's 860.
_SMALL = 50_000_000

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def pick_device(name: str) -> torch.device:
    """The device that ``name`` means: auto, cpu, mps, cuda or cuda:i.

    Raises ``SettingError`` if it does not exist.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + there
    wanted = {"auto": there[0], "cuda": "cuda:0"}.get(name, name)
    if wanted not in there:
        raise SettingError(f"device must be one of auto, {', '.join(there)}, got {name!r}")
    return torch.device(wanted)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision that ``name`` means on ``device``: auto, fp16, bf16 or fp32."""
    if name not in ("auto", *DTYPES):
        raise SettingError(f"dtype must be one of auto, {', '.join(DTYPES)}, got {name!r}")
    if name != "auto":
        return DTYPES[name]
    if device.type == "cpu":
        return torch.float32  # half precision is slower there
    # bf16 has the range of fp32: no fine-tune overflows and gives a black picture. It has three
    # bits of precision less than fp16 (--dtype fp16). On GPUs before Ampere it is emulated: slow.
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def reset_peak_memory(device: torch.device) -> None:
    """Reset the count of ``peak_memory``, if the device supports it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Peak memory in bytes: on a CUDA device what torch allocated since the reset.

    Elsewhere it is the peak resident memory of the whole process, including libraries and weights;
    ``None`` if the system does not report it.
    """
    if device.type == "cuda":
        allocated: int = torch.cuda.max_memory_allocated(device)
        return allocated
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def runs_on_one_thread(module: Any) -> bool:
    """Whether ``module`` is so small that it runs fastest on one thread.

    With one thread, the last bits of a picture also do not depend on the machine's number of cores.
    ``OMP_NUM_THREADS`` overrides it.
    """
    size = sum(weights.numel() for weights in module.parameters())
    return bool(
        module.device.type == "cpu" and size < _SMALL and "OMP_NUM_THREADS" not in os.environ
    )


@contextmanager
def threads_for(module: Any) -> Iterator[None]:
    """Run ``module`` on one thread inside the block, if it is small."""
    threads = torch.get_num_threads()
    if runs_on_one_thread(module):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
