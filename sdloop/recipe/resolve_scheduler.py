"""Resolve the scheduler and guidance: the model's own are the default."""

import dataclasses

from sdloop.recipe.check import check_scheduler
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_guidance import check_embedded, check_guidance, with_guidance
from sdloop.recipe.resolve_steps import check_trained, with_descent
from sdloop.schedulers.names import class_of, name_of, sigmas_of
from sdloop.schedulers.supported import check_packages, check_suits, known_to


def with_scheduler(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with the model's own scheduler and guidance as defaults, checked together."""
    config = model.scheduler_config
    scheduler = name_of(config) if recipe.scheduler is None else recipe.scheduler
    knows = known_to(scheduler, config)
    listed = recipe.timesteps is not None or recipe.sigmas_list is not None
    sigmas = sigmas_of(config) if "sigmas" in knows and not listed else None
    recipe = dataclasses.replace(
        recipe,
        scheduler=scheduler,
        sigmas=sigmas if recipe.sigmas is None else recipe.sigmas,
    )
    name = config["_class_name"] if scheduler is None else scheduler
    check_scheduler(name, knows, recipe.to_dict())
    check_suits(name, knows, config)
    check_trained(recipe, config)
    check_packages(class_of(scheduler, config), recipe.sigmas)
    check_embedded(recipe, model)
    check_guidance(recipe, name, knows)
    return with_guidance(with_descent(recipe), model)
