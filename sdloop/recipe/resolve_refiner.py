"""Resolve the refiner: where it takes over, and the settings that only it has."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.recipe.limits import REFINER_START
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS

FIELDS = ("refiner_start", "aesthetic_score", "negative_aesthetic_score")


def with_refiner(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with its default refiner_start, if the model has a refiner.

    Raises ``SettingError`` for these settings without a refiner, and for a scheduler whose steps
    cannot be divided between two models.
    """
    if not model.refines:
        for name in ("refiner", *FIELDS):
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
