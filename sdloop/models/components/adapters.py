"""Add LoRAs to Components without changing the original modules.

A LoRA adds the product of two thin matrices to a layer's output: peft adds it to the layers,
diffusers reads the files and maps the names. Both work in place. Here they get a shell: new modules
that share the model's tensors. So the original Components stay immutable and can still be used,
even at the same time.

Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
"""

import copy
import importlib.util
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging as bars

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.lora import LoraFile, check_lora
from sdloop.models.components.load import Components
from sdloop.models.components.weights import Module, check_finite, read_tensors
from sdloop.schedulers.quiet import quiet

_PARTS = ("unet", "text_encoder", "text_encoder_2")


def adapted(components: Components, loras: Sequence[tuple[LoraFile, float]]) -> Components:
    """``components`` with each LoRA added at its scale, in order.

    The weights are shared, the modules are not. A LoRA with scale 0 is left out, so that the result
    is bit-equal to one without it.

    Raises ``SettingError`` without peft, ``ModelError`` for a LoRA with a tensor that does not fit
    the model, or that is not finite.
    """
    for file, _ in loras:
        if components.checkpoint is not None:
            check_lora(file, components.checkpoint)
    active = [(file, scale) for file, scale in loras if scale]
    if not active:
        return components
    if importlib.util.find_spec("peft") is None:
        raise SettingError("loras need peft: pip install 'sdloop[lora]'")
    whole = {part: getattr(components, part) for part in _PARTS}
    shells = {part: shell(module) for part, module in whole.items() if module is not None}
    scales: dict[str, dict[str, float]] = {part: {} for part in shells}
    with quiet(), _no_bars(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Already found a `peft_config`"
        )  # for every LoRA after the first
        for number, (file, scale) in enumerate(active):
            name = f"lora_{number}"
            for part in _add(shells, file, name):
                scales[part][name] = scale
        for part, named in scales.items():
            _set_scales(shells[part], named)
    return replace(components, **shells)


def shell(module: Module) -> Module:
    """A copy of ``module`` that shares the original's parameters and buffers."""
    memo: dict[int, Any] = {
        id(p): torch.nn.Parameter(p.data, requires_grad=p.requires_grad)
        for p in module.parameters()
    }
    memo |= {id(buffer): buffer for buffer in module.buffers()}
    return copy.deepcopy(module, memo)


def _add(shells: Mapping[str, Module], file: LoraFile, adapter: str) -> list[str]:
    """Add one LoRA to the parts that it changes, still without a scale; returns these parts."""
    tensors, alphas, metadata = _read(file.path, shells["unet"].config)
    parts = _check(tensors, shells, file.name)
    for part in parts:
        _load(tensors, part, shells[part], alphas, metadata, adapter)
        given = sum(name.startswith(f"{part}.") for name in tensors)
        placed = sum(f".{adapter}." in name for name, _ in shells[part].named_parameters())
        if placed != given:
            raise ModelError(f"{file.name}: only {placed} of {given} tensors fit the {part}")
    return parts


def _load(
    tensors: Mapping[str, Tensor], part: str, shell: Module, alphas: Any, metadata: Any, name: str
) -> None:
    """Load the tensors of one part into its layers, with diffusers' own loaders."""
    from diffusers.loaders.lora_pipeline import StableDiffusionXLLoraLoaderMixin as Loader

    options = {"network_alphas": alphas, "metadata": metadata, "adapter_name": name}
    options["low_cpu_mem_usage"] = True  # skips random initialisation
    if part == "unet":
        Loader.load_lora_into_unet(tensors, unet=shell, **options)
    else:
        Loader.load_lora_into_text_encoder(tensors, text_encoder=shell, prefix=part, **options)


def _read(path: Path, unet_config: Any) -> tuple[dict[str, Tensor], Any, Any]:
    """A file's tensors under diffusers' names, kohya's alphas, and peft's metadata."""
    from diffusers.loaders.lora_pipeline import StableDiffusionXLLoraLoaderMixin as Loader

    safe = path.suffix == ".safetensors"
    source: Any = str(path)
    if not safe:  # diffusers would read a pickle too, and accept any layout
        source = read_tensors((path,), torch.device("cpu"), torch.float32)
    try:
        read: tuple[dict[str, Tensor], Any, Any] = Loader.lora_state_dict(
            source,
            unet_config=unet_config,
            use_safetensors=safe,
            local_files_only=True,
            return_lora_metadata=True,
        )
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(
            f"{path} has tensor names that diffusers does not know: {error}"
        ) from error
    return read


def _check(tensors: Mapping[str, Tensor], shells: Mapping[str, Module], source: str) -> list[str]:
    """The parts that ``tensors`` change; raises ``ModelError`` if a tensor fits none of them.

    diffusers and peft would ignore such tensors and apply only part of the LoRA.
    """
    weights = {
        name: _weight(name.removeprefix(f"{part}."), part, shells[part])
        for name in tensors
        for part in shells
        if name.startswith(f"{part}.")
    }
    lost = [name for name in tensors if weights.get(name) is None]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ModelError(
            f"{source} does not fit the model, which has no weights for {', '.join(lost[:3])}{more}"
        )
    for name, tensor in tensors.items():
        shape, weight = tuple(tensor.shape), weights[name]
        axis = 0 if _UP.search(name) else 1  # out of the layer, or into it
        assert weight is not None
        if len(shape) < 2 or shape[axis] != weight.shape[axis]:
            raise ModelError(
                f"{source} does not fit the model: {name} has the shape {shape}, for a weight of "
                f"{tuple(weight.shape)}"
            )
    check_finite(source, tensors)
    return [part for part in shells if any(name.startswith(f"{part}.") for name in tensors)]


_UP = re.compile(r"(lora_B|up)\.weight$")
# The layer of a LoRA's tensor, in the layouts of peft, of diffusers and of old diffusers.
_LAYER = re.compile(
    r"(?P<layer>.+?)(?:\.lora_[AB]|\.lora(?:_linear_layer)?\.(?:up|down)"
    r"|(?P<old>_lora)\.(?:up|down))\.weight"
)


def _weight(name: str, part: str, module: Module) -> Tensor | None:
    """The weight of ``module`` that a LoRA's tensor changes; None if there is none."""
    found = _LAYER.fullmatch(name.replace(".processor.", "."))
    if found is None:
        return None
    layer = found["layer"]
    if part == "unet":
        layer = f"{layer}.0" if found["old"] and layer.endswith(".to_out") else layer
    elif found["old"]:
        layer = re.sub(r"\.to_(q|k|v|out)$", r".\1_proj", layer)
    if not hasattr(module, "text_model"):  # of CLIPTextModel since transformers 5.6
        layer = layer.removeprefix("text_model.")
    try:
        wrapped = module.get_submodule(layer)
    except AttributeError:
        return None
    weight: Tensor | None = getattr(getattr(wrapped, "base_layer", wrapped), "weight", None)
    return weight


def _set_scales(module: Module, scales: Mapping[str, float]) -> None:
    """Activate a part's LoRAs with their scales, like ``set_adapters`` of diffusers' pipelines."""
    from diffusers.loaders.lora_base import set_adapters_for_text_encoder

    if not scales:
        return
    names, weights = list(scales), list(scales.values())
    if hasattr(module, "set_adapters"):
        module.set_adapters(names, weights)
    else:
        set_adapters_for_text_encoder(names, module, weights)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Hide the progress bar that transformers draws for each text encoder, even into log files."""
    if not bars.is_progress_bar_enabled():
        yield
        return
    bars.disable_progress_bar()
    try:
        yield
    finally:
        bars.enable_progress_bar()
