"""Resolve steps: check listed timesteps, and fill in an optimiser's settings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.limits import STOP_NOISE
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS


def check_trained(recipe: Recipe, config: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for listed timesteps that the model was not trained with."""
    trained = config.get("num_train_timesteps", 1000)
    if recipe.timesteps is not None and recipe.timesteps[0] >= trained:
        raise SettingError.of(
            "timesteps", f"must be less than the model's {trained}, got {recipe.timesteps[0]}"
        )


def with_descent(recipe: Recipe) -> Recipe:
    """``recipe`` with the defaults of its optimiser, if its scheduler is one."""
    entry = None if recipe.scheduler is None else SCHEDULERS[recipe.scheduler]
    if entry is None or "descent" not in entry.knows:
        return recipe
    usual = {"stop_noise": STOP_NOISE, **entry.options}
    fields: dict[str, Any] = {
        name: usual.get(name) if getattr(recipe, name) is None else getattr(recipe, name)
        for name in ("learning_rate", "weight_decay", "stop_noise")
    }
    return dataclasses.replace(recipe, **fields)
