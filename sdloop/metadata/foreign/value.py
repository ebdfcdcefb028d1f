"""The settings of another program's file, and helpers to convert them to Recipe fields."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sdloop.errors import SettingError
from sdloop.prompt.check import is_plain
from sdloop.recipe.limits import MAX_SEED
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS, parse_scheduler

Source = Literal[
    "sdloop",
    "a1111",
    "sd.cpp",
    "mflux",
    "invokeai",
    "comfyui",
    "swarmui",
    "fooocus",
    "drawthings",
    "novelai",
    "easydiffusion",
]

# A note about one item of a file, and the Recipe fields for it; None if there are none.
Item = tuple[str, Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """The settings read from a file; for the fields see ``metadata.record.Record``."""

    source: Source
    settings: Mapping[str, Any]
    fields: Mapping[str, str]
    left_out: tuple[str, ...]
    model: str | None


def gathered(items: Iterable[Item]) -> tuple[dict[str, Any], list[str]]:
    """Collect the Recipe fields of all items, and the notes of those that cannot be used.

    An item is used if a Recipe with it and all items before it is valid.
    """
    settings: dict[str, Any] = {}
    left_out = []
    for text, found in items:
        if found is None or not _is_valid(settings | dict(found)):
            left_out.append(text)
        else:
            settings |= found
    return settings, left_out


def _is_valid(settings: Mapping[str, Any]) -> bool:
    try:
        Recipe.from_dict({"prompt": "", "seed": 0} | dict(settings))
    except SettingError:
        return False
    return True


def sampler(name: str, *, karras: bool = False) -> dict[str, Any] | None:
    """The scheduler and sigmas for another program's sampler name; None if it is unknown."""
    try:
        scheduler, folded = parse_scheduler(name)
    except SettingError:
        return None
    if "sigmas" not in SCHEDULERS[scheduler].knows:
        return None if karras else {"scheduler": scheduler}
    return {"scheduler": scheduler, "sigmas": "karras" if karras else folded or "uniform"}


def noise(device: str) -> str:
    """The note for noise that was not drawn by torch's CPU generator."""
    return f"{device} (the same seed gives another picture in sdloop)"


def weighed(field: str, text: str, whose: str) -> Iterable[Item]:
    """The note for a prompt with weighted words, if ``whose`` weights work differently."""
    if not is_plain(text):
        yield f"{field}: {whose} applies the weights of words differently from sdloop", None


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The items of a JSON object as texts, without empty ones."""
    return {str(k): str(v) for k, v in values.items() if v not in (None, "", [], {})}


def number(value: Any) -> float | None:
    """``value`` as a float if it is a number or the text of one; else None.

    >>> number("0.75"), number(True), number([1])
    (0.75, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> Any:
    """``value`` as an int if it is the text of one; else unchanged, for the Recipe to check."""
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else value


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is a JSON object; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def call(name: Any, weight: Any, text_weight: Any = None) -> Item:
    """A LoRA as an A1111 tag for the prompt, under the key "call".

    ``text_weight`` is that of the text encoders, if it may be another one. The value is None if the
    name or a weight cannot be read.
    """
    scale = number(weight)
    text = scale if text_weight is None else number(text_weight)
    known = isinstance(name, str) and name and not set(name) & set("<>:\n")
    if not known or scale is None or text is None:
        both = "" if text == scale else f", {text_weight} on the text encoder"
        return f"lora: {name} at {weight}{both}", None
    scales = f"{scale:g}" if text == scale else f"{text:g}:{scale:g}"
    return f"lora: {name}", {"call": f" <lora:{name.removesuffix('.safetensors')}:{scales}>"}


def seed_items(seed: Any, *, same_noise: bool = False) -> Iterator[Item]:
    """A seed of up to 64 bits; torch's CPU generator uses only the lower 32 bits."""
    seed = whole(seed)
    if isinstance(seed, int) and MAX_SEED < seed < 2**64:
        yield "seed", {"seed": seed & MAX_SEED}
        yield masked("seed", seed, same_noise=same_noise), None
    else:
        yield f"seed: {seed}", {"seed": seed}


def masked(name: str, seed: int, *, same_noise: bool = False) -> str:
    """The note for a seed with more bits than torch's CPU generator uses."""
    same = ": the same noise" if same_noise else ""
    return f"{name}: {seed} (torch uses the lower 32 bits, {seed & MAX_SEED}{same})"


def printable(values: Any) -> Any:
    """JSON values in which lone surrogates have become "?": those cannot be printed.

    Raises ``TypeError`` for what is not JSON, ``RecursionError`` if it is nested too deeply.
    """
    return json.loads(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
