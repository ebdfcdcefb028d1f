"""The outlines of drawn scenes, which are known exactly: what a ControlNet learns to follow.

A scene is drawn with an ink that nothing else has. An outline is where that ink is, or where two
parts without ink between them meet whose greys differ much: a spot, a window, the sea.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from cache_latents import check_header
from dataset import HELD_OUT, Size
from drawing import CANVAS, draw_backdrop, draw_figures
from loading import Tensors, load
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scenes import Scene, sample_scene
from styles import Style, cartoon
from torch import Tensor
from tqdm import tqdm

Mask = NDArray[np.bool_]
"""True on lines, (height, width)."""

MARK = (255, 0, 255)
THIN = Style(ink=MARK, weight=0.7, finish=cartoon)

CONTRAST = 40
"""The difference of greys, of 255, from which two parts have an outline between them."""

BATCH = 64
"""Scenes that are drawn at once for the cache."""


def meet(grey: NDArray[np.int16], ink: Mask, where: Mask, axis: int) -> Mask:
    """The pixels after which the grey changes along an axis, without ink on either side and with
    one of the two in ``where``."""
    first, second = (
        tuple(slice(*ends) if number == axis else slice(None) for number in (0, 1))
        for ends in ((0, -1), (1, None))
    )
    lines = np.zeros_like(ink)
    lines[first] = np.abs(grey[first] - grey[second]) > CONTRAST
    lines[first] &= ~ink[first] & ~ink[second] & (where[first] | where[second])
    return lines


def draw_outlines(scene: Scene, size: Size) -> tuple[Mask, Mask]:
    """The scene's outlines as lines of a pixel or two, and those of its subjects alone, with what
    they do and have. Wood is drawn as brown: its veins are no outlines."""
    if scene.colour == "wooden":
        scene = replace(scene, colour="brown")
    zoom, rng = max(1, round(CANVAS / min(size))), random.Random(scene.layout)
    image = draw_backdrop(scene, (size[0] * zoom, size[1] * zoom), rng)
    empty = np.asarray(image)
    draw_figures(scene, image, THIN, rng)
    pixels, grey = np.asarray(image), np.asarray(image.convert("L"), dtype=np.int16)
    ink, drawn = (pixels == MARK).all(axis=2), (pixels != empty).any(axis=2)
    both = []
    for where in (np.ones_like(drawn), drawn):
        lines = ink | meet(grey, ink, where, 0) | meet(grey, ink, where, 1)
        both.append(lines.reshape(size[1], zoom, size[0], zoom).any(axis=(1, 3)))
    return both[0], both[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlines:
    """The outlines of places in a row, a bit for each pixel, for a worker to draw."""

    size: Size
    places: range

    def __call__(self, step: int) -> Tensors:
        places = self.places[step * BATCH : (step + 1) * BATCH]
        drawn = [draw_outlines(sample_scene(place), self.size) for place in places]
        return (torch.from_numpy(np.packbits(np.array(drawn), axis=-1)),)

    def all(self, workers: int) -> Tensor:
        """uint8 (places, 2, height, width / 8): the whole scene's, the subjects' alone."""
        steps = range(-(-len(self.places) // BATCH))
        parts = load(self, steps, workers=workers, device=torch.device("cpu"))
        return torch.cat([part for (part,), _ in tqdm(parts, "drawing outlines", len(steps))])


def cache_outlines(file: Path, size: Size, count: int, held_out: int, workers: int) -> None:
    """Draw the outlines of the first places and of the held-out ones, unless the file has them."""
    header = {"size": "{}x{}".format(*size), "count": str(count)}
    if file.is_file():
        check_header(file, header)
        return
    spans = {"outlines": range(count), "held_out": range(HELD_OUT, HELD_OUT + held_out)}
    drawn = {name: Outlines(size=size, places=span).all(workers) for name, span in spans.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    save_file(drawn, fresh, metadata=header)
    fresh.replace(file)


def unpack(bits: Tensor) -> Tensor:
    """The cache's bits as floats of 0 and 1, (…, height, width)."""
    places = torch.arange(7, -1, -1, device=bits.device, dtype=torch.uint8)
    return (bits[..., None] >> places & 1).flatten(-2).float()


def load_outlines(file: Path) -> tuple[Tensor, Tensor]:
    """The outlines to train on, and the held-out ones, still packed."""
    parts = load_file(file)
    return parts["outlines"], parts["held_out"]
