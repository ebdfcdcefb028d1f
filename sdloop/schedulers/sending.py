"""Numbers on their way to a GPU and back, without the CPU waiting for it.

A GPU works through a queue that the CPU fills. A plain copy up, or the reading of a number, lets
the CPU wait until the queue is empty, and then the GPU waits for the CPU. From pinned memory,
copies queue up like all other work; and a number that is read one step later is there already.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

T = TypeVar("T")
About = TypeVar("About")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor.to(device)``, without waiting."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def constant(values: float | Sequence[float], like: Tensor) -> Tensor:
    """``like.new_tensor(values)``, without waiting."""
    return sent(torch.tensor(values, dtype=like.dtype), like.device)


def without_waits(scheduler: Any, device: torch.device) -> None:
    """Let the methods of this ``scheduler`` send to a CUDA device without waiting.

    diffusers' schedulers send noise, and a few numbers for each step. On other devices the
    scheduler stays as it is.
    """
    if device.type == "cuda":
        for name in ("step", "add_noise"):
            if hasattr(scheduler, name):
                setattr(scheduler, name, _sending(getattr(scheduler, name)))


def _sending(method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def sending(*args: Any, **kwargs: Any) -> T:
        with _Sending():
            return method(*args, **kwargs)

    return sending


class _Sending(TorchFunctionMode):
    """Turns calls of torch that would wait into their equals that do not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        if func is Tensor.to and isinstance(first, Tensor) and _goes_up(first, args[1:], kwargs):
            return func(first.pin_memory(), *args[1:], **kwargs | {"non_blocking": True})
        if func in (torch.tensor, torch.as_tensor) and _is_cuda(kwargs.get("device")):
            device = torch.device(kwargs.pop("device"))
            made = func(*args, **kwargs)
            return sent(made, device)
        if func is Tensor.__getitem__ and first is not None and isinstance(args[1], list):
            return first[sent(torch.tensor(args[1]), first.device)]
        if func is torch.linalg.solve and args[0].is_cuda:
            return torch.linalg.solve_ex(*args, **kwargs).result  # it does not read an error code
        return func(*args, **kwargs)


def _goes_up(tensor: Tensor, rest: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether ``tensor.to(…)`` copies from the CPU to a CUDA device."""
    given = (*rest, kwargs.get("device"), kwargs.get("other"))
    return tensor.device.type == "cpu" and any(map(_is_cuda, given))


def _is_cuda(given: Any) -> bool:
    if isinstance(given, Tensor):
        return given.is_cuda
    if isinstance(given, str):
        return given.startswith("cuda")
    return isinstance(given, torch.device) and given.type == "cuda"


class Late(Generic[About]):
    """Values of a GPU, read one step later; on other devices they are read at once.

    Each comes with what it is ``about``.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Any, About]] = []

    def __call__(self, value: Tensor, about: About) -> list[tuple[Tensor, About]]:
        """The value of the call before, on the CPU; nothing at the first call."""
        if value.device.type != "cuda":
            return [(value, about)]
        before = self.rest()
        there = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        there.copy_(value, non_blocking=True)
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._waiting.append((there, event, about))
        return before

    def rest(self) -> list[tuple[Tensor, About]]:
        """What has not been read yet, at the end."""
        waiting, self._waiting = self._waiting, []
        for _, event, _ in waiting:
            event.synchronize()
        return [(there, about) for there, _, about in waiting]
