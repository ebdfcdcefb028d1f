"""Convert Recipes to A1111's settings, and A1111's settings to Recipe fields."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from sdloop.errors import SettingError
from sdloop.metadata.a1111 import NEGATIVE, Parameters
from sdloop.metadata.foreign.value import masked, noise
from sdloop.prompt.learned.grammar import parse_embedding
from sdloop.recipe.limits import MAX_SEED
from sdloop.recipe.loras import Lora, split_other_tags
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
_AYS = "Align Your Steps"
_UPSCALERS = {None: "Lanczos", "lanczos": "Lanczos", "latent": "Latent (bicubic)"}
_EMPHASES = {"a1111": "Original", "no-norm": "No norm", "none": "None"}
# These correspond to no Recipe field, or are read by a function of their own (RNG).
_NO_SETTINGS = frozenset({"Version", "Model hash", "VAE hash", "Hashes", "RNG"})


def parameters_of(
    recipe: Recipe, made: Mapping[str, Any], *, scheduler: str | None = None
) -> Parameters:
    """A1111's settings for a picture of this resolved Recipe.

    ``made`` may contain ``weights`` (file → sha256, with the names of ``model_hashes``),
    ``lora_hashes`` (name → short hash) and ``versions``. LoRAs are tags in the prompt, as in A1111.
    ``Model hash`` is only set for single-file models. ``scheduler`` is the name of a scheduler
    that is not in the Recipe: the caller's own.
    """
    weights = made.get("weights", {})
    fields = {
        "Steps": recipe.steps,
        "Sampler": SCHEDULERS[recipe.scheduler].label if recipe.scheduler else scheduler,
        "Schedule type": _schedule_type(recipe),
        "CFG scale": _number(recipe.guidance_scale),
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}" if recipe.width and recipe.height else None,
        "Model hash": _short_hash(weights, "model."),
        "Model": _bare_name(recipe.model),
        "VAE hash": _short_hash(weights, "vae.", "vae/") if recipe.vae else None,
        "VAE": _bare_name(recipe.vae) if recipe.vae else None,
        "UNet hash": _short_hash(weights, "unet.", "unet/") if recipe.unet else None,
        "UNet": _bare_name(recipe.unet) if recipe.unet else None,
        "Refiner": _bare_name(recipe.refiner) if recipe.refiner else None,
        "Refiner switch at": _number(recipe.refiner_start),
        "Variation seed": recipe.variation_seed,
        "Variation seed strength": _number(recipe.variation_strength),
        "Denoising strength": _denoising_strength(recipe),
        "Hires upscale": _number(recipe.hires),
        "Hires upscaler": None if recipe.hires is None else _UPSCALERS[recipe.enlarge],
        "Mask blur": _number(recipe.mask_blur),
        "Clip skip": recipe.clip_skip if recipe.clip_skip > 1 else None,
        "Emphasis": None if recipe.emphasis == "a1111" else _EMPHASES[recipe.emphasis],
        "ENSD": recipe.eta_noise_seed_delta,
        "RNG": "CPU" if recipe.rng is None else "NV",
        "TI hashes": _embedding_hashes(recipe),
        "Lora hashes": _listed(made.get("lora_hashes", {}).items()),
        "Version": f"sdloop {made.get('versions', {}).get('sdloop', '')}".rstrip(),
    }
    return Parameters(
        prompt=recipe.prompt + "".join(map(_tag, recipe.loras)),
        negative_prompt=recipe.negative_prompt or "",
        fields={key: str(value) for key, value in fields.items() if value is not None},
    )


def _tag(lora: Lora) -> str:
    scales = [lora.scale] if lora.text_scale is None else [lora.text_scale, lora.scale]
    return f" <lora:{':'.join([_bare_name(lora.name), *(f'{scale:g}' for scale in scales)])}>"


def _listed(pairs: Iterable[tuple[str | None, str]]) -> str | None:
    return ", ".join(f"{name}: {short}" for name, short in pairs) or None


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.12g}"


def _denoising_strength(recipe: Recipe) -> str | None:
    from_noise = recipe.image is None and recipe.hires is None
    if from_noise or recipe.noise_level is not None:
        return None
    if recipe.strength is not None:
        return _number(recipe.strength)
    steps, start = recipe.schedule
    return f"{(steps - start) / steps:.4g}"


def _short_hash(weights: Mapping[str, str], *beginnings: str) -> str | None:
    """A1111's short hash of the file with one of these prefixes; None if not exactly one."""
    hashes = [sha256[:10] for name, sha256 in weights.items() if name.startswith(beginnings)]
    return hashes[0] if len(hashes) == 1 else None


def _embedding_hashes(recipe: Recipe) -> str | None:
    """``token: hash`` of each learned word, with the first 12 digits, as in A1111."""
    if recipe.embeddings is None or recipe.embeddings_sha256 is None:
        return None
    tokens = (parse_embedding(one).token for one in recipe.embeddings)
    return _listed(zip(tokens, (one[:12] for one in recipe.embeddings_sha256), strict=True))


def _schedule_type(recipe: Recipe) -> str | None:
    """A1111's name for the recipe's sigmas; "Automatic" for schedulers that have no choice."""
    if recipe.sigmas == AYS:
        return _AYS
    if recipe.sigmas:
        return recipe.sigmas.capitalize()
    if recipe.scheduler and "sigmas" not in SCHEDULERS[recipe.scheduler].knows:
        return "Automatic"
    return None


def _bare_name(model: str) -> str:
    """The name that A1111 would show: without folder, owner and suffix."""
    name = PurePath(model).name
    return re.sub(r"\.(safetensors|ckpt|pt|bin)$", "", name) or model


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
    if text == _AYS:
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
    named = [ours for ours, theirs in _EMPHASES.items() if theirs == text]
    if not named:
        raise SettingError(f"Emphasis must be one of {', '.join(_EMPHASES.values())}, got {text!r}")
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
