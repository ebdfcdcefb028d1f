"""Compile a module that runs in each step: its transformer blocks, or all of it.

Compiled code rounds in another order, so the last bits of a picture differ.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from torch.utils._pytree import tree_map_only

from sdloop.errors import SettingError
from sdloop.models.checkpoint.hash_cache import cache_folder
from sdloop.models.components.weights import Module
from sdloop.models.memory import is_out_of_memory

Run = Callable[..., Any]

# Variants of a module: other widths, numbers of rows and LoRAs. torch's own limit is 8.
_VARIANTS = 64


class Compiled:
    """Runs instead of a module's ``_call_impl``: compiled when it is first called.

    It is compiled anew for inputs of another kind. With gradients the original runs: torch 2.13
    gives wrong ones for compiled UNets whose channels are last in memory.
    """

    def __init__(self, run: Run, how: str, device: torch.device) -> None:
        self._run, self._how, self._device = run, how, device
        options = compiler_options(how, device)
        self._compiled: Run = torch.compile(run, fullgraph=True, **options)

    def of(self, run: Run) -> "Compiled":
        """The same for the ``_call_impl`` of another module."""
        return Compiled(run, self._how, self._device)

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        if torch.is_grad_enabled():
            return self._run(*args, **inputs)
        if not self._has_graphs:
            return self._compiled_run(*args, **inputs)
        # The next call of a CUDA graph writes its result to the same place.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return tree_map_only(Tensor, Tensor.clone, self._compiled_run(*args, **inputs))

    @property
    def _has_graphs(self) -> bool:
        return self._how == "whole" and self._device.type == "cuda"

    def _compiled_run(self, *args: Any, **inputs: Any) -> Any:
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        try:
            return self._compiled(*args, **inputs)
        except (FailOnRecompileLimitHit, TorchDynamoException) as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            cause = getattr(error, "inner_exception", error)
            reason = str(cause).strip().partition("\n")[0]
            raise SettingError(f"compile {self._how} does not work here: {reason}") from error


def compiler_options(how: str, device: torch.device) -> dict[str, Any]:
    """How torch compiles: with CUDA graphs if it is the whole UNet on a CUDA device."""
    return {"mode": "max-autotune"} if how == "whole" and device.type == "cuda" else {}


def wants_channels_last(how: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions should have their channels last: tensor cores compute them so.

    Not without compiling: the group norm before each convolution would turn them back.
    """
    return how == "whole" and device.type == "cuda" and dtype != torch.float32


def compile_module(module: Module, how: str, device: torch.device) -> Module:
    """Return ``module``, which from now on runs compiled: "whole", or "regional"; or not: "off".

    Regional is ``compile_repeated_blocks(fullgraph=True)`` of diffusers, and takes a fraction of
    the time: equal blocks share their code. What was compiled stays in sdloop's cache folder.
    """
    if how == "off":
        return module
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    import torch._dynamo.config as limits

    limits.recompile_limit = max(limits.recompile_limit, _VARIANTS)
    if wants_channels_last(how, device, module.dtype):
        # Otherwise the compiled code would convert the weights in each step.
        module.to(memory_format=torch.channels_last)
    for region in [module] if how == "whole" else _repeated(module):
        region._compiled_call_impl = Compiled(region._call_impl, how, device)
    return module


def _repeated(module: Module) -> Iterator[Module]:
    """diffusers names them for UNets only; ControlNets have the same."""
    names = UNet2DConditionModel._repeated_blocks
    return (part for part in module.modules() if type(part).__name__ in names)


def check_compiler() -> None:
    """Raise ``SettingError`` if there is no C++ compiler, which torch needs to compile."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise SettingError(
            "compile needs a C++ compiler, and none is found: install g++ or clang++, or name "
            "yours in the variable CXX"
        ) from error
