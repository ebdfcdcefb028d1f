"""The four styles: how a drawing's outlines look, and what becomes of its pixels.

Textures are soft and repeat every sixteen pixels, the width of two latents. A VAE that upsamples
has no sense of place inside a flat area: finer grain, or strokes closer together, would ask it for
a pattern that no smooth latents can tell it where to begin, and come back as a blur.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pen import INK, Colour
from PIL import Image, ImageFilter

Pixels = NDArray[np.float32]

PAPER: Pixels = np.array((250, 246, 234), dtype=np.float32)
BLOCK = 4
"""Pixels a side of one pixel of pixel art."""


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


PERIOD = 16
"""Pixels after which a texture repeats."""


def hills(seed: int) -> Pixels:
    """A tile of smooth random hills of unit height, float32 (16, 16)."""
    waves = np.random.RandomState(seed).normal(size=(3, 3)) + 1j
    tile = np.fft.irfft2(waves, s=(PERIOD, PERIOD))
    return (tile / np.abs(tile).max()).astype(np.float32)


def slanting_waves() -> Pixels:
    """A tile of one diagonal wave between -1 and 1, float32 (16, 16)."""
    places = np.add.outer(np.arange(PERIOD), np.arange(PERIOD)) / PERIOD
    return np.cos(2 * np.pi * places).astype(np.float32)


GRAIN = 9 * hills(seed=8)
"""Rough paper, in levels of 255."""

STROKES = slanting_waves()
"""The strokes of coloured pencils."""


def cartoon(picture: Image.Image, _: random.Random) -> Image.Image:
    """Flat colours and dark outlines, as drawn."""
    return picture


def blotches(size: tuple[int, int], rng: random.Random) -> Pixels:
    """Soft clouds of -1..1, each about a quarter of the picture wide: (height, width, 1)."""
    spots = Image.frombytes("L", (4, 4), rng.randbytes(16)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(spots, dtype=np.float32)[..., None] / 127.5 - 1


def watercolour(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Thin paint on rough paper: pale, uneven, bleeding at its borders, darker where it dried
    last."""
    wet = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)
    spread = np.asarray(picture.filter(ImageFilter.GaussianBlur(4)), dtype=np.float32)
    rim = np.abs(wet - spread).mean(axis=2, keepdims=True) / 255
    strength = 0.76 + 0.12 * blotches(picture.size, rng) + 0.5 * rim
    return to_image(PAPER - (PAPER - wet) * strength + tiled(GRAIN, picture.size))


def pencil(picture: Image.Image, _: random.Random) -> Image.Image:
    """Coloured pencils: dark outlines on white paper, pale colours laid on in slanting strokes."""
    pixels = np.asarray(picture, dtype=np.float32)
    dark = 1 - pixels @ np.array((0.30, 0.59, 0.11), dtype=np.float32)[:, None] / 255
    cover = 0.46 + 0.16 * tiled(STROKES, picture.size) + 0.7 * np.maximum(dark - 0.6, 0)
    return to_image(PAPER - (PAPER - pixels) * cover.clip(0, 0.95))


def pixel_art(picture: Image.Image, _: random.Random) -> Image.Image:
    """Blocks of one colour, from a palette of nine levels a channel."""
    width, height = picture.size
    small = picture.reduce(BLOCK)
    levels = np.round(np.asarray(small, dtype=np.float32) / 32) * 32
    return to_image(levels).resize((width, height), Image.Resampling.NEAREST)


STYLES: dict[str, Style] = {
    "cartoon": Style(ink=INK, weight=1.0, finish=cartoon),
    "watercolour": Style(ink=(84, 72, 84), weight=0.7, finish=watercolour),
    "pencil": Style(ink=(30, 28, 34), weight=0.8, finish=pencil),
    "pixel": Style(ink=INK, weight=1.7, finish=pixel_art),
}
