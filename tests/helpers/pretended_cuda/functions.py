"""What torch's C++ would decide by where it takes a tensor to be, before any operation runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from helpers.pretended_cuda.tensor import CPU, CUDA, Pretended

aten = torch.ops.aten
_NEW = {Tensor.new_zeros, Tensor.new_ones, Tensor.new_empty, Tensor.new_full}
_ASKED = threading.local()


def pinned(tensor: Tensor) -> Tensor:
    storage: Any = tensor.untyped_storage()
    storage.is_pretended_pinned = True
    return tensor


def is_pinned(tensor: Tensor) -> bool:
    return getattr(tensor.untyped_storage(), "is_pretended_pinned", False)


def was_named() -> bool:
    """Whether the copy that runs now was asked for by naming a device."""
    return bool(getattr(_ASKED, "by_name", False))


class Functions(TorchFunctionMode):
    """Rewrites calls that name a device; ``refuse`` raises, with a message."""

    def __init__(self, refuse: Any) -> None:
        super().__init__()
        self._refuse = refuse

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None and func is not Tensor.to:
            kwargs["device"] = numbered(kwargs["device"])
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if func is Tensor.pin_memory:
            return pinned(args[0].clone())
        if kwargs.get("pin_memory"):
            return pinned(func(*args, **kwargs | {"pin_memory": False}))
        if first is not None and func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            device, dtype, free = _asked(func, *args[1:], **kwargs)
            if device is not None and device != first.device and device.type in ("cpu", "cuda"):
                return _moved(first, device, dtype, free)
            if isinstance(first, Pretended) and device in (None, CUDA):
                same = dtype in (None, first.dtype)
                return first if same else aten._to_copy.default(first, dtype=dtype)
        if isinstance(first, Pretended):
            return self._of_pretended(func, first, args[1:], kwargs)
        return func(*args, **kwargs)

    def _of_pretended(self, func: Any, first: Any, rest: Any, kwargs: dict[str, Any]) -> Any:
        if func is Tensor.tolist:
            return _moved(first, CPU, None, False).tolist()
        if func in (Tensor.numpy, Tensor.__array__):
            self._refuse("can't convert cuda:0 device type tensor to numpy")
        if func in (torch.quantile, Tensor.quantile) and isinstance(rest[0], float):
            # C++ makes the number a tensor, with the options of the first.
            share = aten.full.default((), rest[0], dtype=first.dtype, device=CUDA)
            return func(first, share, *rest[1:], **kwargs)
        if func is Tensor.new_tensor:
            return torch.tensor(*rest, **{"dtype": first.dtype, "device": CUDA} | kwargs)
        if func in _NEW and "device" in kwargs:
            like = getattr(torch, func.__name__.removeprefix("new_"))
            return like(*rest, **{"dtype": first.dtype} | kwargs)
        return func(first, *rest, **kwargs)


def _moved(tensor: Any, device: torch.device, dtype: torch.dtype | None, free: bool) -> Any:
    if tensor.requires_grad and torch.is_grad_enabled():
        return _Move.apply(tensor, device, dtype, free)
    options: dict[str, Any] = {"device": device, "non_blocking": free}
    options |= {} if dtype is None else {"dtype": dtype}
    _ASKED.by_name = True
    try:
        return aten._to_copy.default(tensor, **options)
    finally:
        _ASKED.by_name = False


class _Move(torch.autograd.Function):
    """A move with a gradient that goes back to where the tensor was, which C++ does not know."""

    @staticmethod
    def forward(ctx: Any, tensor: Any, device: Any, dtype: Any, free: bool) -> Any:
        ctx.back = tensor.device, tensor.dtype
        return _moved(tensor.detach(), device, dtype, free)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return _moved(gradient, *ctx.back, False), None, None, None


def numbered(device: Any) -> torch.device:
    """C++ would ask the driver which one "cuda" is."""
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return CUDA if device.type == "cuda" else device


def _asked(func: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
    """Device, dtype and non_blocking of ``.to(…)``, ``.cpu()`` or ``.cuda()``."""
    free = kwargs.get("non_blocking", any(one is True for one in args))
    if func is not Tensor.to:
        return (CPU if func is Tensor.cpu else CUDA), None, free
    device = dtype = None
    for one in (*args, *(kwargs.get(name) for name in ("device", "dtype", "other"))):
        if isinstance(one, Tensor):
            device, dtype = one.device, one.dtype
        elif isinstance(one, torch.dtype):
            dtype = one
        elif isinstance(one, torch.device | str) or (
            isinstance(one, int) and not isinstance(one, bool)
        ):
            device = numbered(one)
    return device, dtype, free


@contextmanager
def lifted() -> Iterator[None]:
    """``torch.tensor(…, device="cuda")`` is made on the CPU, and then copied by an operation."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
