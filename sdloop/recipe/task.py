"""What a model is for, where that is not any picture: a Recipe must ask for nothing else."""

import dataclasses
from collections.abc import Iterable

from sdloop.errors import SettingError
from sdloop.recipe.fields_image import GROWTH, MASK, START
from sdloop.recipe.limits import DEFAULT_NOISE_LEVEL
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.rules import Size, check_whole

# What means something only beside a picture to start from.
START_FIELDS = ("strength", "exact_steps", "start_step")
IMAGE_FIELDS = (*START, "factor", "enlarge", "noise_level", *MASK, *GROWTH)
# And what the second stage of a picture that starts from noise has of these.
HIRES_FIELDS = (*START_FIELDS, "enlarge")


def check_task(recipe: Recipe, model: Defaults) -> None:
    """Raise ``SettingError`` where the model is for other pictures than ``recipe`` asks for."""
    if model.paints and recipe.mask is None and recipe.growth is None:
        raise SettingError.of(
            "mask",
            f"must be given to an inpainting model, and {recipe.model} is one: use "
            "`sdloop inpaint`, or `sdloop outpaint` to let a picture grow",
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
            f"must be given to an upscaler, and {recipe.model} is one: use `sdloop upscale`",
        )
    what = f"for models that start from the picture itself, and {recipe.model} is an upscaler"
    refuse(recipe, (*START_FIELDS, "enlarge", *MASK, *GROWTH), what)
    if recipe.factor not in (None, model.size_multiple):
        raise SettingError.of(
            "factor",
            f"must be {model.size_multiple} for the upscaler {recipe.model}, got {recipe.factor:g}",
        )


def refuse(recipe: Recipe, names: Iterable[str], what: str) -> None:
    """Raise ``SettingError`` if ``recipe`` has one of the fields, which are ``what``."""
    for name in names:
        value = getattr(recipe, name)
        if value is not None and value is not False:  # and 0 is a step
            raise SettingError.of(name, f"is {what}")


def with_noise_level(recipe: Recipe, model: Defaults) -> Recipe:
    """The same with the noise that an upscaler is told, if nobody told how much."""
    most = model.max_noise_level
    if most is None:
        return recipe
    usual = min(DEFAULT_NOISE_LEVEL, most)
    level = usual if recipe.noise_level is None else recipe.noise_level
    check_whole("noise_level", level, 0, most)
    return dataclasses.replace(recipe, noise_level=level)


def usual_size(model: Defaults, picture: Size) -> Size:
    """Width and height of what a picture becomes where none are named, before it is rounded.

    To an upscaler each pixel is a latent. Others work best at the area that they were trained at.
    """
    if model.max_noise_level is None:
        return model.native_size
    return picture[0] * model.size_multiple, picture[1] * model.size_multiple
