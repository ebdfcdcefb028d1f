"""Weights in 8 bits: half the memory of bf16, at a cost in precision.

Only the UNet's inner layers are stored so: its first and last layers, norms and biases are small,
and matter more. Each output's weights have a scale of their own, since most weights of a UNet are
below the smallest normal number of float8 (2^-6), where its three bits of mantissa become fewer.
Nothing is computed in 8 bits: a layer's weights are restored whenever it runs.

Source: Micikevicius et al. 2022, "FP8 formats for deep learning" (arXiv:2209.05433); E4M3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sdloop.models.components.weights import Module

FP8 = torch.float8_e4m3fn
_SCALE = "weight_scale"
_ENDS = ("conv_in", "conv_out")


def to_fp8(unet: Module) -> None:
    """Store the weights of the inner linear and convolutional layers in 8 bits, in place."""
    for name, layer in unet.named_modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and name not in _ENDS:
            weight = layer.weight.detach()
            largest = weight.float().flatten(1).abs().amax(dim=1).clamp(min=1e-12)
            # A power of two, so that it rounds nothing.
            scale = (largest / torch.finfo(FP8).max).log2().ceil().exp2()
            scale = scale.view(-1, *[1] * (weight.ndim - 1))
            layer.weight = torch.nn.Parameter((weight.float() / scale).to(FP8), requires_grad=False)
            layer.register_buffer(_SCALE, scale.to(weight.dtype))


def weight_of(layer: Module) -> Tensor:
    """The weight of a layer in the precision that it computes in, where it is stored."""
    weight: Tensor = layer.weight
    if weight.dtype != FP8:
        return weight
    scale: Tensor = layer.get_buffer(_SCALE)
    return weight.to(scale.dtype) * scale


def weight_dtype(layer: Module) -> torch.dtype:
    """The precision that a layer computes in."""
    weight: Tensor = layer.weight
    return layer.get_buffer(_SCALE).dtype if weight.dtype == FP8 else weight.dtype


def restore_fp8(layer: Module) -> None:
    """Put the restored weight in the place of one of 8 bits."""
    weight = layer._parameters.get("weight")
    if weight is not None and weight.dtype == FP8:
        layer._parameters["weight"] = weight_of(layer)
