"""Resolve outpainting: the size of the grown picture, and its overlap."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.images.input.read import MAX_PIXELS, InputFacts
from sdloop.recipe.fields_image import MASK
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.outpaint_windows import SIDES, Growth, Pass, passes
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.task import START_FIELDS, refuse
from sdloop.rules import MAX_SIDE, Size, check_multiple, check_whole


def with_growth(recipe: Recipe, growth: Growth, model: Defaults, picture: InputFacts) -> Recipe:
    """``recipe`` with the size of the grown picture, and with an overlap.

    The picture may have any size: its pixels do not change, and only the added part must suit the
    model. Raises ``SettingError`` if it does not, if width or height is not the size of the grown
    picture, and for settings that have no effect with outpainting.
    """
    what = "not possible with outpainting, which keeps the picture as it is"
    others = ("resize", "factor", "hires", "enlarge", "tile")
    refuse(recipe, (*START_FIELDS, *others, *MASK), what)
    multiple = model.size_multiple
    for name in SIDES:
        check_multiple(name, getattr(growth, name), multiple)
    if min(picture.size) < multiple:
        raise SettingError.of(
            "image",
            f"must be {multiple} pixels wide and high to grow, and {recipe.image!r} is "
            f"{picture.size[0]}x{picture.size[1]}",
        )
    width, height = growth.grown(picture.size)
    _check_size(recipe, picture.size, (width, height))
    overlap = _overlap(recipe, model)
    return dataclasses.replace(
        recipe,
        width=width,
        height=height,
        overlap=overlap,
        image_sha256=picture.sha256,
        background="#ffffff" if recipe.background is None else recipe.background,
    )


def passes_of(recipe: Recipe, model: Defaults) -> tuple[Pass, ...]:
    """The outpainting passes of a resolved Recipe; empty without outpainting."""
    if recipe.growth is None or recipe.overlap is None:
        return ()
    return passes(
        recipe.growth.before(recipe.size),
        recipe.growth,
        native=model.native_size,
        multiple=model.size_multiple,
        overlap=recipe.overlap,
    )


def _check_size(recipe: Recipe, picture: Size, grown: Size) -> None:
    for name, before, side in zip(("width", "height"), picture, grown, strict=True):
        asked = getattr(recipe, name)
        if asked not in (None, side):
            raise SettingError.of(
                name,
                f"must be left out or {side}, because the picture grows from {before} to {side}, "
                f"got {asked}",
            )
        check_whole(name, side, 1, MAX_SIDE)
    if grown[0] * grown[1] > MAX_PIXELS:
        raise SettingError.of(
            "width",
            f"times height must be at most {MAX_PIXELS // 10**6} million pixels, "
            f"got {grown[0]}x{grown[1]}",
        )


def _overlap(recipe: Recipe, model: Defaults) -> int:
    """The Recipe's overlap, or by default half of the model's window."""
    multiple, window = model.size_multiple, min(model.native_size)
    if recipe.overlap is None:
        return max(1, window // 2 // multiple) * multiple
    check_multiple("overlap", recipe.overlap, multiple)
    if recipe.overlap >= window:
        raise SettingError.of(
            "overlap",
            f"must be smaller than the model's window of {model.native_size[0]}x"
            f"{model.native_size[1]}, got {recipe.overlap}",
        )
    return recipe.overlap
