"""A Recipe's guidance meets its model: the scale that suits it, and schedulers that can follow."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.recipe.guidance_grammar import PLUS_PLUS_SCALE, parse_guidance
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe

# Those that work on what the UNet takes the clean picture to be.
ON_CLEAN = frozenset({"apg", "threshold", "cfg++"})
USUAL_LAYERS = "mid"  # where perturbed attention does the most (arXiv:2403.17377, section 5.3)


def check_guidance(recipe: Recipe, scheduler: str, knows: frozenset[str]) -> None:
    """Raise ``SettingError`` for a guidance that the scheduler cannot follow."""
    name = parse_guidance(recipe.guidance).name if recipe.guidance is not None else "cfg"
    if name == "cfg++" and scheduler not in ("ddim", "euler"):
        raise SettingError.of(
            "guidance",
            "cfg++ changes how a step adds its noise back, which is known for the "
            f"schedulers ddim and euler, got {scheduler!r}",
        )
    if name in ON_CLEAN and "edm" in knows:
        raise SettingError.of(
            "guidance",
            f"{name} needs the clean picture in a form that EDM schedulers do not provide, "
            f"got {scheduler!r}",
        )


def with_guidance(recipe: Recipe, model: Defaults) -> Recipe:
    """With the model's own scale where neither one nor a schedule is named, and layers."""
    scale = recipe.guidance_scale
    if scale is None and recipe.guidance_schedule is None:
        scale = PLUS_PLUS_SCALE if recipe.guidance == "cfg++" else model.guidance_scale
    return dataclasses.replace(
        recipe,
        guidance_scale=scale,
        pag_layers=_layers(recipe.pag_scale, recipe.pag_layers),
        slg_layers=_layers(recipe.slg_scale, recipe.slg_layers),
    )


def _layers(scale: float | None, layers: str | None) -> str | None:
    return USUAL_LAYERS if scale is not None and layers is None else layers
