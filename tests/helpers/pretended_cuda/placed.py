"""Tiny models on the pretended device, without files."""

import copy
from dataclasses import replace
from typing import Any

import torch

from helpers.crossings import formula
from sdloop.models.components.device import set_arithmetic
from sdloop.models.components.load import Components

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def with_formula(components: Components) -> Components:
    """``components`` with a formula for a UNet; all else computes, unlike in the crossings."""
    unet = copy.copy(components.unet)
    unet.forward = formula
    return replace(components, unet=unet)


def placed(components: Components, device: str, dtype: str) -> Components:
    """A copy of ``components``, as ``load_components`` would have loaded it there."""
    kind, place = DTYPES[dtype], torch.device(device)
    set_arithmetic(place, dtype)

    def moved(part: str) -> Any:
        module = getattr(components, part)
        wide = part == "vae" and dtype == "fp16" and module.config.force_upcast
        if module is None:
            return None
        return (
            copy.deepcopy(module).to(place, torch.float32 if wide else kind).requires_grad_(False)
        )

    return replace(
        components, **{part: moved(part) for part in _PARTS}, runs_on=place, computes_in=kind
    )
