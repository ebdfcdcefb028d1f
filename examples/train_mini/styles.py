"""The four styles: how a drawing's outlines look, and what becomes of its pixels.

Everything is measured against the shorter side, so that a style looks the same at every size.
Textures are soft and repeat eight times over it, every two latents of the embedded model. A VAE
that upsamples has no sense of place inside a flat area: finer grain, or strokes closer together,
would ask it for a pattern that no smooth latents can tell it where to begin, and come back as a
blur.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pen import INK, Colour
from PIL import Image, ImageChops, ImageFilter

Pixels = NDArray[np.float32]

PAPER: Pixels = np.array((250, 246, 234), dtype=np.float32)
LIGHTNESS: Pixels = np.array((0.30, 0.59, 0.11), dtype=np.float32)[:, None]
BLOCKS = 32
"""Blocks of pixel art along the shorter side."""

WAVES = 8
"""Repeats of a texture along the shorter side."""

CRISP = ImageFilter.UnsharpMask(radius=1, percent=90, threshold=2)
"""What makes a block that an outline crosses dark rather than grey; its halos are not taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """``ink`` and ``weight`` are the pen's, ``finish`` turns the drawn picture into the style's."""

    ink: Colour
    weight: float
    finish: Callable[[Image.Image, random.Random], Image.Image]


def tiled(tile: Pixels, size: tuple[int, int]) -> Pixels:
    """The tile repeated over a picture of this (width, height): float32 (height, width, 1)."""
    width, height = size
    across, down = -(-width // tile.shape[1]), -(-height // tile.shape[0])
    return np.tile(tile, (down, across))[:height, :width, None]


def to_image(pixels: Pixels) -> Image.Image:
    """Floats of 0..255 to an RGB picture."""
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8), "RGB")


def hills(seed: int, period: int) -> Pixels:
    """A tile of smooth random hills of unit height, float32 (period, period)."""
    waves = np.random.RandomState(seed).normal(size=(3, 3)) + 1j
    tile = np.fft.irfft2(waves, s=(period, period))
    return (tile / np.abs(tile).max()).astype(np.float32)


def slanting_waves(period: int) -> Pixels:
    """A tile of one diagonal wave between -1 and 1, float32 (period, period)."""
    places = np.add.outer(np.arange(period), np.arange(period)) / period
    return np.cos(2 * np.pi * places).astype(np.float32)


def cartoon(picture: Image.Image, _: random.Random) -> Image.Image:
    """Flat colours and dark outlines, as drawn."""
    return picture


def blotches(size: tuple[int, int], rng: random.Random) -> Pixels:
    """Soft clouds of -1..1, each about a quarter of the picture wide: (height, width, 1)."""
    spots = Image.frombytes("L", (4, 4), rng.randbytes(16)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(spots, dtype=np.float32)[..., None] / 127.5 - 1


def blurred(picture: Image.Image, share: float) -> Pixels:
    """The picture under a Gaussian whose radius is a share of its shorter side."""
    radius = share * min(picture.size)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)


def watercolour(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Thin paint on rough paper: pale, uneven, bleeding at its borders, darker where it dried
    last."""
    wet, spread = blurred(picture, 0.0055), blurred(picture, 0.03)
    rim = np.abs(wet - spread).mean(axis=2, keepdims=True) / 255
    strength = 0.76 + 0.12 * blotches(picture.size, rng) + 0.5 * rim
    grain = 9 * tiled(hills(8, min(picture.size) // WAVES), picture.size)
    return to_image(PAPER - (PAPER - wet) * strength + grain)


def pencil(picture: Image.Image, _: random.Random) -> Image.Image:
    """Coloured pencils: dark outlines on white paper, pale colours laid on in slanting strokes."""
    pixels = np.asarray(picture, dtype=np.float32)
    dark = 1 - pixels @ LIGHTNESS / 255
    strokes = tiled(slanting_waves(min(picture.size) // WAVES), picture.size)
    cover = 0.46 + 0.16 * strokes + 0.7 * np.maximum(dark - 0.6, 0)
    return to_image(PAPER - (PAPER - pixels) * cover.clip(0, 0.95))


def pixel_art(picture: Image.Image, _: random.Random) -> Image.Image:
    """Blocks of one colour, from a palette of nine levels a channel."""
    small = picture.reduce(max(1, min(picture.size) // BLOCKS))
    crisp = ImageChops.darker(small, small.filter(CRISP))
    levels = np.round(np.asarray(crisp, dtype=np.float32) / 32) * 32
    return to_image(levels).resize(picture.size, Image.Resampling.NEAREST)


STYLES: dict[str, Style] = {
    "cartoon": Style(ink=INK, weight=1.0, finish=cartoon),
    "watercolour": Style(ink=(84, 72, 84), weight=0.7, finish=watercolour),
    "pencil": Style(ink=(30, 28, 34), weight=0.8, finish=pencil),
    "pixel": Style(ink=INK, weight=1.7, finish=pixel_art),
}
