"""Gradients through the UNet with little memory, for exact loss guidance."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientCheckpointed:
    """A UNet whose gradients need little memory; the loop calls it like a UNet.

    Only the activations between its blocks are stored; those inside are recomputed in the backward
    pass, so the memory is that of one block. Without gradients it is the plain UNet.

    Source: Chen et al. 2016 (arXiv:1604.06174).
    """

    unet: Any

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.unet.dtype
        return dtype

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Tensor]:
        with checkpointed(self.unet):
            prediction: tuple[Tensor] = self.unet(*args, **inputs)
        return prediction


@contextmanager
def checkpointed(model: Any) -> Iterator[None]:
    """Turn on gradient checkpointing of a diffusers model inside the block."""
    before = model.is_gradient_checkpointing
    if not before:
        model.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            model.disable_gradient_checkpointing()
