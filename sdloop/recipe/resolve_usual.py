"""Resolve the number of steps, and what a model for a few steps needs besides."""

import dataclasses
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.limits import USUAL_STEPS
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.presets import enough_steps, is_spaced_otherwise, may_list_timesteps
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import BY_STRENGTH, name_of

_INSIDE = ("mask", "left", "right", "up", "down")  # of a picture that is partly kept


def with_usual(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with the model's number of steps, and with the scheduler that it needs for them.

    A Recipe that names a scheduler keeps it, and so do those in files, which name one.
    """
    fields = _usual_fields(recipe, model)
    recipe = dataclasses.replace(recipe, **fields) if fields else recipe
    if recipe.steps is None:
        recipe = dataclasses.replace(recipe, steps=_steps(recipe, model))
    _check_spacing(recipe)
    return recipe


def _usual_fields(recipe: Recipe, model: Defaults) -> dict[str, Any]:
    usual = dict(model.usual_fields) if recipe.scheduler is None else {}
    if model.embeds_guidance and _spaced_by_strength(recipe, model):
        usual["timestep_spacing"] = BY_STRENGTH
    if is_spaced_otherwise(recipe.to_dict()):
        usual.pop("timestep_spacing", None)
    if not may_list_timesteps(recipe.to_dict()):
        usual.pop("timesteps", None)
    chosen = ("scheduler", "timestep_spacing", "eta", "timesteps")
    fields = {name: usual.get(name) for name in chosen}
    return {name: value for name, value in fields.items() if value and not getattr(recipe, name)}


def _spaced_by_strength(recipe: Recipe, model: Defaults) -> bool:
    """Whether to run all steps, as ``LatentConsistencyModelImg2ImgPipeline`` does."""
    own = model.usual_fields.get("scheduler", name_of(model.scheduler_config))
    scheduler = own if recipe.scheduler is None else recipe.scheduler
    starts = recipe.image is not None or recipe.hires is not None
    others = recipe.exact_steps or recipe.start_step is not None
    return scheduler == "lcm" and starts and not others and not _keeps(recipe)


def _keeps(recipe: Recipe) -> list[str]:
    return [name for name in _INSIDE if getattr(recipe, name) is not None]


def _steps(recipe: Recipe, model: Defaults) -> int:
    if model.steps >= USUAL_STEPS or recipe.timestep_spacing == BY_STRENGTH:
        return model.steps
    return enough_steps(model.steps, recipe.to_dict())


def _check_spacing(recipe: Recipe) -> None:
    """Raise ``SettingError`` for a spacing by strength where there is no strength, or another."""
    if recipe.timestep_spacing != BY_STRENGTH:
        return
    if recipe.image is None and recipe.hires is None:
        raise SettingError.of(
            "timestep_spacing", f"{BY_STRENGTH!r} needs a picture to start from, or hires"
        )
    others = {"exact_steps": recipe.exact_steps, "start_step": recipe.start_step is not None}
    refused = [*_keeps(recipe), *(name for name, given in others.items() if given)]
    if refused:
        raise SettingError.of(
            "timestep_spacing", f"{BY_STRENGTH!r} cannot be combined with {refused[0]}"
        )
