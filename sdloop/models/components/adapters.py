"""Add LoRAs to Components without changing the original modules.

An ordinary LoRA adds the product of two thin matrices to a layer's output, and runs beside the
layer. All other kinds get a new weight. Both happen in a shell: new modules that share the model's
tensors. So the original Components stay immutable and can still be used, even at the same time.

Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1. The order of operations is peft's, so that
pictures are bit-equal to those of diffusers' pipelines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from sdloop.models.checkpoint.lora import LoraFile, check_lora
from sdloop.models.components.fp8 import weight_dtype, weight_of
from sdloop.models.components.load import Components
from sdloop.models.components.lora_change import Change
from sdloop.models.components.lora_layers import Place, changes_of
from sdloop.models.components.offload import attach_like
from sdloop.models.components.shell import shell
from sdloop.models.components.weights import Module

_PARTS = ("unet", "text_encoder", "text_encoder_2")

Scaled = tuple[float, Change]
# How much of a LoRA is added: to all parts; or to the text encoders, and to the UNet.
Scales = float | Sequence[float]


def adapted(components: Components, loras: Sequence[tuple[LoraFile, Scales]]) -> Components:
    """``components`` with each LoRA added at its scale, in order.

    Weights that do not change are shared, the modules are not. A LoRA with scale 0 is left out, so
    that the result is bit-equal to one without it.

    Raises ``ModelError`` for a LoRA with a tensor that does not fit the model, or is not finite.
    """
    for file, _ in loras:
        if components.checkpoint is not None:
            check_lora(file, components.checkpoint)
    whole = {part: getattr(components, part) for part in _PARTS}
    modules = {part: module for part, module in whole.items() if module is not None}
    added: dict[Place, list[Scaled]] = {}
    for file, scales in loras:
        if not any(_of_part(scales, part) for part in modules):
            continue
        for place, change in changes_of(file.path, file.name, modules).items():
            if scale := _of_part(scales, place[0]):
                added.setdefault(place, []).append((scale, change))
    if not added:
        return components
    shells = {part: shell(module) for part, module in modules.items()}
    _change(shells, added, components.device)
    return replace(components, **shells)


def _of_part(scales: Scales, part: str) -> float:
    """The scale for the UNet, or for a text encoder."""
    if isinstance(scales, float | int):
        return scales
    text_scale, scale = scales
    return scale if part == "unet" else text_scale


def _change(
    shells: Mapping[str, Module], added: Mapping[Place, Sequence[Scaled]], device: torch.device
) -> None:
    """Replace weights of ``shells``, and put ordinary LoRAs beside their layers."""
    for (part, name), changes in added.items():
        layer = shells[part].get_submodule(name)
        pairs = [(scale, change, change.pair(layer)) for scale, change in changes]
        _merge(layer, [(scale, change) for scale, change, pair in pairs if pair is None], device)
        beside = [(*pair, scale, change) for scale, change, pair in pairs if pair is not None]
        if beside:
            parent, _, own = name.rpartition(".")
            both = _Beside(layer, beside)
            attach_like(both, layer)
            setattr(shells[part].get_submodule(parent), own, both)


@torch.no_grad()
def _merge(layer: Module, changes: Sequence[Scaled], device: torch.device) -> None:
    """Give ``layer`` its own weight and bias, to which the sum of ``changes`` is added.

    Each change is computed from the original weight, so that their order does not matter, and on
    the ``device`` where the layer runs, so that the result does not depend on where it is stored.
    """
    weight = weight_of(layer).to(device)
    before = {"weight": weight}
    if (bias := getattr(layer, "bias", None)) is not None:
        before["bias"] = bias.to(device)
    for name, added in (
        ("weight", [scale * change.on_weight(weight) for scale, change in changes]),
        ("bias", _on_bias(before.get("bias"), changes)),
    ):
        if added:
            whole = (before[name].float() + sum(added)).to(layer.weight.device, before[name].dtype)
            learns = getattr(layer, name).requires_grad
            setattr(layer, name, torch.nn.Parameter(whole, requires_grad=learns))


def _on_bias(bias: Tensor | None, changes: Sequence[Scaled]) -> list[Tensor]:
    found = [(scale, change.on_bias(bias)) for scale, change in changes]
    return [scale * added for scale, added in found if added is not None]


class _Beside(torch.nn.Module):
    """A layer, and the pairs of ordinary LoRAs whose output is added to that of the layer."""

    def __init__(
        self, layer: Module, pairs: Sequence[tuple[Tensor, Tensor, float, Change]]
    ) -> None:
        super().__init__()
        self.base_layer, like = layer, layer.weight
        dtype = weight_dtype(layer)
        self.lora_down = torch.nn.ParameterList(
            down.to(like.device, dtype) for down, _, _, _ in pairs
        )
        self.lora_up = torch.nn.ParameterList(up.to(like.device, dtype) for _, up, _, _ in pairs)
        self.scales = [change.strength(len(down), scale) for down, _, scale, change in pairs]

    @property
    def weight(self) -> Tensor:
        """The layer's own, whose type transformers asks for."""
        weight: Tensor = self.base_layer.weight
        return weight

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base_layer(x)
        for down, up, scale in zip(self.lora_down, self.lora_up, self.scales, strict=True):
            result = result + self._through(x, down, up) * scale
        return result

    def _through(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        if down.ndim == 2:
            return linear(linear(x, down), up)
        base = self.base_layer
        return conv2d(conv2d(x, down, None, base.stride, base.padding, base.dilation), up)
