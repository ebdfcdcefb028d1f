"""What stays of a picture that is painted only in part, in the loop's terms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedLatents:
    """A batch of pictures, of which only what lies within a mask is to change.

    ``clean`` are their latents, ``noise`` is what the loop's first latents were made of, both of
    shape (batch, channels, height, width). ``mask`` (batch, 1, height, width) is 1 where they are
    painted, 0 where they stay, and between them in part.

    Source: Avrahami et al. 2022 (arXiv:2206.02779), section 3.2, as diffusers does it.
    """

    clean: Tensor
    noise: Tensor
    mask: Tensor

    def put_back(self, latents: Tensor, scheduler: Any, timestep: Tensor) -> Tensor:
        """``latents`` with the pictures in place outside of the mask, as noisy as at ``timestep``.

        ``timestep`` is the next one; it is empty after the last step, when nothing is noisy.
        """
        clean = self.clean
        if len(timestep):
            clean = scheduler.add_noise(clean, self.noise, timestep)
        return (1 - self.mask) * clean + self.mask * latents


def latent_mask(mask: Image.Image, factor: int) -> Tensor:
    """A mask in grey, 0 to 1 at the size of the latents: (1, 1, height, width), float32, CPU.

    Each latent has the value of its pixels' upper left one, as in diffusers.
    """
    levels = torch.from_numpy(np.array(mask, dtype=np.float32) / 255)
    return levels[None, None, ::factor, ::factor].contiguous()


def blank(pixels: Tensor, mask: Image.Image) -> Tensor:
    """``pixels``, -1 to 1, in middle grey wherever ``mask``, in grey at their size, is white."""
    levels = torch.from_numpy(np.array(mask, dtype=np.float32) / 255)
    return pixels * (levels < 0.5)
