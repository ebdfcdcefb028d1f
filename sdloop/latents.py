"""Seeds become noise, pixel sizes become latent sizes."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate


def seeded_generators(seeds: Sequence[int]) -> list[Generator]:
    """One generator for each picture, always on the CPU.

    The CPU's random numbers are the same on every machine, a GPU's are not; and a picture that
    draws from its own generator, the first noise and every later one, does not depend on which
    pictures share its batch.
    """
    return [Generator("cpu").manual_seed(seed) for seed in seeds]


def noise(generators: Sequence[Generator], channels: int, height: int, width: int) -> Tensor:
    """Standard normal noise of shape (len(generators), channels, height, width), float32, CPU.

    Each picture's noise is drawn by itself: ``randn(2, …)[0]`` is not ``randn(1, …)`` for every
    size. It is drawn in float32 whatever precision the UNet runs in, so a seed means one noise.
    """
    shape = (1, channels, height, width)
    return torch.cat([torch.randn(shape, generator=generator) for generator in generators])


def enlarge(latents: Tensor, height: int, width: int) -> Tensor:
    """``latents`` at another size, each channel interpolated like a picture's.

    What the VAE decodes from them is blurred, and ringed where they had edges: latents are no
    pixels. A strength that is high enough for the loop to mend that changes more than the edges.
    """
    return interpolate(latents, size=(height, width), mode="bicubic")


def latent_size(width: int, height: int, factor: int) -> tuple[int, int]:
    """The ``(height, width)`` of the latents of a picture; ``factor`` is the VAE's, often 8.

    >>> latent_size(768, 512, 8)
    (64, 96)
    """
    return height // factor, width // factor
