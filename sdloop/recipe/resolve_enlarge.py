"""Resolve factor, hires, upscaler and tile: how pictures are enlarged, and the UNet's windows."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.images.input.frame import scaled_size
from sdloop.images.input.read import InputFacts, check_sha256
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_multiple, check_whole

# An enlarged picture of more than this many times the model's own area is processed in windows;
# below that, the whole picture at once gives better results. A picture from noise is never split by
# default: with windows, each part would become a picture of the whole prompt.
WHOLE_AREAS = 4
LEAST_TILE = 8  # latents


def with_factor(recipe: Recipe, model: Defaults, picture: InputFacts) -> Recipe:
    """``recipe`` with the size of the enlarged picture, rounded to multiples for the model.

    An upscaler always enlarges by its own factor, unless a size is given.
    """
    untold = (recipe.factor, recipe.width, recipe.height, recipe.resize) == (None,) * 4
    if untold and model.max_noise_level is not None:
        recipe = dataclasses.replace(recipe, factor=float(model.size_multiple))
    if recipe.factor is None:
        return recipe
    if recipe.mask is not None:
        raise SettingError.of("factor", f"cannot be combined with a mask, got {recipe.factor:g}")
    sides = scaled_size(picture.size, recipe.factor, model.size_multiple)
    for name, side in zip(("width", "height"), sides, strict=True):
        given = getattr(recipe, name)
        if given not in (None, side):
            raise SettingError.of(
                name,
                f"must agree with factor {recipe.factor:g}, which makes it {side}, got {given}",
            )
    recipe = dataclasses.replace(recipe, width=sides[0], height=sides[1])
    if model.max_noise_level is not None:  # an upscaler enlarges by itself
        return recipe
    return dataclasses.replace(recipe, enlarge=recipe.enlarge or "lanczos")


def with_hires(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with a default enlarge; raises ``SettingError`` if ``hires`` gives a bad size."""
    hires, multiple = recipe.hires, model.size_multiple
    assert hires is not None
    for name, side in zip(("width", "height"), recipe.size, strict=True):
        if abs(side * hires / multiple - round(side * hires / multiple)) > 1e-6:
            nearest = round(side * hires / multiple) * multiple
            raise SettingError.of(
                "hires",
                f"must make sides that are multiples of {multiple}, got {hires:g}, which "
                f"makes the {name} {side * hires:g}; nearest: {nearest / side:.6g}",
            )
    return dataclasses.replace(recipe, enlarge=recipe.enlarge or "lanczos")


def with_upscaler(recipe: Recipe, sha256: str | None) -> Recipe:
    """``recipe`` with the ``sha256`` of its upscaler's file, if it has one.

    Raises ``FileError`` for another file than the one that the Recipe was made with.
    """
    if recipe.upscaler is None:
        return recipe
    if sha256 is None:
        raise SettingError.of(
            "upscaler", f"must be found before the recipe is resolved, got {recipe.upscaler!r}"
        )
    check_sha256(repr(recipe.upscaler), recipe.upscaler_sha256, sha256, what="upscaler")
    return dataclasses.replace(recipe, upscaler_sha256=sha256)


def with_tile(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with a default tile: windows if an enlarged picture is too large as a whole.

    Windows have edges, so a seamless picture has none.
    """
    (width, height), (across, down) = recipe.final_size, model.native_size
    large = width * height > WHOLE_AREAS * across * down and recipe.seamless is None
    enlarged = recipe.enlarge is not None or recipe.noise_level is not None
    usual = max(across, down) if large and enlarged else None
    if recipe.tile is None or recipe.tile == 0:
        asked = 0 if recipe.tile == 0 and usual is not None else None
        return dataclasses.replace(recipe, tile=usual if recipe.tile is None else asked)
    if recipe.tile >= max(width, height):
        raise SettingError.of(
            "tile",
            f"must be less than the longer side of {width}x{height}, got {recipe.tile}: "
            "one window would cover the whole picture",
        )
    check_whole("tile", recipe.tile, LEAST_TILE * model.size_multiple, max(width, height))
    check_multiple("tile", recipe.tile, model.size_multiple)
    return recipe
