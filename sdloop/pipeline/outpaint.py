"""Outpainting: what each pass sees of the picture, and what it adds to it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from sdloop.images.input.frame import opaque
from sdloop.images.input.read import InputImage, OpenImage, check_sha256
from sdloop.recipe.fields_image import GROWTH
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.outpaint_windows import Pass
from sdloop.recipe.recipe import Recipe

# How far the latents next to what is there are painted at each of 25 steps; with another number of
# steps as far as comes to the same, and never less than a quarter. The rest of them is the nearest
# pixel's. A hard edge is a cut: the model follows its own idea right up to it. In grey, the first
# latents beyond it are held to what is there, and the others follow them. Inpainting models were
# trained for hard edges.
SEAM = 0.75


@dataclass(frozen=True, kw_only=True, slots=True)
class Growing:
    """The grown picture at its full size (RGB), and where it is finished: 255 there, else 0 (L).

    ``paint`` changes both in place: they may be large.
    """

    image: Image.Image
    there: Image.Image

    def window(self, one: Pass, *, multiple: int, seam: float) -> tuple[Image.Image, Image.Image]:
        """What the loop sees in the window of a pass, and the mask of what it paints of that.

        Where there is nothing yet, the nearest pixels stand in; the VAE would mix black into what
        is beside it. ``multiple`` is the side of a latent in pixels; see ``soft_mask``.
        """
        there = np.asarray(self.there.crop(one.box)) > 0
        pixels = nearest_pixels(np.asarray(self.image.crop(one.box)), there)
        return Image.fromarray(pixels), Image.fromarray(soft_mask(there, multiple, seam))

    def paint(self, one: Pass, made: Image.Image) -> None:
        """Take the new part of the window that was ``made``; what was there stays to the bit."""
        left, top, right, bottom = one.new
        part = made.crop(
            (left - one.box[0], top - one.box[1], right - one.box[0], bottom - one.box[1])
        )
        nothing_there = self.there.crop(one.new).point(lambda level: 255 - level)
        self.image.paste(part, one.new, nothing_there)
        self.there.paste(255, one.new)


def growing_from(recipe: Recipe, open_image: OpenImage) -> Growing:
    """The picture that a resolved Recipe names, in its place, with nothing around it yet."""
    assert recipe.image and recipe.background and recipe.growth  # resolved
    picture = open_image(recipe.image)
    check_sha256(picture.name, recipe.image_sha256, picture.sha256)
    place = (recipe.growth.left, recipe.growth.up)
    image, there = Image.new("RGB", recipe.size), Image.new("L", recipe.size, 0)
    image.paste(opaque(picture.image, recipe.background), place)
    there.paste(255, (*place, place[0] + picture.image.width, place[1] + picture.image.height))
    return Growing(image=image, there=there)


def window_recipes(
    batch: Sequence[Recipe],
    growing: Sequence[Growing],
    one: Pass,
    number: int,
    model: Defaults,
    open_image: OpenImage,
) -> tuple[list[Recipe], OpenImage]:
    """A pass as Recipes of inpainting, one for each picture, and how what they name is opened.

    ``number`` is that of the pass, from 0. ``open_image`` opens what belongs to all passes.
    """
    files: dict[str, InputImage] = {}
    recipes = []
    for index, (recipe, picture) in enumerate(zip(batch, growing, strict=True)):
        names = f"window {index}", f"mask {index}"
        seam = 1.0 if model.paints else max(0.25, SEAM ** (25 / recipe.steps))
        window = picture.window(one, multiple=model.size_multiple, seam=seam)
        for name, image in zip(names, window, strict=True):
            sha256 = hashlib.sha256(image.tobytes()).hexdigest()
            files[name] = InputImage(name=name, sha256=sha256, image=image)
        recipes.append(_window_recipe(recipe, one, number, *names))
    return recipes, lambda name: files[name] if name in files else open_image(name)


def _window_recipe(recipe: Recipe, one: Pass, number: int, image: str, mask: str) -> Recipe:
    left, top, right, bottom = one.box
    nothing: dict[str, Any] = dict.fromkeys(GROWTH)
    return replace(
        recipe,
        seed=pass_seed(recipe.seed, number),
        width=right - left,
        height=bottom - top,
        image=image,
        image_sha256=None,
        mask=mask,
        strength=1.0,  # of what stands in for new pixels nothing shall be seen
        no_keep=True,  # for `paint` keeps what is there
        **nothing,
    )


def pass_seed(seed: int, number: int) -> int:
    """The seed of a pass: the first has the picture's own, the others one that is drawn from both.

    With one seed for all, each window would start from the same noise and look like the last;
    with seed + 1 for the second pass, that would be the next picture's first.

    >>> pass_seed(4, 0), pass_seed(4, 1), pass_seed(5, 1)
    (4, 1080491621, 424660162)
    """
    if number == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def soft_mask(there: np.ndarray, multiple: int, seam: float) -> np.ndarray:
    """Where a window is painted, in grey: (height, width), uint8, equal within each latent.

    A latent is kept that is ``there`` as a whole, and painted otherwise: those beside kept ones to
    the share ``seam``.
    """
    height, width = there.shape
    cells = there.reshape(height // multiple, multiple, width // multiple, multiple)
    kept = np.asarray(cells.all(axis=(1, 3)))
    next_to = _spread(_spread(kept, axis=0), axis=1) & ~kept
    levels = np.where(kept, 0, np.where(next_to, round(255 * seam), 255)).astype(np.uint8)
    return levels.repeat(multiple, axis=0).repeat(multiple, axis=1)


def _spread(cells: np.ndarray, axis: int) -> np.ndarray:
    """``cells`` and their neighbours on both sides."""
    forth, back = np.roll(cells, 1, axis), np.roll(cells, -1, axis)
    np.moveaxis(forth, axis, 0)[0] = False  # what was rolled around the edge
    np.moveaxis(back, axis, 0)[-1] = False
    spread: np.ndarray = cells | forth | back
    return spread


def nearest_pixels(pixels: np.ndarray, there: np.ndarray) -> np.ndarray:
    """``pixels`` (height, width, 3), those that are not ``there`` replaced by the nearest.

    The nearest in the same row, and for rows without any those of the nearest row with one.
    """
    columns, found = _nearest(there)
    filled = np.take_along_axis(pixels, columns[..., None], axis=1)
    rows, _ = _nearest(np.asarray(found.all(axis=1))[None])
    return np.ascontiguousarray(filled[rows[0]])


def _nearest(there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest index that is ``there``, for each place of each row; and whether there is one."""
    length = there.shape[1]
    index = np.arange(length)
    before = np.maximum.accumulate(np.where(there, index, -length), axis=1)
    after = np.minimum.accumulate(np.where(there, index, 2 * length)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(index - before <= after - index, before, after)
    found = (before >= 0) | (after < length)
    return np.where(found, nearest, 0), found
