"""Convert A1111's settings to Recipe fields."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.metadata.a1111 import NEGATIVE, Parameters
from sdloop.metadata.a1111_write import AYS_NAME, EMPHASES
from sdloop.metadata.foreign.value import masked, noise
from sdloop.recipe.limits import MAX_SEED
from sdloop.recipe.loras import split_other_tags
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import AYS, SCHEDULERS, parse_scheduler

# A1111's "Automatic" stands for these schedules; for all other samplers it is the uniform one.
_AUTOMATIC = {
    "dpm2": "karras",
    "dpm2-a": "karras",
    "dpmpp-2m": "karras",
    "dpmpp-sde": "karras",
    "dpmpp-2m-sde": "exponential",
}
# These correspond to no Recipe field, or are read by a function of their own (RNG).
_NO_SETTINGS = frozenset({"Version", "Model hash", "VAE hash", "Hashes", "RNG"})


def settings_of(parameters: Parameters) -> tuple[dict[str, Any], list[str]]:
    """Convert ``parameters`` to Recipe fields; also returns a note for each setting left out.

    The model is never among the fields: A1111's name for it is only known in its own folder.
    """
    fields, left_out = parameters.fields, list[str]()
    settings = _rng(fields)
    prompt, tags = split_other_tags(parameters.prompt)
    if not _take(settings, lambda text, _: {"prompt": text}, prompt):
        left_out.append(f"Prompt: {parameters.prompt}")
    # In the order of _TRANSLATIONS, not of the file: "Schedule type" depends on "Sampler".
    taken = {
        key: _take(settings, translate, fields[key])
        for key, translate in _TRANSLATIONS.items()
        if key in fields
    }
    left_out += [
        f"{key}: {value}"
        for key, value in fields.items()
        if not taken.get(key) and key not in _NO_SETTINGS
    ]
    left_out += [
        masked(key, int(fields[key]), same_noise=fields.get("RNG") == "CPU")
        for key in ("Seed", "Variation seed")
        if taken.get(key) and "rng" not in settings and int(fields[key]) > MAX_SEED
    ]
    left_out += [f"{tag} in the prompt" for tag in tags]
    negative = parameters.negative_prompt
    if negative and not _take(settings, _negative, negative):
        left_out.append(f"{NEGATIVE} {negative}")
    if "rng" in settings:
        settings["rng"] = settings.pop("rng")  # as the last one, where it is shown
    elif fields.get("RNG", "CPU") != "CPU":
        left_out.append(f"RNG: {noise(fields['RNG'])}")
    return settings, left_out


_Settings = dict[str, Any]


def _take(settings: _Settings, translate: Callable[[str, _Settings], _Settings], text: str) -> bool:
    """Add the fields for ``text`` to ``settings``, if a Recipe with all of them is valid."""
    try:
        found = translate(text, settings)
        Recipe.from_dict({"prompt": "", "seed": 0} | settings | found)
    except (SettingError, ValueError):
        return False
    settings |= found
    return True


def _negative(text: str, _: _Settings) -> _Settings:
    return {"negative_prompt": text}


def _sampler(text: str, _: _Settings) -> _Settings:
    scheduler, folded = parse_scheduler(text)
    if "sigmas" not in SCHEDULERS[scheduler].knows:
        return {"scheduler": scheduler}
    return {"scheduler": scheduler, "sigmas": folded or "uniform"}


def _schedule(text: str, settings: _Settings) -> _Settings:
    if "scheduler" not in settings:
        raise SettingError(f"Schedule type needs a known Sampler, got {text!r}")
    scheduler, name = settings["scheduler"], text.lower()
    if text == AYS_NAME:
        return {"sigmas": AYS}
    sigmas = _AUTOMATIC.get(scheduler, "uniform") if name == "automatic" else name
    if sigmas == "uniform" and "sigmas" not in SCHEDULERS[scheduler].knows:
        return {}
    return {"sigmas": sigmas}


def _upscaler(text: str, settings: _Settings) -> _Settings:
    found = {"Lanczos": "lanczos", "Latent": "latent", "Latent (bicubic)": "latent"}
    if text not in found:
        raise SettingError(f"Hires upscaler must be one of {', '.join(found)}, got {text!r}")
    return {"enlarge": found[text]}


def _hires_strength(text: str, settings: _Settings) -> _Settings:
    """Only for hires: for img2img, A1111 does not name the input picture."""
    if "hires" not in settings:
        raise SettingError(f"Denoising strength needs Hires upscale, got {text!r}")
    return {"strength": float(text)}


def _emphasis(text: str, _: _Settings) -> _Settings:
    named = [ours for ours, theirs in EMPHASES.items() if theirs == text]
    if not named:
        raise SettingError(f"Emphasis must be one of {', '.join(EMPHASES.values())}, got {text!r}")
    return {"emphasis": named[0]}


def _rng(fields: Mapping[str, str]) -> _Settings:
    """The generator of the noise: Philox for A1111's GPU, which is meant if none is named.

    ComfyUI draws on the CPU, and nodes for it write A1111's text without an RNG. Its seeds have 64
    bits, those of A1111 have 32.
    """
    seeds = (fields.get(name, "") for name in ("Seed", "Variation seed"))
    long = any(re.fullmatch("[0-9]{10,20}", seed) and int(seed) > MAX_SEED for seed in seeds)
    comfyui = long or "ComfyUI" in fields.get("Version", "")
    rng = fields.get("RNG", "CPU" if comfyui or not fields else "GPU")
    return {"rng": "philox"} if rng in ("GPU", "NV") else {}


def _seed(text: str, settings: _Settings) -> int:
    """The lower half of one with 64 bits, if torch's CPU generator is used: it takes no more."""
    seed = int(text)
    return seed & MAX_SEED if MAX_SEED < seed < 2**64 and "rng" not in settings else seed


def _size(text: str, _: _Settings) -> _Settings:
    width, height = text.split("x")
    return {"width": int(width), "height": int(height)}


_TRANSLATIONS: Mapping[str, Callable[[str, _Settings], _Settings]] = {
    "Steps": lambda text, _: {"steps": int(text)},
    "Sampler": _sampler,
    "Schedule type": _schedule,
    "CFG scale": lambda text, _: {"guidance_scale": float(text)},
    "Seed": lambda text, settings: {"seed": _seed(text, settings)},
    "Variation seed": lambda text, settings: {
        "variation_seed": _seed(text, settings),
        "variation_strength": 0.0,
    },
    "Variation seed strength": lambda text, _: {"variation_strength": float(text)},
    "ENSD": lambda text, _: {"eta_noise_seed_delta": int(text)},
    "Size": _size,
    "Clip skip": lambda text, _: {"clip_skip": int(text)},
    "Hires upscale": lambda text, _: {"hires": float(text)},
    "Hires upscaler": _upscaler,
    "Denoising strength": _hires_strength,
    "Emphasis": _emphasis,
}
