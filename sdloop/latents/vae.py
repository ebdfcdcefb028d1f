"""Decode latents to 8-bit pictures and encode pictures to latents, with the VAE."""

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
from sdloop.latents.philox import Philox
from sdloop.models.memory import free_memory, is_out_of_memory

# The largest area that the VAE decodes in one piece: 1.5 times SDXL's own area.
WHOLE_PIXELS = 1536 * 1024
TILE = 512

# A VAE's tiling and device are shared by all threads, and one batch is decoded while the next one
# is sampled, which may use the VAE too (losses, previews).
one_at_a_time = threading.RLock()

_NO_ROOM = "not enough memory to decode the picture in one piece: decoding smaller parts"


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pictures of shape (batch, 3, height, width), float32, CPU, 0 to 1 but not yet clamped.

    One picture at a time: decoding needs the most memory, and a picture must not depend on its
    batch. The VAE runs in its own precision. For SDXL in half precision it differs from the UNet's,
    because the decoder overflows float16.
    """
    pixels = [_decoded(vae, one) for one in torch.split(unscale(vae, latents), 1)]
    return torch.cat(pixels) / 2 + 0.5


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    """One picture, decoded as usual or, if memory runs out, in a way that needs less of it.

    First in tiles, then in small tiles, and finally on the CPU: the steps that made ``latents``
    were expensive.
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
    """Let the VAE process a picture of that many pixels in tiles, if it is a large one.

    Otherwise memory would grow with the area: an SD1 decoder takes 4 GB in float32 for 1024x1024.
    These are diffusers' own tiles, which overlap by a quarter and are blended, at the size that the
    VAE was trained at but at least ``TILE``. Each tile has its own statistics in the group norms,
    so a tiled picture is never bit-equal to one decoded in one piece. If memory is short,
    ``at_most`` is the side of a tile, whatever the picture's size.
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
    with one_at_a_time, tiled(vae, pixels.shape[-2] * pixels.shape[-1]):
        gaussian = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    mean, std = gaussian.mean.float(), gaussian.std.float()
    return Encoded(mean=mean, std=std)


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


def _moments(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's mean and standard deviation if the VAE's config has them; else 0 and 1."""
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        mean, std = (0.0,), (1.0,)
    each = (1, -1, 1, 1)
    return latents.new_tensor(mean).view(each), latents.new_tensor(std).view(each)


def to_images(pixels: Tensor) -> list[Image.Image]:
    """8-bit RGB pictures from (batch, 3, height, width), clamped to 0 to 1.

    Rounded, not truncated: truncating would darken half of all values by one level. Raises
    ``NonFiniteError`` instead of turning NaN into black.
    """
    if not pixels.isfinite().all():
        raise NonFiniteError(
            "the VAE decoded NaN or infinity instead of pixels; "
            "remedy: dtype bf16 or fp32, or another vae"
        )
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in levels]
