"""From a Recipe to the guide that the loop calls."""

from sdloop.guidance.guiders import (
    Guide,
    Projected,
    Renoising,
    Thresholded,
    ZeroStar,
    plain,
    rescaled,
)
from sdloop.recipe.guidance_grammar import parse_guidance
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import Scheduler, noise_levels, steps_of


def guided_by(
    recipe: Recipe, scheduler: Scheduler, usual: Guide = plain
) -> tuple[Guide, Scheduler]:
    """The guide of a resolved Recipe, and its scheduler; needed anew for each run of the loop.

    ``usual`` is the guide without a method of guidance. ``set_steps`` must have run.
    """
    guidance = parse_guidance("cfg" if recipe.guidance is None else recipe.guidance)
    numbers, kind = guidance.numbers, scheduler.config.get("prediction_type", "epsilon")
    guide = usual
    match guidance.name:
        case "apg":
            eta, momentum = numbers["eta"], numbers["momentum"]
            guide = Projected(
                prediction_type=kind, eta=eta, momentum=momentum, norm=numbers.get("norm")
            )
        case "threshold":
            percentile, limit = numbers["percentile"], numbers["limit"]
            guide = Thresholded(prediction_type=kind, percentile=percentile, limit=limit)
        case "cfg-zero":
            guide = ZeroStar(zero_above=_sigma_at(scheduler, int(numbers["zero"])))
        case "cfg++":
            renoising = Renoising(scheduler=scheduler)
            guide, scheduler = renoising.guide, renoising
    if recipe.guidance_rescale:
        guide = rescaled(guide, recipe.guidance_rescale)
    return guide, scheduler


def _sigma_at(scheduler: Scheduler, step: int) -> float:
    """The sigma at the start of a step of the whole schedule; 0 after the last step."""
    steps = steps_of(scheduler, scheduler.timesteps)
    return noise_levels(scheduler)[steps.index(step)] if step in steps else 0.0
