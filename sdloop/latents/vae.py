"""Decode latents to 8-bit pictures and encode pictures to latents, with the VAE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from sdloop.errors import NonFiniteError
from sdloop.latents.noise import noise
from sdloop.latents.philox import Philox
from sdloop.latents.vae_memory import with_room
from sdloop.models.components.offload import works_on
from sdloop.schedulers.sending import constant


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pictures of shape (batch, 3, height, width), float32, CPU, 0 to 1 but not yet clamped.

    One picture at a time: decoding needs the most memory, and a picture must not depend on its
    batch. The VAE runs in its own precision. For SDXL in half precision it differs from the UNet's,
    because the decoder overflows float16.
    """
    rows = torch.split(latents, 1)
    return torch.cat(
        [with_room(vae, row, lambda *one: _pixels(*one).cpu(), "decode") for row in rows]
    )


@torch.no_grad()
def decode_images(vae: Any, latents: Tensor) -> list[Image.Image]:
    """8-bit RGB pictures of the latents: ``to_images(decode(vae, latents))``, to the bit.

    The pixels are rounded and checked where the VAE is: a quarter of the bytes comes from a GPU.
    """
    rows = torch.split(latents, 1)
    return _images(
        [with_room(vae, row, lambda *one: _levels(_pixels(*one)), "decode") for row in rows]
    )


def _pixels(vae: Any, latents: Tensor) -> Tensor:
    """One decoded picture where the VAE is, float32, 0 to 1 but not yet clamped."""
    latents = unscale(vae, latents.to(works_on(vae))).to(vae.dtype)
    pixels: Tensor = vae.decode(latents, return_dict=False)[0]
    return pixels.float() / 2 + 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A picture as the VAE encodes it: not latents, but the Gaussian that they are drawn from.

    Both tensors are float32, of shape (1, channels, height, width), and not yet scaled.
    """

    mean: Tensor
    std: Tensor

    def draw(self, generator: Generator) -> Tensor:
        """Latents of the picture, drawn with a generator on the CPU."""
        if isinstance(generator, Philox):
            generator = generator.for_encoder
        drawn = noise([generator], *self.mean.shape[1:])
        return self.mean + self.std * drawn.to(self.mean.device)


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Encoded:
    """Encode the ``to_pixels`` of a picture whose sides are multiples of the VAE's factor."""
    return with_room(vae, pixels, _encoded, "encode")


def _encoded(vae: Any, pixels: Tensor) -> Encoded:
    gaussian = vae.encode(pixels.to(works_on(vae), vae.dtype)).latent_dist
    return Encoded(mean=gaussian.mean.float(), std=gaussian.std.float())


def to_pixels(image: Image.Image) -> Tensor:
    """An RGB picture as (1, 3, height, width), float32, CPU, -1 to 1.

    The permutation comes last, so that the channels are innermost in memory, as in diffusers:
    otherwise convolutions would round in another order, and results would not be bit-equal.
    """
    levels = torch.from_numpy(np.array(image)[None]).permute(0, 3, 1, 2)
    return levels.float() / 255 * 2 - 1


def scale(vae: Any, latents: Tensor) -> Tensor:
    """Scale the VAE's latents to a standard deviation of about 1 for the UNet."""
    mean, std = _moments(vae, latents)
    factor: float = vae.config.scaling_factor
    return (latents - mean) * factor / std


def unscale(vae: Any, latents: Tensor) -> Tensor:
    """Undo ``scale``."""
    mean, std = _moments(vae, latents)
    factor: float = vae.config.scaling_factor
    return latents * std / factor + mean


def _moments(vae: Any, latents: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """Each channel's mean and standard deviation if the VAE's config has them; else 0 and 1."""
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        return 0.0, 1.0
    each = (1, -1, 1, 1)
    return constant(mean, latents).view(each), constant(std, latents).view(each)


def to_images(pixels: Tensor) -> list[Image.Image]:
    """8-bit RGB pictures from (batch, 3, height, width), clamped to 0 to 1.

    Rounded, not truncated: truncating would darken half of all values by one level. Raises
    ``NonFiniteError`` instead of turning NaN into black.
    """
    return _images([_levels(one) for one in torch.split(pixels, 1)])


def _levels(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The levels of a picture, (1, 3, height, width), uint8, CPU, and whether its pixels were
    finite, still on their device."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).cpu(), pixels.isfinite().all()


def _images(pictures: Sequence[tuple[Tensor, Tensor]]) -> list[Image.Image]:
    if not all(bool(finite) for _, finite in pictures):
        raise NonFiniteError(
            "the VAE decoded NaN or infinity instead of pixels; "
            "remedy: dtype bf16 or fp32, or another vae"
        )
    return [Image.fromarray(levels[0].permute(1, 2, 0).numpy()) for levels, _ in pictures]
