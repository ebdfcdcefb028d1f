"""Copies of modules: one that shares the original's weights, one on the CPU, one of sizes."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdloop.models.components.compiled import Compiled
from sdloop.models.components.offload import remove_hooks
from sdloop.models.components.weights import Module


def shell(module: Module) -> Module:
    """A copy of ``module`` that shares the original's parameters and buffers.

    What is compiled in ``module`` is compiled in the copy too, when it runs for the first time.
    """
    twin = _copied(module, lambda tensor: tensor)
    for here, there in zip(module.modules(), twin.modules(), strict=True):
        if here._compiled_call_impl is not None:  # Module.compile(), which copy.deepcopy leaves out
            there._compiled_call_impl = _compiler(here._compiled_call_impl)(there._call_impl)
    return twin


def on_cpu(module: Module) -> Module:
    """A copy of ``module`` on the CPU, in float32; the original stays where it is."""
    copied = _copied(
        module,
        lambda tensor: tensor.to("cpu", torch.float32 if tensor.is_floating_point() else None),
    )
    remove_hooks(copied)
    return copied


def on_meta(module: Module) -> Module:
    """A copy of ``module`` whose tensors have sizes but no numbers."""
    dtype = module.dtype
    copied = _copied(
        module, lambda tensor: tensor.to("meta", dtype if tensor.is_floating_point() else None)
    )
    remove_hooks(copied)
    return copied


def _copied(module: Module, change: Callable[[Tensor], Tensor]) -> Module:
    memo: dict[int, Any] = {
        id(p): torch.nn.Parameter(change(p.data), requires_grad=p.requires_grad)
        for p in module.parameters()
    }
    memo |= {id(buffer): change(buffer) for buffer in module.buffers()}
    return copy.deepcopy(module, memo)


def _compiler(compiled: Any) -> Callable[[Any], Any]:
    """What makes such a ``compiled`` call of another module's; torch's own has no name for it."""
    if isinstance(compiled, Compiled):
        return compiled.of
    names = inspect.getclosurevars(compiled.get_compiler_config).nonlocals
    compiler: Callable[[Any], Any] = names["self"]
    return compiler
