"""The text that A1111 puts into its pictures, written and read.

::

    text := prompt [ "\\nNegative prompt: " negative ] "\\n" item ("," SP item)*
    item := key ": " value        value := raw, or a JSON string when it holds , : or a newline

Civitai and most galleries read it too. A prompt can hold lines that look like the rest of this
grammar, so for our own pictures it is the copy for others, and the JSON beside it is the truth.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe import Recipe
from sdloop.scheduler_names import SCHEDULERS, parse_scheduler

_NEGATIVE = "Negative prompt:"
# Keys are at most 64 characters: without an end, a long line of words takes quadratic time.
_ITEM = re.compile(r'\s*(\w[\w /-]{1,63}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_FEWEST_ITEMS = 3
# stable-diffusion.cpp ends the line with all of it once more, in JSON that is not quoted.
_SDCPP = ", SDCPP: {"

# "Automatic" means these for A1111; for the other samplers it means their own, uniform, spacing.
_AUTOMATIC = {
    "dpm2": "karras",
    "dpm2-a": "karras",
    "dpmpp-2m": "karras",
    "dpmpp-sde": "karras",
    "dpmpp-2m-sde": "exponential",
}
# Says nothing about the pixels, or says what `RNG: CPU` does for all our pictures.
_NO_SETTINGS = frozenset({"Version", "Model hash", "VAE hash", "Hashes", "RNG"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """A1111's text, taken apart: ``fields`` are its items under A1111's names, unquoted."""

    prompt: str
    negative_prompt: str
    fields: Mapping[str, str]


def format_parameters(parameters: Parameters) -> str:
    """The text for ``parameters``.

    >>> format_parameters(Parameters(prompt="frogs", negative_prompt="", fields={"Steps": "4"}))
    'frogs\\nSteps: 4'
    """
    negative = parameters.negative_prompt
    parts = [
        parameters.prompt,
        f"{_NEGATIVE} {negative}" if negative else "",
        ", ".join(f"{key}: {_quoted(value)}" for key, value in parameters.fields.items()),
    ]
    return "\n".join(part for part in parts if part)


def parse_parameters(text: str) -> Parameters:
    """What an A1111 text says; any text is at least a prompt.

    As A1111 does, the last line counts as fields only when three items or more are in it, and
    blank space around the prompts is dropped; so are the NULs that some programs end with.
    """
    *lines, last = text.replace("\0", "").strip().split("\n")
    items = _ITEM.findall(last.partition(_SDCPP)[0])
    if len(items) < _FEWEST_ITEMS:
        lines, items = [*lines, last], []
    starts = (i for i, line in enumerate(lines) if line.lstrip().startswith(_NEGATIVE))
    negative_at = next(starts, len(lines))
    negative = "\n".join(lines[negative_at:]).lstrip().removeprefix(_NEGATIVE)
    return Parameters(
        prompt="\n".join(lines[:negative_at]).strip(),
        negative_prompt=negative.strip(),
        fields={key: _unquoted(value) for key, value in items},
    )


def parameters_of(recipe: Recipe, made: Mapping[str, Any]) -> Parameters:
    """How A1111 would describe a picture of this resolved Recipe.

    ``made`` may hold ``weights`` (file → sha256) and ``versions``. ``Model hash`` is the hash of
    a checkpoint file, so a model in several files has none.
    """
    model_hash, vae_hash = _hashes(recipe, made.get("weights", {}))
    fields = {
        "Steps": recipe.steps,
        "Sampler": SCHEDULERS[recipe.scheduler].label if recipe.scheduler else None,
        "Schedule type": _schedule_type(recipe),
        "CFG scale": f"{recipe.guidance_scale:.12g}",
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}" if recipe.width and recipe.height else None,
        "Model hash": model_hash,
        "Model": _bare_name(recipe.model),
        "VAE hash": vae_hash,
        "VAE": _bare_name(recipe.vae) if recipe.vae else None,
        "Clip skip": recipe.clip_skip if recipe.clip_skip > 1 else None,
        "RNG": "CPU",
        "Version": f"sdloop {made.get('versions', {}).get('sdloop', '')}".rstrip(),
    }
    return Parameters(
        prompt=recipe.prompt,
        negative_prompt=recipe.negative_prompt or "",
        fields={key: str(value) for key, value in fields.items() if value is not None},
    )


def settings_of(parameters: Parameters) -> tuple[dict[str, Any], list[str]]:
    """The Recipe fields that ``parameters`` translate to, and a line for each thing that does not.

    The model is never among the fields: A1111 knows it by a name in its own folder.
    """
    fields, settings = parameters.fields, {"prompt": parameters.prompt}
    taken = {key: _take(settings, _TRANSLATIONS[key], fields[key]) for key in _asked(fields)}
    left_out = [
        f"{key}: {value}"
        for key, value in fields.items()
        if not taken.get(key) and key not in _NO_SETTINGS
    ]
    negative = parameters.negative_prompt
    if negative and not _take(settings, _negative, negative):
        left_out.append(f"{_NEGATIVE} {negative}")
    rng = fields.get("RNG", "GPU")
    if fields and rng != "CPU":
        left_out.append(f"RNG: {rng} (the same seed gives another picture here)")
    return settings, left_out


def _asked(fields: Mapping[str, str]) -> list[str]:
    """The fields that translate, in an order that puts the sampler before its schedule."""
    return [key for key in _TRANSLATIONS if key in fields]


_Settings = dict[str, Any]


def _take(settings: _Settings, translate: Callable[[str, _Settings], _Settings], text: str) -> bool:
    """Add what ``text`` translates to, if a Recipe of it all would be valid."""
    try:
        found = translate(text, settings)
        Recipe.from_dict({"seed": 0} | settings | found)
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
    sigmas = _AUTOMATIC.get(scheduler, "uniform") if name == "automatic" else name
    if sigmas == "uniform" and "sigmas" not in SCHEDULERS[scheduler].knows:
        return {}
    return {"sigmas": sigmas}


def _size(text: str, _: _Settings) -> _Settings:
    width, height = text.split("x")
    return {"width": int(width), "height": int(height)}


_TRANSLATIONS: Mapping[str, Callable[[str, _Settings], _Settings]] = {
    "Steps": lambda text, _: {"steps": int(text)},
    "Sampler": _sampler,
    "Schedule type": _schedule,
    "CFG scale": lambda text, _: {"guidance_scale": float(text)},
    "Seed": lambda text, _: {"seed": int(text)},
    "Size": _size,
    "Clip skip": lambda text, _: {"clip_skip": int(text)},
}


def _hashes(recipe: Recipe, weights: Mapping[str, str]) -> tuple[str | None, str | None]:
    """A1111's short hashes of the model's and of another VAE's file, where it is a single one."""
    own = [sha256[:10] for name, sha256 in weights.items() if not name.startswith("vae/")]
    vae = [sha256[:10] for name, sha256 in weights.items() if name.startswith("vae/")]
    model_hash = own[0] if len(own) == 1 else None
    return model_hash, vae[0] if recipe.vae and len(vae) == 1 else None


def _schedule_type(recipe: Recipe) -> str | None:
    """A1111's word for the recipe's sigmas; the schedulers without a choice have "Automatic"."""
    if recipe.sigmas:
        return recipe.sigmas.capitalize()
    if recipe.scheduler and "sigmas" not in SCHEDULERS[recipe.scheduler].knows:
        return "Automatic"
    return None


def _bare_name(model: str) -> str:
    """The name that A1111 would show: without folders or an owner, and without a suffix."""
    name = PurePath(model).name
    return re.sub(r"\.(safetensors|ckpt|pt|bin)$", "", name) or model


def _quoted(value: str) -> str:
    """``value``, as JSON when it would not be read back the same."""
    if value and value == value.strip() and not re.search(r'[,:\n]|^"', value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value.strip()
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip()
