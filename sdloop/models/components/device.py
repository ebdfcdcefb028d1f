"""Choose the device and the precision of a model."""

import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

from sdloop.errors import SettingError
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.offload import works_on

# Modules with fewer weights run fastest on one thread: the embedded UNet has 5 million, SD1's 860.
_SMALL = 50_000_000

# tf32 is float32 whose products are computed with ten bits of mantissa: see ``set_arithmetic``.
# There is also fp8, which is the precision of a UNet's stored weights, and computes as auto does.
DTYPES = {
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "tf32": torch.float32,
    "fp32": torch.float32,
}


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


def make_current(device: torch.device) -> None:
    """Make ``device`` torch's current one, if it is a CUDA device.

    torch answers some questions, as for bf16, about the current one, and empties the cache there.
    On another card than the one in use, this alone takes 500 MB.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)


def set_arithmetic(device: torch.device, dtype: str) -> None:
    """Let a CUDA device compute as ``dtype`` says, and in the same way each time.

    This is a setting of the whole process. By default, torch lets convolutions of float32 round
    their input to TF32, which has ten bits of mantissa, but not products of matrices. Here both do
    so only if ``dtype`` is "tf32". cuDNN keeps to kernels that give the same bits in each run.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = dtype == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        torch.backends.cudnn.deterministic = True


def uses_tf32() -> bool:
    """Whether convolutions or products of matrices of float32 are allowed to use TF32 now."""
    settings: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda)
    convolution, product = settings[0].conv, settings[1].matmul
    return "tf32" in (convolution.fp32_precision, product.fp32_precision)


@contextmanager
def deterministic_gradients(device: torch.device) -> Iterator[None]:
    """On a CUDA device, let torch compute gradients with deterministic kernels where it has any.

    It has none for the gradient of a bicubic resize, which only the loss ``clip`` needs.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*deterministic", UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision that ``name`` computes in on ``device``: auto, fp16, bf16, tf32, fp32 or fp8.

    Raises ``SettingError`` for another name, and for tf32 or fp8 on a device that has none.
    """
    if name not in ("auto", *DTYPES, "fp8"):
        raise SettingError(f"dtype must be one of auto, {', '.join(DTYPES)}, fp8, got {name!r}")
    if name == "fp8" and device.type == "mps":
        raise SettingError("dtype fp8 is for CUDA GPUs and CPUs, and device is mps: use fp16")
    if name == "tf32" and device.type != "cuda":
        raise SettingError(f"dtype tf32 is for CUDA GPUs, and device is {device.type}: use fp32")
    if name not in ("auto", "fp8"):
        return DTYPES[name]
    if device.type == "cpu":
        return torch.float32  # half precision is slower there
    # bf16 has the range of fp32: no fine-tune overflows and gives a black picture. It has three
    # bits of precision less than fp16 (--dtype fp16). On GPUs before Ampere it is emulated: slow.
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def vae_dtype(model: Checkpoint, dtype: torch.dtype) -> torch.dtype:
    """The VAE's precision: float32 if it overflows float16, as SDXL's does: pictures are black.

    If an old config does not say so, the family decides: the VAEs of SD1 and SD2 do not overflow,
    those of SDXL and upscalers do.
    """
    silent = model.family in ("sdxl", "refiner", "upscaler")
    overflows = bool(model.configs["vae"].get("force_upcast", silent))
    return torch.float32 if dtype == torch.float16 and overflows else dtype


class PeakMemory:
    """The peak memory since its creation; several can measure at the same time.

    CUDA keeps one peak, and a batch is decoded while the next one is sampled. So before it is reset
    for a new meter, the meters that still run take it over.
    """

    _lock: ClassVar = threading.Lock()
    _running: ClassVar[weakref.WeakSet["PeakMemory"]] = weakref.WeakSet()

    def __init__(self, device: torch.device) -> None:
        self._device, self._before = device, 0
        if device.type != "cuda":
            return
        with self._lock:
            now = torch.cuda.max_memory_allocated(device)
            for one in self._running:
                if one._device == device:
                    one._before = max(one._before, now)
            torch.cuda.reset_peak_memory_stats(device)
            self._running.add(self)

    def read(self) -> int | None:
        """The peak in bytes: on a CUDA device of what torch allocated.

        Elsewhere it is the peak resident memory of the whole process, including libraries and
        weights; ``None`` if the system does not report it.
        """
        if self._device.type == "cuda":
            with self._lock:
                return max(self._before, torch.cuda.max_memory_allocated(self._device))
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
        works_on(module).type == "cpu" and size < _SMALL and "OMP_NUM_THREADS" not in os.environ
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
