"""Resolve the refiner: where it takes over, and the settings that only it has.

SDXL's refiner may also be the model itself: it then has its aesthetic scores, and no second stage.
"""

import dataclasses

from sdloop.errors import SettingError
from sdloop.recipe.limits import REFINER_START
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS

_SCORES = ("aesthetic_score", "negative_aesthetic_score")


def with_refiner(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with its default refiner_start, if the model has a refiner.

    Raises ``SettingError`` for these settings without a refiner, for what the refiner is not told,
    and for a scheduler whose steps cannot be divided between two models.
    """
    if model.scores and recipe.target_size is not None:
        raise SettingError.of("target_size", f"is no input of {recipe.model}, an SDXL refiner")
    if not model.refines:
        for name in ("refiner", "refiner_start", *(() if model.scores else _SCORES)):
            value = getattr(recipe, name)
            if value is not None:
                what = "components with it" if name == "refiner" else "a refiner (--refiner MODEL)"
                raise SettingError.of(name, f"needs {what}, got {value!r}")
        return recipe
    if recipe.scheduler and "descent" in SCHEDULERS[recipe.scheduler].knows:
        raise SettingError.of(
            "refiner", f"cannot be combined with the optimiser {recipe.scheduler}"
        )
    start = REFINER_START if recipe.refiner_start is None else recipe.refiner_start
    return dataclasses.replace(recipe, refiner_start=start)
