"""What each field of a Recipe may hold, and which of them contradict each other.

The tables say what can be said of one field alone; a new field goes into one of them. Whatever
needs the model or the picture to be judged is ``resolve``'s.
"""

import re
from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError, about
from sdloop.images.input.frame import BACK, RESIZES, settled_colour
from sdloop.prompt.check import check_prompt
from sdloop.prompt.chunks import EMPHASES
from sdloop.prompt.compose import parts
from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.recipe.guidance import settled_guidance
from sdloop.recipe.guidance_grammar import SPOKEN
from sdloop.recipe.loras import checked_loras
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.losses import LOSS_MODES, settled_losses
from sdloop.recipe.mix import settled_mix
from sdloop.recipe.steps import MAX_STEPS, settled_steps
from sdloop.rules import MAX_SIDE, check_choice, check_number, check_text, check_whole, checked_pair
from sdloop.schedulers.names import AYS, SCHEDULERS, SIGMAS, SPACINGS, check_known, parse_scheduler

MAX_SEED = 2**32 - 1
ENLARGES = ("lanczos", "latent")

PROMPTS = ("prompt", "negative_prompt", "prompt_2", "negative_prompt_2")
TEXTS = (
    *PROMPTS,
    *("emphasis", "model", "revision", "variant", "vae", "scheduler", "sigmas"),
    *("timestep_spacing", "image", "image_sha256", "resize", "background", "mask", "mask_sha256"),
    *("enlarge", "guidance", "guidance_interval", "guidance_schedule", "pag_layers", "slg_layers"),
    *("loss_mode", "loss_clip", "loss_clip_sha256"),
)
FLAGS = ("exact_steps", "invert_mask", "no_keep", "slerp")
WHOLES = {
    "seed": (0, MAX_SEED),
    "variation_seed": (0, MAX_SEED),
    "steps": (1, MAX_STEPS),
    "clip_skip": (1, 99),
    "width": (1, MAX_SIDE),
    "height": (1, MAX_SIDE),
    "start_step": (0, MAX_STEPS - 1),
    "tile": (0, MAX_SIDE),
    "mask_margin": (0, MAX_SIDE),
    "noise_level": (0, 999),
    "left": (1, MAX_SIDE),
    "right": (1, MAX_SIDE),
    "up": (1, MAX_SIDE),
    "down": (1, MAX_SIDE),
    "overlap": (1, MAX_SIDE),
    "loss_every": (1, MAX_STEPS),
}
NUMBERS = {
    "guidance_scale": (0.0, 1e4),
    "guidance_rescale": (0.0, 1.0),
    "pag_scale": (0.0, 1e3),
    "slg_scale": (0.0, 1e3),
    "eta": (0.0, 1.0),
    "strength": (0.0, 1.0),
    "factor": (1.0, 16.0),
    "hires": (1.0, 16.0),
    "mask_blur": (0.0, 1e3),
    "variation_strength": (0.0, 1.0),
    "learning_rate": (1e-4, 1e4),
    "weight_decay": (0.0, 1e2),
    "stop_noise": (0.0, 1e2),
}
PAIRS = ("original_size", "crop_top_left", "target_size")
CHOICES = {
    "sigmas": (*SIGMAS, AYS),
    "timestep_spacing": SPACINGS,
    "resize": (*RESIZES, BACK),
    "enlarge": ENLARGES,
    "emphasis": EMPHASES,
    "loss_mode": LOSS_MODES,
}
# What means something to some schedulers alone.
SCHEDULE_FIELDS = (
    *("sigmas", "timestep_spacing", "timesteps", "sigmas_list"),
    *("learning_rate", "weight_decay", "stop_noise"),
)
FILES = ("image", "mask")
HASHES = ("image_sha256", "mask_sha256", "loss_clip_sha256")
LISTS = (
    *("embeddings", "embeddings_sha256", "replace_tokens", "replace_tokens_sha256"),
    *("losses", "losses_sha256"),
)
# None would be no answer here: these have a default.
NEEDED = frozenset(
    {
        *("prompt", "emphasis", "model", "seed", "clip_skip", "guidance_rescale", "eta"),
        *("loras", *FLAGS),
    }
)


def settled(values: Mapping[str, Any]) -> dict[str, Any]:
    """A Recipe's values, each in its one form; raises ``SettingError`` naming the field."""
    given = {name: v for name, v in values.items() if v is not None or name in NEEDED}
    for name, value in given.items():
        with about(name):
            check_alone(name, value)
    given |= {name: float(given[name]) for name in NUMBERS if name in given}
    given |= {name: checked_pair(name, given[name]) for name in PAIRS if name in given}
    given |= {name: tuple(given[name]) for name in LISTS if name in given}
    given["loras"] = checked_loras(given["loras"])
    if "background" in given:
        given["background"] = settled_colour("background", given["background"])
    given |= _settled_scheduler(given)
    given |= settled_steps(given)
    given |= settled_guidance(given)
    check_together(given)
    _check_prompts(given)
    given |= settled_mix(given)
    given |= settled_losses(given)
    return {**values, **given}


