"""Check the settings of a Recipe against each other, and normalise each value.

The rules for a single setting are in its row of the table, see ``fields``. Checks that need the
model or the input picture are in ``resolve``.
"""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.prompt.check import check_prompt
from sdloop.prompt.compose import parts
from sdloop.recipe.controls import check_controls
from sdloop.recipe.fields import ROWS, SETTINGS
from sdloop.recipe.guidance import settled_guidance
from sdloop.recipe.image_prompts import settled_image_prompts
from sdloop.recipe.limits import MAX_SEED, RNGS, USUAL_STEPS
from sdloop.recipe.loras import check_loras
from sdloop.recipe.losses import settled_losses
from sdloop.recipe.mask import check_mask
from sdloop.recipe.mix import settled_mix
from sdloop.recipe.preprocess import check_preprocesses
from sdloop.recipe.regions import settled_regions
from sdloop.recipe.steps import settled_steps
from sdloop.rules import check_whole
from sdloop.schedulers.names import SCHEDULERS, parse_scheduler
from sdloop.schedulers.supported import check_known

PROMPTS = ("prompt", "negative_prompt", "prompt_2", "negative_prompt_2")
# Settings that only some schedulers use.
SCHEDULE_FIELDS = (
    *("sigmas", "timestep_spacing", "timesteps", "sigmas_list"),
    *("learning_rate", "weight_decay", "stop_noise", "eta_noise_seed_delta"),
)


def settled(values: Mapping[str, Any]) -> dict[str, Any]:
    """A Recipe's values, checked and normalised; raises ``SettingError`` naming the field."""
    given = {
        name: check_alone(name, value)
        for name, value in values.items()
        if value is not None or ROWS[name].default is not None
    }
    given |= _settled_scheduler(given)
    given |= _settled_rng(given)
    given |= settled_steps(given)
    given |= settled_guidance(given)
    check_together(given)
    _check_prompts(given)
    given |= settled_mix(given)
    given |= settled_losses(given)
    check_loras(given["loras"])
    check_controls(given)
    check_preprocesses(given)
    given |= settled_image_prompts(given)
    check_mask(given)
    given |= settled_regions(given, given.get("steps", USUAL_STEPS))
    return {**values, **given}


def check_alone(name: str, value: Any) -> Any:
    """The normalised value of one field.

    Raises ``SettingError`` if no Recipe can have this value, whatever its other fields are.
    """
    row = SETTINGS[name]
    if value is None and row.default is None:
        return None
    try:
        return row.kind.checked(name, value)
    except SettingError as error:
        error.field = name  # the error may name a part of the value: "loras.scale"
        raise


def _settled_scheduler(given: Mapping[str, Any]) -> dict[str, Any]:
    """The scheduler's canonical name, and the sigmas that its spelling names ("Karras")."""
    if "scheduler" not in given:
        return {}
    name, folded = parse_scheduler(given["scheduler"])
    if folded is not None and given.get("sigmas", folded) != folded:
        raise SettingError.of(
            "sigmas", f"must agree with the scheduler's {folded!r}, got {given['sigmas']!r}"
        )
    return {"scheduler": name} | ({} if folded is None else {"sigmas": folded})


def _settled_rng(given: Mapping[str, Any]) -> dict[str, Any]:
    """No generator for the usual one, which takes seeds of 32 bits only."""
    if given.get("rng", RNGS[0]) != RNGS[0]:
        return {}
    for name in ("seed", "variation_seed"):
        if name in given:
            check_whole(name, given[name], 0, MAX_SEED)
    return {"rng": None} if "rng" in given else {}


def check_together(given: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for settings that contradict each other, or would be ignored."""
    for name in ("negative_prompt", "negative_prompt_2"):
        if given.get("guidance_scale") == 1 and given.get(name):
            raise SettingError.of(
                name,
                f"needs guidance, and guidance_scale 1 switches it off: "
                f"raise guidance_scale or leave out the {name} {given[name]!r}",
            )
    if given.get("guidance_scale") == 1 and given["guidance_rescale"]:
        raise SettingError.of(
            "guidance_rescale",
            "needs guidance, and guidance_scale 1 switches it off, "
            f"got guidance_rescale {given['guidance_rescale']:g}",
        )
    if ("variation_seed" in given) != ("variation_strength" in given):
        raise SettingError.of("variation_seed", "and variation_strength must be given together")
    if "start_step" in given and ("strength" in given or given["exact_steps"]):
        other = "strength" if "strength" in given else "exact_steps"
        raise SettingError.of("start_step", f"cannot be combined with {other}: remove one of them")
    if given.get("refiner_start") in (0, 1):
        raise SettingError.of(
            "refiner_start",
            f"must be more than 0 and less than 1, got {given['refiner_start']:g}",
        )
    if "hires" in given and ("image" in given or "factor" in given):
        raise SettingError.of(
            "hires",
            f"works only without an image, got {given['hires']:g}: use factor to enlarge an image",
        )
    _check_enlarging(given)
    if "scheduler" in given:
        check_scheduler(given["scheduler"], SCHEDULERS[given["scheduler"]].knows, given)


def _check_enlarging(given: Mapping[str, Any]) -> None:
    """Check that what enlarges a picture is needed, and that there is only one."""
    for name in ("enlarge", "upscaler"):
        if name in given and "factor" not in given and "hires" not in given:
            raise SettingError.of(
                name, f"needs factor or hires, which set how much, got {name} {given[name]!r}"
            )
    if "upscaler" in given and given.get("enlarge") == "latent":
        raise SettingError.of(
            "upscaler",
            f"cannot be combined with enlarge 'latent': it enlarges pixels, "
            f"got {given['upscaler']!r}",
        )
    if "upscaler_sha256" in given and "upscaler" not in given:
        raise SettingError.of("upscaler_sha256", "needs upscaler, the file that has this sha256")


def _check_prompts(given: Mapping[str, Any]) -> None:
    """Check the grammar of each prompt, and that negative_prompt_2 has a negative_prompt."""
    if "negative_prompt_2" in given and "negative_prompt" not in given:
        raise SettingError.of("negative_prompt_2", 'needs a negative_prompt, which may be ""')
    if given["emphasis"] == "none":
        return
    steps = given.get("steps", USUAL_STEPS)  # without a number the model decides
    for name in PROMPTS:
        if name in given:
            check_prompt(name, given[name], steps, combines=name == "prompt")
    if len(parts(given["prompt"])) == 1:
        return
    if "prompt_2" in given:
        raise SettingError.of(
            "prompt_2", f"cannot be combined with AND, got the prompt {given['prompt']!r}"
        )
    if given.get("guidance_scale") == 1:
        raise SettingError(
            "AND needs guidance, and guidance_scale 1 switches it off: "
            f"raise guidance_scale or leave AND out of {given['prompt']!r}"
        )


def check_scheduler(scheduler: str, knows: frozenset[str], values: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for settings that have no effect with the scheduler."""
    asked = {name: values.get(name) for name in SCHEDULE_FIELDS}
    delta = values.get("eta_noise_seed_delta")
    if delta is not None and "eta" in knows and not values["eta"]:
        raise SettingError.of(
            "eta_noise_seed_delta",
            f"needs eta above 0 with the scheduler {scheduler}, got {delta}",
        )
    check_known(scheduler, knows, {**asked, "eta": values["eta"] if values["eta"] > 0 else None})
