"""Inpainting in the loop: what to keep of a picture outside of the mask."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedLatents:
    """A batch of pictures that may change only inside a mask.

    ``clean`` are their latents, ``noise`` is the loop's initial noise, both of shape (batch,
    channels, height, width). ``mask`` (batch, 1, height, width) is 1 where the picture is painted,
    0 where it stays, and between 0 and 1 where the two are mixed.

    Source: Avrahami et al. 2022 (arXiv:2206.02779), section 3.2, as diffusers does it.
    """

    clean: Tensor
    noise: Tensor
    mask: Tensor

    def put_back(self, latents: Tensor, scheduler: Any, timestep: Tensor) -> Tensor:
        """``latents`` with the original pictures outside of the mask, noised to ``timestep``.

        ``timestep`` is the next one; it is empty after the last step, when no noise is added.
        """
        clean = self.clean
        if len(timestep):
            clean = scheduler.add_noise(clean, self.noise, timestep)
        return (1 - self.mask) * clean + self.mask * latents


def latent_mask(mask: Image.Image, factor: int) -> Tensor:
    """A grey mask at the size of the latents, 0 to 1: (1, 1, height, width), float32, CPU.

    Each latent gets the value of its upper left pixel, as in diffusers.
    """
    levels = torch.from_numpy(np.array(mask, dtype=np.float32) / 255)
    return levels[None, None, ::factor, ::factor].contiguous()


def blank(pixels: Tensor, mask: Image.Image) -> Tensor:
    """``pixels``, -1 to 1, with middle grey wherever ``mask``, of the same size, is white."""
    levels = torch.from_numpy(np.array(mask, dtype=np.float32) / 255)
    return pixels * (levels < 0.5)
