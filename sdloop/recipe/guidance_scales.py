"""The guidance scale of each step of the loop."""

import math
from collections.abc import Sequence

from sdloop.recipe.guidance_grammar import parse_interval, parse_schedule
from sdloop.recipe.recipe import Recipe


def guidance_scales(
    recipe: Recipe, *, sigmas: Sequence[float], places: Sequence[float]
) -> list[float]:
    """The guidance scale of each step of a resolved Recipe; 1 where guidance is off.

    ``sigmas`` are the noise levels of the steps. ``places`` are their positions in the whole
    schedule, from 0 (its first step) to 1 (its last); img2img runs only the last of them. So the
    scale depends on the noise level, and not on the number of steps that run.

    Interval: Kynkäänniemi et al. 2024 (arXiv:2404.07724), equation 6; schedules: Wang et al. 2024
    (arXiv:2404.13040), section 4.
    """
    if recipe.guidance_schedule is None:
        assert recipe.guidance_scale is not None  # resolved
        scales = [recipe.guidance_scale] * len(sigmas)
    else:
        shape, values = parse_schedule(recipe.guidance_schedule)
        scales = [
            _between(values, _eased(place) if shape == "cosine" else place) for place in places
        ]
    if recipe.guidance_interval is None:
        return scales
    lowest, highest = parse_interval(recipe.guidance_interval)
    pairs = zip(scales, sigmas, strict=True)
    return [scale if lowest < sigma <= highest else 1.0 for scale, sigma in pairs]


def _eased(place: float) -> float:
    """Half a period of the cosine: slow near the first and the last value."""
    return (1 - math.cos(math.pi * place)) / 2


def _between(values: Sequence[float], place: float) -> float:
    """The value at a place from 0 to 1, by linear interpolation between ``values``."""
    at = place * (len(values) - 1)
    first = min(int(at), len(values) - 2) if len(values) > 1 else 0
    if len(values) == 1:
        return values[0]
    share = at - first
    return (1 - share) * values[first] + share * values[first + 1]
