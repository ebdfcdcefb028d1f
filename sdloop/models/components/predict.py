"""Predict how much of a GPU's memory a model takes: its weights, and counted activations.

The modules run on torch's meta device, whose tensors have sizes but no numbers, and the bytes of
all living tensors are counted. Attention counts as fused, without its matrix of all pairs. Not
counted are the workspaces of cuDNN and cuBLAS, what torch's allocator cannot use for being in
pieces, and CUDA's own context of about 0.5 GB.
"""

import math
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.device import vae_dtype
from sdloop.models.components.fp8 import to_fp8
from sdloop.models.components.offload import weights_of, works_on
from sdloop.models.components.weights import Module, empty_module
from sdloop.models.memory_names import MEMORY, check_memory

# Free memory of more than this many times the weights is enough for a picture of the usual size.
_PLENTY = 3
# For what is not counted.
_MARGIN = 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """Bytes by part: all weights, those of the largest layer, and the peak of activations."""

    weights: Mapping[str, int]
    layers: Mapping[str, int]
    activations: Mapping[str, int]

    def peak(self, memory: str) -> int:
        """The predicted peak with ``memory``, which is one of ``MEMORY``."""
        if memory == "full":
            return sum(self.weights.values()) + max(self.activations.values())
        return max(
            self.activations.get(part, 0)
            # Layer by layer, three layers' weights are there: see ``Ahead``.
            + (all_ if memory == "low" and part == "unet" else 3 * self.layers[part])
            for part, all_ in self.weights.items()
        )


def needs_of(
    configs: Mapping[str, Mapping[str, Any]],
    *,
    size: tuple[int, int],
    dtype: torch.dtype,
    of_vae: torch.dtype | None = None,
    rows: int = 2,
    fp8: bool = False,
) -> Needs:
    """What a model with these configs needs for one picture of ``size``, in pixels.

    ``rows`` are those of the UNet's batch: two for a picture with guidance. ``of_vae`` is the VAE's
    dtype, if it has another one; a picture is decoded in one piece. With ``fp8``, the UNet's
    weights are stored in 8 bits.
    """
    kinds = {part: dtype for part in configs if part in ("unet", "text_encoder", "text_encoder_2")}
    kinds["vae"] = dtype if of_vae is None else of_vae
    modules = {
        part: _cast(empty_module(part, configs[part], part), kind) for part, kind in kinds.items()
    }
    factor = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    width, height = size[0] // factor, size[1] // factor
    activations = {
        "unet": counted_bytes(lambda: run_unet(modules["unet"], rows, height, width)),
        "vae": counted_bytes(lambda: decode(modules["vae"], height, width)),
    }
    layers = {part: _largest_layer(module) for part, module in modules.items()}
    if fp8:
        activations["unet"] += layers["unet"]  # the restored weights of a layer
        to_fp8(modules["unet"])
        layers["unet"] = _largest_layer(modules["unet"])
    weights = {
        part: sum(one.nbytes for one in (*module.parameters(), *module.buffers()))
        for part, module in modules.items()
    }
    return Needs(weights=weights, layers=layers, activations=activations)


def pick_memory(
    name: str, model: Checkpoint, device: torch.device, dtype: torch.dtype, *, fp8: bool
) -> str:
    """Which weights stay on ``device``: full, low or lowest; auto is the first that fits.

    Raises ``SettingError`` for another name, and for one that would have no effect.
    """
    check_memory(name, device.type)
    if device.type != "cuda":
        return "full"
    if name != "auto":
        return name
    free, _ = torch.cuda.mem_get_info(device)
    if free > _PLENTY * _most_weights(model) * dtype.itemsize:
        return "full"
    needs = needs_of(
        model.configs,
        size=model.native_size,
        dtype=dtype,
        of_vae=vae_dtype(model, dtype),
        fp8=fp8,
    )
    peaks = {memory: int(needs.peak(memory) * _MARGIN) for memory in MEMORY}
    chosen = next((memory for memory in MEMORY if peaks[memory] <= free), MEMORY[-1])
    if chosen != "full":
        warnings.warn(
            f"{free / 2**30:.1f} GB of GPU memory are free, and the model needs about "
            f"{peaks['full'] / 2**30:.1f} GB: memory {chosen}, which needs about "
            f"{peaks[chosen] / 2**30:.1f} GB",
            RuntimeWarning,
            stacklevel=3,
        )
    return chosen


def _most_weights(model: Checkpoint) -> int:
    """The number of all numbers in the model's files; some may not be needed."""
    files = {file for part in model.weights.values() for file in part}
    own = sum(math.prod(shape) for file in files for shape in read_header(file).tensors.values())
    return own + (0 if model.refiner is None else _most_weights(model.refiner))


def _cast(module: Module, dtype: torch.dtype) -> Module:
    for weights in module.parameters():
        weights.data = weights.data.to(dtype)
    return module


def _largest_layer(module: Module) -> int:
    sizes = ([one.nbytes for _, one in weights_of(layer)] for layer in module.modules())
    return max(map(sum, sizes))


def run_unet(unet: Module, rows: int, height: int, width: int) -> None:
    """One forward pass, with inputs of zeros as its config asks for, where the UNet works."""
    config, place = unet.config, works_on(unet)
    like: dict[str, Any] = {"device": place, "dtype": unet.dtype}
    inputs: dict[str, Any] = {}
    if config.addition_embed_type == "text_time":
        ids = 6 * config.addition_time_embed_dim
        pooled = config.projection_class_embeddings_input_dim - ids
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.zeros(rows, pooled, **like),
            "time_ids": torch.zeros(rows, 6, **like),
        }
    if config.num_class_embeds is not None:
        inputs["class_labels"] = torch.zeros(rows, dtype=torch.long, device=place)
    if config.time_cond_proj_dim is not None:
        inputs["timestep_cond"] = torch.zeros(rows, config.time_cond_proj_dim, **like)
    unet(
        torch.zeros(rows, config.in_channels, height, width, **like),
        torch.zeros((), device=place),
        encoder_hidden_states=torch.zeros(rows, 77, config.cross_attention_dim, **like),
        return_dict=False,
        **inputs,
    )


def decode(vae: Module, height: int, width: int) -> None:
    """Decode one picture of this many latents, where the VAE works."""
    like: dict[str, Any] = {"device": works_on(vae), "dtype": vae.dtype}
    vae.decode(torch.zeros(1, vae.config.latent_channels, height, width, **like))


@torch.no_grad()
def counted_bytes(run: Callable[[], None]) -> int:
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
