"""From a Recipe to the noise levels of its steps: spaced, listed, or those of Align Your Steps."""

from torch import Tensor

from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.align_your_steps import ays, ays_timesteps
from sdloop.schedulers.names import AYS, BY_STRENGTH
from sdloop.schedulers.schedule import Scheduler, make_scheduler, set_steps
from sdloop.schedulers.supported import known_to


def scheduled(recipe: Recipe, model: Defaults) -> tuple[Scheduler, Tensor, list[float]]:
    """A scheduler that is ready for a resolved Recipe, its timesteps (CPU) and their sigmas.

    Raises what ``make_scheduler`` and ``set_steps`` raise.
    """
    knows = known_to(recipe.scheduler, model.scheduler_config)
    listed = recipe.timesteps is not None or recipe.sigmas_list is not None
    stop_noise = 0.0 if recipe.stop_noise is None else recipe.stop_noise
    scheduler = make_scheduler(
        model.scheduler_config,
        scheduler=recipe.scheduler,
        # A list replaces the checkpoint's spacing.
        sigmas="uniform" if listed and "sigmas" in knows else recipe.sigmas,
        timestep_spacing=recipe.timestep_spacing,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        stop_noise=stop_noise,
    )
    steps, start = recipe.schedule
    timesteps, sigmas = recipe.timesteps, recipe.sigmas_list
    if recipe.sigmas == AYS:
        if "sigmas_list" in knows:
            sigmas = ays(steps, sdxl=model.takes_sizes)
        else:
            timesteps = ays_timesteps(scheduler, steps, sdxl=model.takes_sizes)
    ready = set_steps(
        scheduler,
        steps,
        start=start,
        strength=recipe.strength if recipe.timestep_spacing == BY_STRENGTH else None,
        timesteps=timesteps,
        sigmas=sigmas,
    )
    return scheduler, *ready
