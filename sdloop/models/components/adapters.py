"""Add LoRAs to Components without changing the original modules.

A LoRA adds the product of two thin matrices to a layer's output: peft adds it to the layers, in
place. Here it gets a shell: new modules that share the model's tensors. So the original Components
stay immutable and can still be used, even at the same time.

Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
"""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.lora import LoraFile, check_lora
from sdloop.models.components.load import Components
from sdloop.models.components.lora_layers import Pair, base_layer, layers_of
from sdloop.models.components.shell import shell
from sdloop.models.components.weights import Module
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
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Already found a `peft_config`"
        )  # for every LoRA after the first
        for number, (file, scale) in enumerate(active):
            name = f"lora_{number}"
            for part in _add(shells, file, name):
                scales[part][name] = scale
        for part, named in scales.items():
            if named:
                _set_scales(shells[part], named)
    return replace(components, **shells)


def _add(shells: Mapping[str, Module], file: LoraFile, adapter: str) -> list[str]:
    """Add one LoRA to the parts that it changes, still without a scale; returns these parts."""
    found = layers_of(file.path, file.name, shells)
    parts = [part for part, layers in found.items() if layers]
    for part in parts:
        _put(shells[part], found[part], adapter)
        placed = sum(f".{adapter}." in name for name, _ in shells[part].named_parameters())
        if placed != 2 * len(found[part]):
            raise ModelError(
                f"{file.name}: only {placed} of {2 * len(found[part])} tensors fit the {part}"
            )
    return parts


def _put(module: Module, layers: Mapping[str, Pair], adapter: str) -> None:
    """Wrap layers of ``module`` in peft's, with these matrices and alphas."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=1, lora_alpha=1, target_modules=list(layers), init_lora_weights=False)
    inject_adapter_in_model(config, module, adapter, low_cpu_mem_usage=True)
    for name, pair in layers.items():
        layer = module.get_submodule(name)
        like = base_layer(layer).weight
        layer.r[adapter], layer.lora_alpha[adapter] = pair.rank, pair.alpha
        for matrix, tensor in (
            (layer.lora_A[adapter], pair.down),
            (layer.lora_B[adapter], pair.up),
        ):
            matrix.weight = torch.nn.Parameter(tensor.to(like.device, like.dtype))


def _set_scales(module: Module, scales: Mapping[str, float]) -> None:
    """Activate a part's LoRAs; a layer's scale is ``scale * alpha / rank``."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [m for m in module.modules() if isinstance(m, BaseTunerLayer)]
    for layer in layers:
        layer.set_adapter(list(scales))
        for adapter, scale in scales.items():
            layer.set_scale(adapter, scale)
