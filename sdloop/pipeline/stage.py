"""The stages of a batch: the runs of the loop, each with its scheduler, before they begin.

There is one, or with ``hires`` a second, larger one. A refiner divides each of them in two.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from sdloop.errors import SettingError
from sdloop.models.components.load import Components
from sdloop.pipeline.own_code import NO_OWN_CODE, OwnCode
from sdloop.pipeline.steps import scheduled
from sdloop.recipe.guidance_scales import guidance_scales
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.stages import stages
from sdloop.schedulers.schedule import Scheduler, place_of, steps_of, unet_calls


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One run of the loop before it begins: ``set_steps`` has run for its scheduler.

    ``places`` are those of its steps in the whole schedule, from 0 to 1.
    ``components`` are those of the model or its refiner. A stage that ``goes_on`` starts from the
    latents of the one before as they are.
    """

    components: Components
    batch: tuple[Recipe, ...]
    scheduler: Scheduler
    timesteps: Tensor
    sigmas: tuple[float, ...]
    guidance_scales: tuple[float, ...]
    places: tuple[float, ...]
    refines: bool = False
    goes_on: bool = False


def sigmas_of_row(planned: Sequence[Stage], row: int) -> tuple[float, ...]:
    """The noise levels at which the UNet ran for the picture in a batch's ``row``."""
    runs = [stage.sigmas[: unet_calls(stage.scheduler, stage.timesteps, row)] for stage in planned]
    return tuple(itertools.chain.from_iterable(runs))


def stages_of(
    components: Components, batch: Sequence[Recipe], own: OwnCode = NO_OWN_CODE
) -> list[Stage]:
    """The stages of a batch, whose Recipes are equal in all that decides them.

    Raises ``SettingError`` for a guidance interval that contains none of the steps, and for a
    refiner_start that leaves the model or its refiner without any.
    """
    whole = [_stage(components, recipes, own) for recipes in zip(*map(stages, batch), strict=True)]
    planned = whole
    if components.refiner is not None:
        refiner = components.refiner
        planned = [part for one in whole for part in divided(one, _stage(refiner, one.batch, own))]
        check_divided(batch[0], planned)
    interval = batch[0].guidance_interval
    if interval is not None and all({1} == set(stage.guidance_scales) for stage in planned):
        sigmas = [sigma for stage in planned for sigma in stage.sigmas]
        raise SettingError(
            f"guidance_interval must contain the sigma of at least one step, got {interval}; they "
            f"go from {max(sigmas):.4g} to {min(sigmas):.4g}"
        )
    return planned


def _stage(components: Components, batch: tuple[Recipe, ...], own: OwnCode) -> Stage:
    recipe = batch[0]
    scheduler, timesteps, sigmas = own.scheduled(recipe) or scheduled(recipe, components)
    whole = steps_of(scheduler, scheduler.timesteps)
    places = [step / max(1, whole[-1]) for step in whole[-len(timesteps) :]]
    scales = guidance_scales(recipe, sigmas=sigmas, places=places)
    if components.embeds_guidance:  # each picture's own scale is in the conditioning
        scales = [1.0] * len(timesteps)
    return Stage(
        components=components,
        batch=batch,
        scheduler=scheduler,
        timesteps=timesteps,
        sigmas=tuple(sigmas),
        guidance_scales=tuple(scales),
        places=tuple(places),
    )


def divided(stage: Stage, refiner: Stage) -> list[Stage]:
    """``stage`` up to the Recipe's refiner_start, then the rest of it with the refiner.

    Like diffusers' denoising_end and denoising_start: steps whose timestep is at least the same
    share of the training's are the model's. Steps of second-order schedulers are not cut in two.
    """
    start = stage.batch[0].refiner_start
    assert start is not None  # resolved
    trained = stage.scheduler.config.get("num_train_timesteps", 1000)
    cutoff = round(trained - start * trained)
    count = int((stage.timesteps >= cutoff).sum())
    count -= count % stage.scheduler.order
    parts = [_part(stage, slice(count), 0), _part(refiner, slice(count, None), count)]
    parts[1] = replace(parts[1], refines=True, goes_on=count > 0)
    return [part for part in parts if len(part.timesteps)]


def _part(stage: Stage, steps: slice, skipped: int) -> Stage:
    """Some of a stage's iterations; ``skipped`` are those before them."""
    if skipped and hasattr(stage.scheduler, "set_begin_index"):
        begin = place_of(stage.scheduler, stage.timesteps)
        stage.scheduler.set_begin_index(begin + skipped)
    return replace(
        stage,
        timesteps=stage.timesteps[steps],
        sigmas=stage.sigmas[steps],
        guidance_scales=stage.guidance_scales[steps],
        places=stage.places[steps],
    )


def check_divided(recipe: Recipe, planned: Sequence[Stage]) -> None:
    """Raise ``SettingError`` if the model or its refiner has no step at all."""
    for refines, name, remedy in (
        (False, "the model", "a higher refiner_start, more steps or a higher strength"),
        (True, "the refiner", "a lower refiner_start or more steps"),
    ):
        if all(stage.refines != refines for stage in planned):
            total = sum(len(stage.timesteps) for stage in planned)
            raise SettingError.of(
                "refiner_start",
                f"must leave steps to {name}, got {recipe.refiner_start:g}, which leaves it none "
                f"of {total}; remedy: {remedy}",
            )
