"""Latents become pictures and pictures latents: the VAE, and eight bits a channel."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from sdloop.errors import NonFiniteError
from sdloop.latents.noise import noise
from sdloop.models.memory import free_memory, is_out_of_memory

# What the VAE takes in one piece: SDXL's own area, and half of it again.
WHOLE_PIXELS = 1536 * 1024
TILE = 512

# What a VAE is told about tiles, and where it is, holds for all threads: pictures of one batch are
# decoded while the next one is sampled, which may look at pictures too.
one_at_a_time = threading.RLock()

_NO_ROOM = "the memory does not suffice to decode a picture as usual: it is done in smaller parts"


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pictures of shape (batch, 3, height, width), float32, CPU, 0 to 1 but not yet clamped.

    One at a time: decoding is the peak of memory, and a picture must not depend on its batch. The
    VAE runs in its own precision, which for SDXL's in half precision is not the UNet's: its
    decoder overflows float16.
    """
    pixels = [_decoded(vae, one) for one in torch.split(unscale(vae, latents), 1)]
    return torch.cat(pixels) / 2 + 0.5


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    """One picture, as it should be or, where memory does not suffice, as it can be.

    In tiles, in small tiles, at last on the CPU: the steps that made ``latents`` were dear.
    """
    with one_at_a_time:
        return _somehow_decoded(vae, latents)


def _somehow_decoded(vae: Any, latents: Tensor) -> Tensor:
    area = latents.shape[-2] * latents.shape[-1] * vae_factor(vae) ** 2
    for tile in (None, TILE, TILE // 2):
        try:
            with tiled(vae, area, at_most=tile):
                return _through_decoder(vae, latents)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        free_memory()
        warnings.warn(_NO_ROOM, RuntimeWarning, stacklevel=2)
    device, dtype = vae.device, vae.dtype
    vae.to("cpu", torch.float32)
    try:
        with tiled(vae, area, at_most=TILE):
            return _through_decoder(vae, latents)
    finally:
        vae.to(device, dtype)


def _through_decoder(vae: Any, latents: Tensor) -> Tensor:
    pixels: Tensor = vae.decode(latents.to(vae.device, vae.dtype), return_dict=False)[0]
    return pixels.float().cpu()


@contextmanager
def tiled(vae: Any, pixels: int, *, at_most: int | None = None) -> Iterator[None]:
    """Let the VAE go over a picture of that many pixels in tiles, if it is a large one.

    Else its memory would grow with the area: an SD1 decoder takes 4 GB in float32 for 1024x1024.
    diffusers' own tiles, which overlap by a quarter and are faded into each other, at the size that
    the VAE was trained at but no smaller than ``TILE``; each has its own means and deviations in
    the group norms, so that no tiled picture is that of the whole to the bit. Where memory is
    short ``at_most`` is the side of a tile, whatever the picture's size.
    """
    if pixels <= WHOLE_PIXELS and at_most is None:
        yield
        return
    before = vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size
    side = max(TILE, vae.tile_sample_min_size) if at_most is None else at_most
    vae.use_tiling, vae.tile_sample_min_size = True, side
    vae.tile_latent_min_size = side // vae_factor(vae)
    try:
        yield
    finally:
        vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = before


def vae_factor(vae: Any) -> int:
    """Pixels per latent, along each side."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A picture in the VAE's terms: not latents, but the Gaussian that they are drawn from.

    Both tensors are float32, of shape (1, channels, height, width), and not yet scaled.
    """

    mean: Tensor
    std: Tensor

    def draw(self, generator: Generator) -> Tensor:
        """Latents of the picture, from the next random numbers of a generator on the CPU."""
        drawn = noise([generator], *self.mean.shape[1:])
        return self.mean + self.std * drawn.to(self.mean.device)


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Encoded:
    """What the VAE makes of ``to_pixels`` of a picture whose sides are multiples of its factor."""
    with one_at_a_time, tiled(vae, pixels.shape[-2] * pixels.shape[-1]):
        gaussian = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    mean, std = gaussian.mean.float(), gaussian.std.float()
    return Encoded(mean=mean, std=std)


def to_pixels(image: Image.Image) -> Tensor:
    """An RGB picture as (1, 3, height, width), float32, CPU, -1 to 1.

    Permuted last, so that the channels lie innermost in memory, as they do in diffusers:
    convolutions round otherwise in another order, and no bit-for-bit comparison would hold.
    """
    levels = torch.from_numpy(np.array(image)[None]).permute(0, 3, 1, 2)
    return levels.float() / 255 * 2 - 1


def scale(vae: Any, latents: Tensor) -> Tensor:
    """Bring the VAE's latents to about unit deviation for the UNet."""
    mean, std = _moments(vae, latents)
    factor: float = vae.config.scaling_factor
    return (latents - mean) * factor / std


def unscale(vae: Any, latents: Tensor) -> Tensor:
    """Undo ``scale``."""
    mean, std = _moments(vae, latents)
    factor: float = vae.config.scaling_factor
    return latents * std / factor + mean


def _moments(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's mean and deviation, for VAEs that have them; for the others 0 and 1."""
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        mean, std = (0.0,), (1.0,)
    each = (1, -1, 1, 1)
    return latents.new_tensor(mean).view(each), latents.new_tensor(std).view(each)


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
