"""What a file of another program comes to, and how its items become fields of a Recipe."""

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
]

# What is said of one item of a file, and the fields that it translates to; None is none at all.
Item = tuple[str, Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """A file's settings as far as they are a Recipe's; see ``png.Record`` for the fields."""

    source: Source
    settings: Mapping[str, Any]
    fields: Mapping[str, str]
    left_out: tuple[str, ...]
    model: str | None


def gathered(items: Iterable[Item]) -> tuple[dict[str, Any], list[str]]:
    """The fields that all items translate to, and what is to be said of those that do not.

    An item is taken over if a Recipe of it and of all before it would be valid.
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
    """The scheduler of a name that other programs give it, and how its noise is spaced."""
    try:
        scheduler, folded = parse_scheduler(name)
    except SettingError:
        return None
    if "sigmas" not in SCHEDULERS[scheduler].knows:
        return None if karras else {"scheduler": scheduler}
    return {"scheduler": scheduler, "sigmas": "karras" if karras else folded or "uniform"}


def noise(device: str) -> str:
    """What is said of noise that was not drawn on the CPU."""
    return f"{device} (the same seed gives another picture here)"


def weighed(field: str, text: str, whose: str) -> Iterable[Item]:
    """What is said of a prompt in which words are weighed, as ``whose`` weights are not ours."""
    if not is_plain(text):
        yield f"{field}: {whose} weighs words in another way than it is done here", None


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The items of a JSON object as they stand in the file, without those that say nothing."""
    return {str(k): str(v) for k, v in values.items() if v not in (None, "", [], {})}


def number(value: Any) -> float | None:
    """``value`` where it is a number, or text that is one; None for everything else.

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
    """``value``, as a number where it is the text of a whole one: the reader's rules decide."""
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else value


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` where it is a JSON object; an empty one for everything else."""
    return value if isinstance(value, Mapping) else {}


def call(name: Any, weight: Any) -> Item:
    """A LoRA in A1111's way of calling it, as what is to be added to the prompt under "call".

    The found value is None where the name or the number cannot be read.
    """
    scale = number(weight)
    if not isinstance(name, str) or not name or set(name) & set("<>:\n") or scale is None:
        return f"lora: {name} at {weight}", None
    return f"lora: {name}", {"call": f" <lora:{name.removesuffix('.safetensors')}:{scale:g}>"}


def seed_items(seed: Any, *, same_noise: bool = False) -> Iterator[Item]:
    """A seed of up to 64 bits, of which torch's CPU generator takes the lower half."""
    seed = whole(seed)
    if isinstance(seed, int) and MAX_SEED < seed < 2**64:
        yield "seed", {"seed": seed & MAX_SEED}
        yield masked("seed", seed, same_noise=same_noise), None
    else:
        yield f"seed: {seed}", {"seed": seed}


def masked(name: str, seed: int, *, same_noise: bool = False) -> str:
    """What is said of a seed that is longer than torch's CPU generator takes."""
    same = ": the same noise" if same_noise else ""
    return f"{name}: {seed} (of which torch keeps 32 bits, {seed & MAX_SEED}{same})"
