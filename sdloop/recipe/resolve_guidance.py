"""Resolve guidance: the model's default scale, and the schedulers that each method supports."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.prompt.compose import parts
from sdloop.recipe.guidance_grammar import PLUS_PLUS_SCALE, parse_guidance
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe

# Methods that work on the UNet's prediction of the clean picture.
ON_CLEAN = frozenset({"apg", "threshold", "cfg++"})
USUAL_LAYERS = "mid"  # where perturbed attention does the most (arXiv:2403.17377, section 5.3)


def check_guidance(recipe: Recipe, scheduler: str, knows: frozenset[str]) -> None:
    """Raise ``SettingError`` for a guidance method that the scheduler does not support."""
    name = parse_guidance(recipe.guidance).name if recipe.guidance is not None else "cfg"
    if name == "cfg++" and scheduler not in ("ddim", "euler"):
        raise SettingError.of(
            "guidance",
            f"cfg++ needs the scheduler ddim or euler, got {scheduler!r}",
        )
    if name in ON_CLEAN and "edm" in knows:
        raise SettingError.of(
            "guidance",
            f"{name} does not work with EDM schedulers, got {scheduler!r}",
        )


# Settings of classifier-free guidance, which a UNet with the scale as an input does not run.
_FREE = (
    *("negative_prompt", "negative_prompt_2", "guidance", "guidance_interval"),
    *("guidance_schedule", "guidance_rescale"),
)


def check_embedded(recipe: Recipe, model: Defaults) -> None:
    """Raise ``SettingError`` for settings that a UNet which takes the scale itself would ignore."""
    if not model.embeds_guidance:
        return
    why = (
        f"has no effect with {recipe.model}, whose UNet takes the guidance scale as an input "
        "(LCM) and is not run without the prompt"
    )
    if model.refines:
        raise SettingError.of(
            "refiner",
            f"cannot be combined with {recipe.model}, whose UNet takes the guidance scale as an "
            f"input, got {recipe.refiner!r}",
        )
    for name in _FREE:
        value = getattr(recipe, name)
        if value:
            raise SettingError.of(name, f"{why}, got {value!r}")
    if len(parts(recipe.prompt)) > 1 and recipe.emphasis != "none":
        raise SettingError.of("prompt", f"with AND {why}, got {recipe.prompt!r}")


def with_guidance(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with the default scale, if it has no scale or schedule, and default layers."""
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
