"""The way back from a picture to the latents, through the UNet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Through:
    """A UNet to the loop, which calls it as one; gradients lead through it at little memory.

    What is between its blocks is kept, what is in them computed again on the way back, so that the
    memory is that of a block. Where nothing is to lead through it, it is the UNet itself.

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
    """Let a model of diffusers keep little for the way back, for as long as it is called."""
    before = model.is_gradient_checkpointing
    if not before:
        model.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            model.disable_gradient_checkpointing()
