"""Show what the VAE loses of a picture, and what latents look like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from sdloop.inspection.schedules import Level
from sdloop.latents.noise import noise
from sdloop.latents.vae import decode_images, encode, scale, to_pixels

_ERROR_GAIN = 4  # without it the errors are too dark to see


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundTrip:
    """A picture, its latents, and the picture decoded from them.

    ``latents`` (channels, height, width) are the mean of the encoder's distribution, scaled for
    the UNet. ``error`` is the mean absolute difference of each pixel, multiplied by 4.
    """

    picture: Image.Image
    latents: Tensor
    back: Image.Image
    error: Image.Image

    @property
    def psnr(self) -> float:
        """The peak signal-to-noise ratio of ``back``, in dB; infinite if both are equal."""
        ours, theirs = (np.asarray(one, np.float64) for one in (self.picture, self.back))
        squared = float(((ours - theirs) ** 2).mean())
        return math.inf if squared == 0 else 10 * math.log10(255**2 / squared)

    @property
    def compression(self) -> float:
        """The number of values in the picture, divided by the number of values in its latents."""
        return self.picture.width * self.picture.height * 3 / self.latents.numel()


def round_trip(vae: Any, picture: Image.Image) -> RoundTrip:
    """Encode and decode an RGB picture; its sides must be multiples of the VAE's factor."""
    latents = scale(vae, encode(vae, to_pixels(picture)).mean)
    back = decode_images(vae, latents)[0]
    apart = np.abs(np.asarray(picture, np.int16) - np.asarray(back, np.int16)).mean(axis=2)
    error = Image.fromarray((apart * _ERROR_GAIN).clip(0, 255).astype(np.uint8))
    return RoundTrip(picture=picture, latents=latents[0].cpu(), back=back, error=error)


def noised(
    vae: Any, picture: Image.Image, levels: Sequence[Level], generator: Generator
) -> list[Image.Image]:
    """An RGB picture with the noise of each level added directly to the clean latents.

    All levels use the same noise. Source: Ho et al. 2020 (arXiv:2006.11239), eq. 4.
    """
    clean = scale(vae, encode(vae, to_pixels(picture)).mean)
    drawn = noise([generator], *clean.shape[1:]).to(clean.device)
    noisy = []
    for level in levels:
        signal, beta = level.shares
        noisy.append(signal * clean + beta * drawn)
    return decode_images(vae, torch.cat(noisy))


def channel_images(latents: Tensor) -> list[Image.Image]:
    """Each channel of (channels, height, width) as a grey image; black is -3 and white is 3."""
    levels = ((latents.float().cpu() / 6 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return [Image.fromarray(channel.numpy()) for channel in levels]
