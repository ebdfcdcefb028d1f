"""Count the bytes of all tensors that live at the same time.

Attention counts as fused, without its matrix of all pairs. On torch's meta device, whose tensors
have sizes but no numbers, this takes no memory.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
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
            return _Fused.apply(*args[:3])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


@contextmanager
def fused_within(*modules: Any) -> Iterator[None]:
    """Attention is fused in ``modules`` when a block runs again for its gradient, too.

    Torch takes such modes away while it computes gradients. Their hooks bring it back.
    """
    mode = FusedAttention()

    def enter(*_: Any) -> None:
        mode.__enter__()  # type: ignore[no-untyped-call]

    def leave(*_: Any) -> None:
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    with ExitStack() as stack:
        for layer in (one for module in modules for one in module.modules()):
            if isinstance(layer, Attention):
                stack.callback(layer.register_forward_pre_hook(enter).remove)
                stack.callback(layer.register_forward_hook(leave, always_call=True).remove)
        yield


class _Fused(torch.autograd.Function):
    """Only the sizes of its results, and what is kept for the gradients."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(one) for one in ctx.saved_tensors[:3])


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
