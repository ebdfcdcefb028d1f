"""The four styles: how a drawing's outlines look, and what becomes of its pixels.

Textures repeat every eight pixels, the side of one latent, so that a small VAE can learn them; a
texture without a period would be noise to it, and come back as a blur.
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
    """Coloured pencils: outlines, and strokes that lie closer the darker the colour."""
    pixels = np.asarray(picture, dtype=np.float32)
    dark = 1 - pixels @ np.array((0.30, 0.59, 0.11), dtype=np.float32)[:, None] / 255
    lines = tiled(STROKES, picture.size), tiled(STROKES[:, ::-1], picture.size)
    cover = 0.30 + lines[0] * 0.5 + lines[1] * 0.6 * (dark > 0.55)
    cover = np.where(dark > 0.78, np.maximum(cover, 0.75), cover)
    return to_image(PAPER - (PAPER - pixels) * cover.clip(0, 0.92))


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

GRAIN: Pixels = np.random.RandomState(8).normal(0, 7, (8, 8)).astype(np.float32)
"""Rough paper, in levels of 255."""

STROKES: Pixels = ((np.add.outer(np.arange(8), np.arange(8)) % 4) < 2).astype(np.float32)
"""Diagonal strokes two pixels wide."""
