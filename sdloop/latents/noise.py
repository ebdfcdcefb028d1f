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


def slerp(low: Tensor, high: Tensor, share: float, *, dim: int) -> Tensor:
    """From ``low`` (share 0) to ``high`` (share 1) along the arc between the vectors in ``dim``.

    Half way between two noises the straight line has lost a third of their strength, and with it
    the picture its detail; the arc has not. Vectors of nearly one direction go along the line.

    Source: Shoemake 1985, "Animating rotation with quaternion curves".

    >>> slerp(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), 0.5, dim=0)
    tensor([1.4142, 1.4142])
    """
    unit = torch.nn.functional.normalize
    cosine = (unit(low, dim=dim) * unit(high, dim=dim)).sum(dim, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    of_low, of_high = (torch.sin(part * angle) / torch.sin(angle) for part in (1 - share, share))
    line = (1 - share) * low + share * high
    return torch.where(cosine.abs() > 0.9995, line, of_low * low + of_high * high)


def varied(noise: Tensor, seed: int, strength: float) -> Tensor:
    """The ``noise`` of one picture, turned by ``strength`` (0 to 1) towards that of another seed.

    The vectors that are turned are the columns of each channel, as in A1111, whose variation seeds
    so mean the same pictures here.

    Source: ``slerp`` in A1111's ``modules/rng.py``.
    """
    other = torch.randn(noise.shape, generator=Generator("cpu").manual_seed(seed))
    return slerp(noise, other, strength, dim=-2)