def _check(name: str, value: Any) -> None:
    """What can be said of one field alone."""
    if name in TEXTS:
        check_text(name, value, optional=False)
    if name in WHOLES:
        check_whole(name, value, *WHOLES[name])
    if name in NUMBERS:
        check_number(name, value, *NUMBERS[name])
    if name in CHOICES:
        check_choice(name, value, CHOICES[name])
    if name in LISTS:
        _check_list(name, value)
    if name in FLAGS and not isinstance(value, bool):
        raise SettingError(f"{name} must be true or false, got {value!r}", field=name)
    if name in FILES and value == "":
        raise SettingError(f"{name} must name a file, got ''", field=name)
    if name in HASHES:
        _check_hash(name, value)


def check_alone(name: str, value: Any) -> None:
    """Raise ``SettingError`` for what no Recipe can have in this field, whatever the others are."""
    if value is None and name not in NEEDED:
        return
    _check(name, value)
    if name in PAIRS:
        checked_pair(name, value)
    elif name == "scheduler":
        parse_scheduler(value)
    elif name == "loras":
        checked_loras(value)
    elif name == "background":
        settled_colour(name, value)
    elif name in SPOKEN:
        SPOKEN[name](value)


def _check_list(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not value:
        raise SettingError(f"{name} must be a list of one text or more, got {value!r}", field=name)
    for one in value:
        check_text(name, one, optional=False)
        if name == "embeddings":
            parse_embedding(one)
        elif name == "replace_tokens":
            parse_replacement(one)
        elif name == "losses":
            parse_loss(one)
        else:
            _check_hash(name, one)


def _check_hash(name: str, value: str) -> None:
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise SettingError(f"{name} must be 64 hex digits, got {value!r}", field=name)


def _settled_scheduler(given: Mapping[str, Any]) -> dict[str, Any]:
    """One name for all spellings, so that equal Recipes compare equal, and what they fold in."""
    if "scheduler" not in given:
        return {}
    name, folded = parse_scheduler(given["scheduler"])
    if folded is not None and given.get("sigmas", folded) != folded:
        raise SettingError(
            f"sigmas must agree with the scheduler's {folded!r}, got {given['sigmas']!r}",
            field="sigmas",
        )
    return {"scheduler": name} | ({} if folded is None else {"sigmas": folded})


def check_together(given: Mapping[str, Any]) -> None:
    """A setting that would be ignored is an error: the user believes that it does something."""
    for name in ("negative_prompt", "negative_prompt_2"):
        if given.get("guidance_scale") == 1 and given.get(name):
            raise SettingError(
                f"{name} needs guidance, and guidance_scale 1 switches it off: "
                f"raise guidance_scale or leave out the {name} {given[name]!r}",
                field=name,
            )
    if given.get("guidance_scale") == 1 and given["guidance_rescale"]:
        raise SettingError(
            "guidance_rescale needs guidance, and guidance_scale 1 switches it off, "
            f"got guidance_rescale {given['guidance_rescale']:g}",
            field="guidance_rescale",
        )
    if ("variation_seed" in given) != ("variation_strength" in given):
        raise SettingError(
            "variation_seed and variation_strength must be given together", field="variation_seed"
        )
    if "start_step" in given and ("strength" in given or given["exact_steps"]):
        other = "strength" if "strength" in given else "exact_steps"
        raise SettingError(
            f"start_step says where to start, and so does {other}: drop one", field="start_step"
        )
    if "hires" in given and ("image" in given or "factor" in given):
        raise SettingError(
            "hires is for pictures that are made from noise; what starts from a picture is "
            f"enlarged by factor: drop hires {given['hires']:g}",
            field="hires",
        )
    if "enlarge" in given and "factor" not in given and "hires" not in given:
        raise SettingError(
            f"enlarge needs factor or hires, which say how much, got enlarge {given['enlarge']!r}",
            field="enlarge",
        )
    if "scheduler" in given:
        check_scheduler(given["scheduler"], SCHEDULERS[given["scheduler"]].knows, given)


def _check_prompts(given: Mapping[str, Any]) -> None:
    """Each can be read, and the second ones have first ones that they belong to."""
    if "negative_prompt_2" in given and "negative_prompt" not in given:
        raise SettingError(
            'negative_prompt_2 needs a negative_prompt, which may be ""', field="negative_prompt_2"
        )
    if given["emphasis"] == "none":
        return
    for name in PROMPTS:
        if name in given:
            check_prompt(name, given[name], given["steps"], combines=name == "prompt")
    if len(parts(given["prompt"])) == 1:
        return
    if "prompt_2" in given:
        raise SettingError(
            f"prompt_2 goes with one prompt, and AND makes several of {given['prompt']!r}",
            field="prompt_2",
        )
    if given.get("guidance_scale") == 1:
        raise SettingError(
            "AND combines what guidance follows, and guidance_scale 1 switches it off: "
            f"raise guidance_scale or leave AND out of {given['prompt']!r}"
        )


def check_scheduler(scheduler: str, knows: frozenset[str], values: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for what is set and means nothing to the scheduler."""
    asked = {name: values.get(name) for name in SCHEDULE_FIELDS}
    check_known(scheduler, knows, {**asked, "eta": values["eta"] if values["eta"] > 0 else None})
