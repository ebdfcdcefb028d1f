"""Check that a Recipe suits an inpainting model, an upscaler or SDXL's refiner."""

import dataclasses
from collections.abc import Iterable

from sdloop.errors import SettingError
from sdloop.recipe.fields_image import GROWTH, MASK, START
from sdloop.recipe.limits import DEFAULT_NOISE_LEVEL
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.rules import Size, check_whole

# Settings that only pictures with an input picture have.
START_FIELDS = ("strength", "exact_steps", "start_step")
# How a picture is enlarged, by a factor or by hires.
ENLARGING = ("enlarge", "upscaler", "upscaler_sha256")
IMAGE_FIELDS = (*START, "factor", *ENLARGING, "noise_level", *MASK, *GROWTH)
# The ones of these that the second stage of hires also has.
HIRES_FIELDS = (*START_FIELDS, *ENLARGING)


def check_task(recipe: Recipe, model: Defaults) -> None:
    """Raise ``SettingError`` if ``recipe`` does not suit the kind of the model.

    That is an inpainting model, an upscaler or SDXL's refiner; other models take any Recipe.
    """
    if model.scores and recipe.image is None:
        raise SettingError.of(
            "image",
            f"must be given for {recipe.model}, an SDXL refiner, which only finishes pictures: use "
            "`sdloop img2img`, or --refiner beside another --model",
        )
    if model.paints and recipe.mask is None and recipe.growth is None:
        raise SettingError.of(
            "mask",
            f"must be given for the inpainting model {recipe.model}: use `sdloop inpaint`, or "
            "`sdloop outpaint` to extend a picture",
        )
    if model.max_noise_level is None:
        if recipe.noise_level is not None:
            raise SettingError.of(
                "noise_level", f"needs an upscaler model, and {recipe.model} is not one"
            )
        return
    if recipe.image is None:
        raise SettingError.of(
            "image",
            f"must be given for the upscaler {recipe.model}: use `sdloop upscale`",
        )
    what = f"not supported by upscalers, and {recipe.model} is one"
    refuse(recipe, (*START_FIELDS, *ENLARGING, *MASK, *GROWTH), what)
    if recipe.factor not in (None, model.size_multiple):
        raise SettingError.of(
            "factor",
            f"must be {model.size_multiple} for the upscaler {recipe.model}, got {recipe.factor:g}",
        )


def refuse(recipe: Recipe, names: Iterable[str], what: str) -> None:
    """Raise ``SettingError`` if ``recipe`` has one of the fields; ``what`` ends the message."""
    for name in names:
        value = getattr(recipe, name)
        if value is not None and value is not False:  # 0 is a value: the first step
            raise SettingError.of(name, f"is {what}")


def with_noise_level(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with the default noise_level, if the model is an upscaler."""
    most = model.max_noise_level
    if most is None:
        return recipe
    usual = min(DEFAULT_NOISE_LEVEL, most)
    level = usual if recipe.noise_level is None else recipe.noise_level
    check_whole("noise_level", level, 0, most)
    return dataclasses.replace(recipe, noise_level=level)


def usual_size(model: Defaults, picture: Size) -> Size:
    """The default width and height for an input picture, before rounding.

    An upscaler multiplies the picture's size. Other models work best at the area that they were
    trained with.
    """
    if model.max_noise_level is None:
        return model.native_size
    return picture[0] * model.size_multiple, picture[1] * model.size_multiple
