"""The pretended device: every operation of torch passes here."""

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NoReturn, Self
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.pretended_cuda.functions import Functions, is_pinned, lifted, was_named
from helpers.pretended_cuda.memory import Memory
from helpers.pretended_cuda.places import place
from helpers.pretended_cuda.streams import Stream
from helpers.pretended_cuda.tensor import CUDA, Pretended, changed, numbers_of, rounded_as_tf32

aten = torch.ops.aten

# Takes indices that may be on the CPU: CUDA copies them up, and waits.
_INDEXED = {
    *(aten.index.Tensor, aten.index_put.default, aten.index_put_.default),
    *(aten._index_put_impl_.default, aten._unsafe_index.Tensor),
}
# The CPU must know the result, or its size.
_READ = {aten._local_scalar_dense.default, aten.item.default}
_SIZED = {
    *(aten.nonzero.default, aten.masked_select.default, aten._unique2.default),
    *(aten.unique_dim.default, aten.unique_consecutive.default, aten.equal.default),
    *(aten.is_nonzero.default, aten.repeat_interleave.Tensor, aten.bincount.default),
    aten._linalg_check_errors.default,  # reads whether a matrix was singular
}


class PretendedCuda(TorchDispatchMode):
    """Enter it before anything is loaded to "cuda". It is for one process, and all its threads.

    ``waits`` counts (kind, place), and ``memory`` the bytes. ``operations`` counts by name what
    ran, and ``free_choices`` what ran while torch did not ask for deterministic kernels. ``tf32``
    is what the hardware could do (Ampere and later); whether it does so is torch's own setting.
    ``total_memory`` is the card's, in bytes.
    """

    def __init__(
        self, *, bf16: bool = True, tf32: bool = True, total_memory: int = 8 << 30
    ) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()
        self.operations: Counter[str] = Counter()
        self._coming: list[tuple[Tensor, Tensor]] = []
        self.free_choices: Counter[str] = Counter()
        self.memory = Memory(total_memory)
        self.bf16, self.tf32 = bf16, tf32
        self.devices_used: list[Any] = []  # what set_device was called with
        self._stream = Stream(is_usual=True)

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        enter = self._stack.enter_context
        for name, value in self._driver().items():
            enter(mock.patch.object(torch.cuda, name, value))
        self._as_if_foreach()
        self._in_all_threads()
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        self._stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, before)
        for backend, name in _SETTINGS:
            self._stack.callback(setattr, backend, name, getattr(backend, name))
        enter(lifted())
        super().__enter__()
        enter(Functions(self._refuse))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()
        super().__exit__(*error)

    def _driver(self) -> dict[str, Any]:
        """What torch.cuda would ask the driver."""
        return {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "set_device": self.devices_used.append,
            "is_initialized": lambda: True,
            "_lazy_init": lambda: None,
            "_is_in_bad_fork": lambda: False,
            "_exchange_device": lambda device: 0,
            "_maybe_exchange_device": lambda device: 0,
            "is_bf16_supported": lambda including_emulation=True: self.bf16,
            "get_device_capability": lambda device=None: (8, 0),
            "get_device_properties": lambda device=None: SimpleNamespace(
                name="Pretended", total_memory=self.memory.total, major=8, minor=0
            ),
            "empty_cache": lambda: None,
            "Event": self._event,
            "mem_get_info": lambda device=None: (
                self.memory.total - self.memory.held,
                self.memory.total,
            ),
            "memory_reserved": lambda device=None: self.memory.held,
            "Stream": Stream,
            "stream": self._within,
            "current_stream": lambda device=None: self._stream,
            "synchronize": lambda device=None: self._wait("synchronize"),
            "reset_peak_memory_stats": self._reset_peak,
            "max_memory_allocated": lambda device=None: self.memory.peak,
            "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
            "set_rng_state": lambda state, device=None: None,
        }

    def _reset_peak(self, device: Any = None) -> None:
        self.memory.peak = self.memory.held

    def _as_if_foreach(self) -> None:
        """Optimisers take their way for CUDA, with all parameters at once."""
        from torch.utils import _foreach_utils as foreach

        types = [*foreach._foreach_supported_types, Pretended]
        for module in (foreach, sys.modules["torch.optim.optimizer"]):
            patched = mock.patch.object(module, "_foreach_supported_types", types)
            self._stack.enter_context(patched)

    def _in_all_threads(self) -> None:
        """Modes belong to a thread: one that decodes gets them too."""
        run, mode = threading.Thread.run, self

        def within(thread: threading.Thread) -> None:
            with lifted(), _Joined(mode), Functions(mode._refuse):
                run(thread)

        self._stack.enter_context(mock.patch.object(threading.Thread, "run", within))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors: list[Any] = []
        changed((args, kwargs), tensors.append)
        ours = any(isinstance(one, Pretended) for one in tensors)
        to = kwargs.get("device")
        to = None if to is None else torch.device(to)
        if kwargs.get("pin_memory"):  # there is none on a CPU build
            kwargs["pin_memory"] = False
        if not ours and (to is None or to.type != "cuda"):
            return func(*args, **kwargs)
        if func in _READ:
            self._wait("read of a number")
            return func(*map(numbers_of, args))
        if func is aten._to_copy.default:
            return self._copied(func, args[0], kwargs, to)
        if func in (aten.copy_.default, aten.copy.default):
            return self._copied_into(func, *args, **kwargs)
        return self._run(func, args, kwargs, tensors, to)

    def _run(self, func: Any, args: Any, kwargs: Any, tensors: Any, to: Any) -> Any:
        """Check the operands, and let the CPU's kernel compute."""
        if func in _SIZED:
            self._wait(f"size of {func}")
        # C++ takes a device that nobody named for the CPU, where we are in its eyes.
        ours = any(isinstance(one, Pretended) for one in tensors)
        where = CUDA if ours and (to is None or to.type != "meta") else to
        if ours:
            self._check(func, args, tensors)
        self._check_generator(func, kwargs.get("generator"), where)
        if to is not None:
            kwargs["device"] = "meta" if where.type == "meta" else "cpu"
        name = func._schema.name.removeprefix("aten::")
        if name not in _FREE:
            self.operations[name] += 1
            if not torch.are_deterministic_algorithms_enabled():
                self.free_choices[name] += 1
            self.memory.before()
        inputs, named = changed(args, numbers_of), changed(kwargs, numbers_of)
        if self.tf32 and self._as_tf32(name):
            inputs = changed(inputs, rounded_as_tf32)
        result = func(*inputs, **named)
        if func._schema.is_mutable:
            return self._given(func, args, kwargs, result)
        return result if where.type != "cuda" else changed(result, self._pretended)

    def _as_tf32(self, name: str) -> bool:
        if "convolution" in name:
            return bool(torch.backends.cudnn.conv.fp32_precision == "tf32")
        return name in _MATMULS and torch.backends.cuda.matmul.fp32_precision == "tf32"

    def _check(self, func: Any, args: Any, tensors: Any) -> None:
        """What CUDA checks about where the operands are, and that their streams have ended."""
        if not all(self._stream.may_use(one) for one in tensors):
            self._refuse(f"{func}: a tensor of another stream, which was not waited for")
        strangers = [one for one in tensors if not isinstance(one, Pretended)]
        indexed = func in _INDEXED
        if indexed and isinstance(args[0], Pretended):
            indices = [one for one in args[1] if one is not None]
            from_cpu = {id(one) for one in indices if not isinstance(one, Pretended)}
            if from_cpu:
                self._wait("indices copied up")
            masked = any(one.dtype in (torch.bool, torch.uint8) for one in indices)
            # A number for all places of a mask is filled in: its places are not counted.
            filled = len(args) > 2 and not isinstance(args[2], Pretended) and not args[2].dim()
            if masked and not filled:
                self._wait("size of a mask")
            strangers = [one for one in strangers if id(one) not in from_cpu]
        bad = [one for one in strangers if one.dim() or one.device.type != "cpu"]
        if (func._schema.is_mutable and not isinstance(tensors[0], Pretended)) or (
            indexed and not isinstance(args[0], Pretended)
        ):
            bad.append(tensors[0])
        if bad:
            told = ", ".join(f"{tuple(one.shape)} on {one.device}" for one in tensors)
            self._refuse(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and cpu! ({func} of {told})"
            )

    def _check_generator(self, func: Any, generator: Any, where: torch.device) -> None:
        if generator is not None and generator.device.type != where.type:
            self._refuse(
                f"Expected a '{where.type}' device type for generator but found "
                f"'{generator.device.type}' ({func})"
            )

    def _copied(self, func: Any, source: Any, kwargs: dict[str, Any], to: Any) -> Any:
        kwargs.pop("device", None), kwargs.pop("pin_memory", None)
        free = kwargs.pop("non_blocking", False)
        # The backward pass of a change of dtype names the device too, as C++ knows it.
        if to is None or (to.type == "cpu" and not was_named()):
            to = source.device
        if source.device.type != to.type and "meta" not in (source.device.type, to.type):
            up = to.type == "cuda"
            if not (up and free and is_pinned(source)):
                self._wait("copy up" if up else "copy down")
            self.memory.bytes_down += 0 if up else source.nbytes
        if to.type == "cuda":
            self.operations["_to_copy"] += 1
            self.memory.before()
        numbers = func(numbers_of(source), **kwargs)
        return self._pretended(numbers) if to.type == "cuda" else numbers

    def _copied_into(self, func: Any, into: Any, source: Any, non_blocking: bool = False) -> Any:
        up, down = into.device.type == "cuda", source.device.type == "cuda"
        if up != down and source.device.type != "meta":
            if down and non_blocking and is_pinned(into):
                self._coming.append((into, source.numbers.clone()))  # there after an event
                return into
            if not (up and non_blocking and is_pinned(source)):
                self._wait("copy up" if up else "copy down")
        done = func(numbers_of(into), numbers_of(source))
        return into if func is aten.copy_.default else self._pretended(done)

    def _event(self) -> Any:
        """Memory that a copy down goes to holds other numbers until its event has been waited for.

        This waits for work of the past, but not for what was queued up after it.
        """
        return SimpleNamespace(record=lambda: None, synchronize=self._arrive)

    def _arrive(self) -> None:
        coming, self._coming = self._coming, []
        for into, numbers in coming:
            into.copy_(numbers)

    @contextlib.contextmanager
    def _within(self, stream: "Stream") -> Iterator[None]:
        """What is made inside is not there for the usual stream before that has waited for it."""
        before, self._stream = self._stream, stream
        try:
            yield
        finally:
            self._stream = before

    def _pretended(self, one: Any) -> Any:
        if not isinstance(one, Tensor) or isinstance(one, Pretended):
            return one
        made = Pretended(one)
        self._stream.make(made)
        self.memory.take(made, one)
        return made

    def _given(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        """Operations in place return the very tensors that they were given."""
        written = [
            kwargs.get(argument.name, args[i] if i < len(args) else None)
            for i, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        returns = func._schema.returns
        if len(returns) <= 1:
            return written[0] if returns else None
        outs = iter(written)
        return tuple(
            next(outs) if r.alias_info is not None and r.alias_info.is_write else self._pretended(o)
            for r, o in zip(returns, result, strict=True)
        )

    def _wait(self, kind: str) -> None:
        self.waits[kind, place()] += 1

    def _refuse(self, text: str) -> NoReturn:
        raise RuntimeError(f"{text} [at {place()}]")


class _Joined(TorchDispatchMode):
    """The same mode in another thread."""

    def __init__(self, mode: PretendedCuda) -> None:
        super().__init__()
        self._mode = mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._mode.__torch_dispatch__(func, types, args, kwargs)


# Of the process; loading a model to a CUDA device sets them.
_SETTINGS = (
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "deterministic"),
)
_MATMULS = {"mm", "addmm", "bmm", "baddbmm", "linear"}
# No kernel runs.
_FREE = {
    *("view", "_unsafe_view", "permute", "transpose", "t", "expand", "slice", "select", "alias"),
    *("unsqueeze", "squeeze", "detach", "split", "split_with_sizes", "unbind", "as_strided"),
    *("lift_fresh", "diagonal", "_reshape_alias"),
}
