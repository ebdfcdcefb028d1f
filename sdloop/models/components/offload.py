"""Keep weights on the CPU, and copy them to the GPU only while they are needed.

Weights never change, so nothing is copied back: a copy on the GPU is used and then dropped. The
libraries' own hooks exchange the data inside the parameters instead. Then a gradient meets weights
that have left, and copies of a module (for LoRAs, words, perturbed attention) run the original's
hooks. Here a copied module has the same hooks as its original, and shares its weights and copies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter, ParameterList
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from sdloop.models.components.fp8 import restore_fp8

if TYPE_CHECKING:
    from sdloop.models.components.weights import Module

# Where a module has a tensor: its own parameters or buffers, and the name there.
Slot = tuple[dict[str, Tensor | None], str]
Stored = Sequence[tuple[Slot, Tensor]]
_OFFLOAD = "_offload"
# Lists, and the last layer of torch's MultiheadAttention, in whose name it computes.
_PASSIVE = ParameterList, NonDynamicallyQuantizableLinear


class Offload:
    """Forward hooks of all layers of a module: they compute on ``device``.

    While a layer runs, copies of its weights on the device are in their place. With ``kept``, the
    copies stay there for the next run, until they are released.
    """

    def __init__(self, device: torch.device, kept: Kept | None = None) -> None:
        self.device = device
        self._kept, self._ahead = kept, Ahead(device)
        self._stored: dict[Module, Stored] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Offload:
        return self

    def attach(self, layer: Module) -> None:
        layer.register_forward_pre_hook(self._before)
        # Also after an error: the weights must be whole again when memory has run out.
        layer.register_forward_hook(self._after, always_call=True)

    def _before(self, layer: Module, _: Any) -> None:
        stored = weights_of(layer)
        if self._kept is not None:
            copies = [self._kept.copy(one, self) for _, one in stored]
        else:
            copies = self._ahead.copies(layer, stored)
        self._stored[layer] = stored
        for ((tensors, name), _), copy in zip(stored, copies, strict=True):
            tensors[name] = copy
        restore_fp8(layer)

    def _after(self, layer: Module, *_: Any) -> None:
        for (tensors, name), stored in self._stored.pop(layer, ()):
            tensors[name] = stored
        if self._kept is None:
            self._ahead.has_run()

    def release(self) -> None:
        """Drop all copies; they come back when they are needed."""
        self._ahead = Ahead(self.device)
        if self._kept is not None:
            self._kept.copies = {}


class Kept:
    """Copies of weights on a device, all of one module: where several share this, one has them.

    They are found by address, so that copies of a module share them. What they are copies of is
    kept too: so no address is used for something else.
    """

    def __init__(self) -> None:
        self.copies: dict[int, tuple[Tensor, Tensor]] = {}
        self._owner: Offload | None = None

    def copy(self, stored: Tensor, owner: Offload) -> Tensor:
        if stored.device == owner.device:
            return stored
        if self._owner is not owner:
            self._owner, self.copies = owner, {}
        key = stored.data_ptr()
        if key not in self.copies:
            self.copies[key] = stored, stored.to(owner.device, non_blocking=True)
        return self.copies[key][1]


class Ahead:
    """Copies one layer's weights, and on a CUDA device also the next one's while it computes.

    Which layer is the next is known from the first run. The CPU may not be further ahead: it waits
    for the layer before the last one, or else its copies of all layers would fill the memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        stream: Any = torch.cuda.Stream
        self._stream: Any = stream(device) if device.type == "cuda" else None
        self._last: Module | None = None
        self._next: dict[Module, Module] = {}
        self._coming: dict[Module, list[Tensor]] = {}
        self._running: deque[Any] = deque()

    def copies(self, layer: Module, stored: Stored) -> list[Tensor]:
        while len(self._running) > 1:
            self._running.popleft().synchronize()
        copies, self._coming = self._coming.pop(layer, None), {}
        if copies is None:
            copies = self._copied(stored)
        else:
            here = torch.cuda.current_stream(self._device)
            here.wait_stream(self._stream)
            for copy in copies:
                copy.record_stream(here)  # its memory is free only when this stream is done too
        if self._stream is not None:
            self._send_next(layer)
        return copies

    def has_run(self) -> None:
        """Note that a layer was queued up: what it uses is free when the device has done it."""
        if self._stream is not None:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._running.append(event)

    def _send_next(self, layer: Module) -> None:
        if self._last is not None:
            self._next[self._last] = layer
        self._last = layer
        if (coming := self._next.get(layer)) is not None:
            with torch.cuda.stream(self._stream):
                self._coming[coming] = self._copied(weights_of(coming))

    def _copied(self, stored: Stored) -> list[Tensor]:
        return [one.to(self._device, non_blocking=True) for _, one in stored]


def offload(module: Module, hooks: Offload) -> None:
    """Let ``module``, whose weights are on the CPU, compute on the device of the ``hooks``."""
    if hooks.device.type == "cuda":
        _pin(module)
    setattr(module, _OFFLOAD, hooks)
    for layer in module.modules():
        if weights_of(layer):
            hooks.attach(layer)


def attach_like(layer: Module, other: Module) -> None:
    """Let ``layer``, which takes the place of ``other``, get its own weights as that one does."""
    for hook in other._forward_pre_hooks.values():
        if isinstance(hooks := getattr(hook, "__self__", None), Offload):
            hooks.attach(layer)


def works_on(module: Module) -> torch.device:
    """The device that ``module`` computes on; its weights may wait elsewhere."""
    hooks: Offload | None = getattr(module, _OFFLOAD, None)
    device: torch.device = module.device if hooks is None else hooks.device
    return device


def release(module: Module) -> None:
    """Drop the copies of a module's weights on the device, if it has any; they come back."""
    if (hooks := getattr(module, _OFFLOAD, None)) is not None:
        hooks.release()


def remove_hooks(module: Module) -> None:
    """Undo ``offload`` for a copy that has weights of its own."""
    for part in module.modules():
        for hooks in (part._forward_pre_hooks, part._forward_hooks):
            ours = [k for k, h in hooks.items() if isinstance(getattr(h, "__self__", 0), Offload)]
            for key in ours:
                del hooks[key]
    module.__dict__.pop(_OFFLOAD, None)


def weights_of(layer: Module) -> Stored:
    """A layer's own weights, and those of its ``_PASSIVE`` parts, which never run themselves."""
    if isinstance(layer, _PASSIVE):
        return []
    passive = (child for child in layer.children() if isinstance(child, _PASSIVE))
    return [one for part in (layer, *passive) for one in _own(part)]


def _own(module: Module) -> Iterator[tuple[Slot, Tensor]]:
    for tensors in (module._parameters, module._buffers):
        for name, tensor in tensors.items():
            if tensor is not None:
                yield (tensors, name), tensor


def _pin(module: Module) -> None:
    """Let the GPU fetch the weights by itself, without the CPU waiting for it.

    The system limits how much memory can be pinned; the rest works too, only slower.
    """
    for part in module.modules():
        for (tensors, name), tensor in list(_own(part)):
            if tensor.device.type != "cpu":
                return
            try:
                pinned = tensor.detach().pin_memory()
            except RuntimeError:
                return
            is_weight = isinstance(tensor, Parameter)
            tensors[name] = Parameter(pinned, requires_grad=False) if is_weight else pinned
