"""A tensor that says it is on cuda:0, with its numbers in a CPU tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


class Pretended(torch.Tensor):
    """To Python it is on cuda:0, to C++ on the CPU; ``numbers`` has its numbers."""

    numbers: Tensor
    unready = unrecorded = False  # see ``Stream``

    @staticmethod
    def __new__(cls, numbers: Tensor, requires_grad: bool = False) -> Any:
        if isinstance(numbers, Pretended):  # as nn.Parameter(tensor) asks
            return numbers.detach().requires_grad_(requires_grad)
        made = torch.Tensor._make_wrapper_subclass(
            cls, numbers.size(), strides=numbers.stride(), storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype, layout=numbers.layout, device=CPU, requires_grad=False,
        )  # fmt: skip
        made.numbers = numbers
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def record_stream(self, stream: Any) -> None:
        self.unrecorded = False

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func}: a pretended tensor was used outside of PretendedCuda")

    def __repr__(self, **_: Any) -> str:
        return f"Pretended({tuple(self.shape)}, {self.dtype}, {self.device})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            made: Any = self.detach().clone()
            if isinstance(self, torch.nn.Parameter):
                made = torch.nn.Parameter(made, self.requires_grad)
            memo[id(self)] = made
        return memo[id(self)]


def numbers_of(value: Any) -> Any:
    return value.numbers if isinstance(value, Pretended) else value


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """``change`` of all tensors in the arguments or the result of an operation.

    torch's own ``tree_map`` takes as long as the operations of tiny models.
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([changed(one, change) for one in value])
    if isinstance(value, dict):
        return {name: changed(one, change) for name, one in value.items()}
    return value


def rounded_as_tf32(value: Any) -> Any:
    """Float32 with ten bits of mantissa, to the nearest, as a tensor core reads it."""
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    bits = value.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32).reshape(value.shape)
