"""Noise from seeds, and latent sizes from pixel sizes."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from sdloop.latents.philox import Philox


def seeded_generators(seeds: Sequence[int], rng: str | None = None) -> list[Generator]:
    """One generator for each picture, always on the CPU.

    Random numbers of the CPU are the same on every machine, those of a GPU are not; ``rng``
    "philox" computes on the CPU what a GPU would draw. And because each picture draws all its noise
    from its own generator, it does not depend on the other pictures in its batch.
    """
    if rng == "philox":
        return [Philox(seed) for seed in seeds]
    return [Generator("cpu").manual_seed(seed) for seed in seeds]


def noise(generators: Sequence[Generator], channels: int, height: int, width: int) -> Tensor:
    """Standard normal noise of shape (len(generators), channels, height, width), float32, CPU.

    Each picture's noise is drawn separately: ``randn(2, …)[0]`` differs from ``randn(1, …)`` for
    some sizes. It is always drawn in float32, so that a seed gives the same noise in any precision.
    """
    shape = (1, channels, height, width)
    return torch.cat([_normal(shape, generator) for generator in generators])


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    if isinstance(generator, Philox):
        return generator.normal(shape)
    return torch.randn(shape, generator=generator)


def enlarge(latents: Tensor, height: int, width: int) -> Tensor:
    """``latents`` at another size, each channel interpolated like a picture.

    The VAE decodes them to a blurred picture with ringing at edges, because latents are not pixels.
    A strength that is high enough to repair that also changes the rest of the picture.
    """
    return interpolate(latents, size=(height, width), mode="bicubic")


def latent_size(width: int, height: int, factor: int) -> tuple[int, int]:
    """The ``(height, width)`` of a picture's latents; ``factor`` is the VAE's, often 8.

    >>> latent_size(768, 512, 8)
    (64, 96)
    """
    return height // factor, width // factor


def slerp(low: Tensor, high: Tensor, share: float, *, dim: int) -> Tensor:
    """Spherical interpolation of vectors along ``dim``, from ``low`` (share 0) to ``high`` (1).

    Half way between two noises, linear interpolation loses a third of their strength, and so the
    picture loses detail; spherical interpolation does not. Nearly parallel vectors are interpolated
    linearly.

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


def varied(noise: Tensor, seed: int, strength: float, rng: str | None = None) -> Tensor:
    """The ``noise`` of one picture, interpolated by ``strength`` (0 to 1) to that of another seed.

    The interpolated vectors are the columns of each channel, as in A1111, so that A1111's variation
    seeds give the same pictures here.

    Source: ``slerp`` in A1111's ``modules/rng.py``.
    """
    (generator,) = seeded_generators([seed], rng)
    other = _normal(tuple(noise.shape), generator)
    return slerp(noise, other, strength, dim=-2)
