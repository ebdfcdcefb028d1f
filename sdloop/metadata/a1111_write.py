"""Convert Recipes to A1111's settings."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from sdloop.metadata.a1111 import Parameters
from sdloop.prompt.learned.grammar import parse_embedding
from sdloop.recipe.loras import Lora
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import AYS, SCHEDULERS

AYS_NAME = "Align Your Steps"
EMPHASES = {"a1111": "Original", "no-norm": "No norm", "none": "None"}
_UPSCALERS = {None: "Lanczos", "lanczos": "Lanczos", "latent": "Latent (bicubic)"}


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
        "Hires upscaler": _hires_upscaler(recipe),
        "Mask blur": _number(recipe.mask_blur),
        "Clip skip": recipe.clip_skip if recipe.clip_skip > 1 else None,
        "Emphasis": None if recipe.emphasis == "a1111" else EMPHASES[recipe.emphasis],
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


def _hires_upscaler(recipe: Recipe) -> str | None:
    if recipe.hires is None:
        return None
    return _bare_name(recipe.upscaler) if recipe.upscaler else _UPSCALERS[recipe.enlarge]


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
        return AYS_NAME
    if recipe.sigmas:
        return recipe.sigmas.capitalize()
    if recipe.scheduler and "sigmas" not in SCHEDULERS[recipe.scheduler].knows:
        return "Automatic"
    return None


def _bare_name(model: str) -> str:
    """The name that A1111 would show: without folder, owner and suffix."""
    name = PurePath(model).name
    return re.sub(r"\.(safetensors|ckpt|pt|bin)$", "", name) or model
