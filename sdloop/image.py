"""Latents become pictures: the VAE's decoder, and eight bits a channel."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sdloop.errors import NonFiniteError


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pictures of shape (batch, 3, height, width), float32, CPU, 0 to 1 but not yet clamped.

    One at a time: decoding is the peak of memory, and a picture must not depend on its batch. The
    VAE runs in its own precision, which for SDXL's in half precision is not the UNet's: its
    decoder overflows float16.
    """
    latents = unscale(vae, latents).to(vae.device, vae.dtype)
    pixels: list[Tensor] = [
        vae.decode(one[None], return_dict=False)[0].float().cpu() for one in latents
    ]
    return torch.cat(pixels) / 2 + 0.5


def unscale(vae: Any, latents: Tensor) -> Tensor:
    """Undo what brought the VAE's latents to about unit deviation for the UNet."""
    config = vae.config
    factor: float = config.scaling_factor
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is None or std is None:
        return latents / factor
    each = (1, -1, 1, 1)
    return latents * latents.new_tensor(std).view(each) / factor + latents.new_tensor(mean).view(
        each
    )


def to_images(pixels: Tensor) -> list[Image.Image]:
    """8-bit RGB pictures from (batch, 3, height, width) in 0 to 1; what is outside is clamped.

    Rounded, not truncated: truncating would darken half of all values by one level. Raises
    ``NonFiniteError`` rather than turning NaN into black.
    """
    if not pixels.isfinite().all():
        raise NonFiniteError(
            "the VAE made pixels that are not finite numbers; "
            "remedy: dtype bf16 or fp32, or another vae"
        )
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in levels]
