"""What the VAE keeps of a picture, and what latents look like."""

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
from sdloop.latents.vae import decode, encode, scale, to_images, to_pixels

_ERROR_GAIN = 4  # or nobody would see where the errors are


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundTrip:
    """A picture, its latents, and the picture that comes back.

    ``latents`` (channels, height, width) are scaled for the UNet, the mean of what the encoder
    gives. ``error`` is the mean absolute difference of each pixel, enhanced fourfold.
    """

    picture: Image.Image
    latents: Tensor
    back: Image.Image
    error: Image.Image

    @property
    def psnr(self) -> float:
        """The peak signal-to-noise ratio of what comes back, in dB; infinite where it is equal."""
        ours, theirs = (np.asarray(one, np.float64) for one in (self.picture, self.back))
        squared = float(((ours - theirs) ** 2).mean())
        return math.inf if squared == 0 else 10 * math.log10(255**2 / squared)

    @property
    def compression(self) -> float:
        """How many numbers of the picture there are for each number of its latents."""
        return self.picture.width * self.picture.height * 3 / self.latents.numel()


def round_trip(vae: Any, picture: Image.Image) -> RoundTrip:
    """Through the VAE and back, for an RGB picture whose sides are multiples of its factor."""
    latents = scale(vae, encode(vae, to_pixels(picture)).mean)
    back = to_images(decode(vae, latents))[0]
    apart = np.abs(np.asarray(picture, np.int16) - np.asarray(back, np.int16)).mean(axis=2)
    error = Image.fromarray((apart * _ERROR_GAIN).clip(0, 255).astype(np.uint8))
    return RoundTrip(picture=picture, latents=latents[0].cpu(), back=back, error=error)


def noised(
    vae: Any, picture: Image.Image, levels: Sequence[Level], generator: Generator
) -> list[Image.Image]:
    """An RGB picture under the noise of each level, in one jump from the clean one to it.

    The same noise for all, drawn once. Source: Ho et al. 2020 (arXiv:2006.11239), eq. 4.
    """
    clean = scale(vae, encode(vae, to_pixels(picture)).mean)
    drawn = noise([generator], *clean.shape[1:]).to(clean.device)
    noisy = []
    for level in levels:
        signal, beta = level.shares
        noisy.append(signal * clean + beta * drawn)
    return to_images(decode(vae, torch.cat(noisy)))


def channel_images(latents: Tensor) -> list[Image.Image]:
    """Each channel of (channels, height, width) in grey, from three deviations below 0 to above."""
    levels = ((latents.float().cpu() / 6 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return [Image.fromarray(channel.numpy()) for channel in levels]
