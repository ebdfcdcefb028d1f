"""Count the bytes of all tensors that live at the same time.

Attention counts as fused, without its matrix of all pairs. On torch's meta device, whose tensors
have sizes but no numbers, this takes no memory.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


@torch.no_grad()
def counted_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that live at the same time while ``run`` runs, without weights."""
    with FusedAttention(), _Counting() as counting:
        run()
    peak: int = counting.peak
    return peak


class FusedAttention(TorchFunctionMode):
    """Attention as kernels for GPUs compute it: its matrix never exists."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, _, value, *_ = args
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of each storage that an operation makes, until its last tensor is gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = self.peak = 0
        self._tensors: dict[int, int] = {}  # by storage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, list | tuple) else (result,):
            if isinstance(one, Tensor) and not isinstance(one, torch.nn.Parameter):
                self._take(one)
        return result

    def _take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._tensors:
            self.held += size
            self.peak = max(self.peak, self.held)
        self._tensors[key] = self._tensors.get(key, 0) + 1
        weakref.finalize(tensor, self._drop, key, size).atexit = False

    def _drop(self, key: int, size: int) -> None:
        self._tensors[key] -= 1
        if not self._tensors[key]:
            del self._tensors[key]
            self.held -= size
