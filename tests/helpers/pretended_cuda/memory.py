"""The memory of the pretended device: the bytes of living tensors, a limit, planned failures."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# How memory runs out in torch: its own class, and what CUDA, cuDNN and cuBLAS say themselves.
OUT_OF_MEMORY: dict[str, Callable[[], RuntimeError]] = {
    "torch": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB."),
    "cuda": lambda: torch.AcceleratorError("CUDA error: out of memory"),
    "cudnn": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cublas": lambda: RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    ),
}


class Memory:
    """What a device holds: bytes are counted once for each storage, as long as a tensor has it."""

    def __init__(self, total: int) -> None:
        self.total, self.held, self.peak = total, 0, 0
        self.operations, self.bytes_down = 0, 0
        self.fails: Callable[[int], RuntimeError | None] | None = None
        self._storages: dict[int, list[int]] = {}  # by address: users and bytes
        self._lock = threading.Lock()

    def take(self, tensor: Any, numbers: Tensor) -> None:
        """Count the storage of ``tensor`` until it is gone."""
        storage = numbers.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        with self._lock:
            users = self._storages.setdefault(address, [0, size])
            users[0] += 1
            if users[0] == 1:
                self.held += size
                self.peak = max(self.peak, self.held)
        weakref.finalize(tensor, self._give_back, address).atexit = False

    def _give_back(self, address: int) -> None:
        with self._lock:
            users = self._storages[address]
            users[0] -= 1
            if not users[0]:
                self.held -= users[1]
                del self._storages[address]

    def before(self) -> None:
        """Count an operation; raises what was planned for it, or if the limit has been passed."""
        number, self.operations = self.operations, self.operations + 1
        error = self.fails and self.fails(number)
        if error is not None:
            raise error
        if self.held > self.total:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {self.held} of {self.total} bytes.")


def once_at(number: int, kind: str) -> Callable[[int], RuntimeError | None]:
    """Run out of memory at this operation, and not again."""
    return lambda now: OUT_OF_MEMORY[kind]() if now == number else None


def always_from(number: int, kind: str) -> Callable[[int], RuntimeError | None]:
    """Run out of memory at this operation and at all later ones: there is none left."""
    return lambda now: OUT_OF_MEMORY[kind]() if now >= number else None
