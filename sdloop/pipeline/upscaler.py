"""Enlarge pictures with the upscaler that a Recipe names."""

from dataclasses import replace

import torch
from PIL import Image

from sdloop.images.input.frame import opaque
from sdloop.images.input.read import InputImage, OpenImage, check_sha256
from sdloop.models.checkpoint.upscaler import find_upscaler
from sdloop.models.components.upscaler import Upscaler, load_upscaler
from sdloop.recipe.recipe import Recipe


def upscaler_of(recipe: Recipe) -> Upscaler | None:
    """The upscaler of a resolved Recipe, or None.

    Raises what ``load_upscaler`` raises, and ``FileError`` for a file that has changed.
    """
    if recipe.upscaler is None:
        return None
    found = find_upscaler(recipe.upscaler)
    check_sha256(repr(found.name), recipe.upscaler_sha256, found.sha256, what="upscaler")
    return load_upscaler(found)


def upscaled(recipe: Recipe, image: Image.Image, device: torch.device) -> Image.Image:
    """``image`` (RGB) enlarged by the Recipe's upscaler; without one, the same picture."""
    upscaler = upscaler_of(recipe)
    return image if upscaler is None else upscaler.enlarged(image, device)


def opened_upscaled(recipe: Recipe, open_image: OpenImage, device: torch.device) -> OpenImage:
    """``open_image``, enlarging what it opens with the Recipe's upscaler, if it has one."""
    if recipe.upscaler is None:
        return open_image

    def opened(name: str) -> InputImage:
        picture = open_image(name)
        assert recipe.background is not None  # resolved
        flat = opaque(picture.image, recipe.background)
        return replace(picture, image=upscaled(recipe, flat, device))

    return opened
