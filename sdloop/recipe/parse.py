"""Text from a terminal or a prompt file → the value of a setting."""

import dataclasses
import re
from types import NoneType
from typing import Any, get_args

from sdloop.errors import SettingError
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.steps import LISTED_STEPS
from sdloop.rules import Size

_TYPES = {field.name: field.type for field in dataclasses.fields(Recipe)}


def parse_value(name: str, text: str) -> Any:
    """The value that ``text`` means for the Recipe's field ``name``; the Recipe checks its range.

    >>> parse_value("steps", "30"), parse_value("crop_top_left", "0,64")
    (30, (0, 64))
    """
    # Of `int | None` only `int` can be typed: what is None is left out.
    kinds = [kind for kind in get_args(_TYPES[name]) if kind is not NoneType] or [_TYPES[name]]
    if kinds == [int]:
        return parse_whole(name, text)
    if kinds == [float]:
        return parse_number(name, text)
    if kinds == [bool]:
        return parse_flag(name, text)
    if name in LISTED_STEPS:
        return parse_numbers(name, text)
    return parse_pair(name, text) if kinds == [Size] else text


def parse_whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise SettingError(f"{name} must be a whole number, got {text!r}", field=name)
    return int(text)


def parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"{name} must be a number, got {text!r}", field=name) from None


def parse_flag(name: str, text: str) -> bool:
    found = {"true": True, "false": False}.get(text.strip().lower())
    if found is None:
        raise SettingError(f"{name} must be true or false, got {text!r}", field=name)
    return found


def parse_numbers(name: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them; timesteps are whole.

    >>> parse_numbers("timesteps", "999, 500,1")
    (999, 500, 1)
    """
    parse = parse_whole if name == "timesteps" else parse_number
    return tuple(parse(name, part) for part in text.split(","))


def parse_pair(name: str, text: str) -> Size:
    """Two whole numbers: ``512x768``, or ``0,64`` as the crop is written.

    >>> parse_pair("size", "512x768")
    (512, 768)
    """
    found = re.fullmatch(r"([0-9]{1,9})\s*[xX×,]\s*([0-9]{1,9})", text.strip())
    if found is None:
        example = "0,0" if name == "crop_top_left" else "512x768"
        raise SettingError(
            f"{name} must be two whole numbers like {example}, got {text!r}", field=name
        )
    return int(found[1]), int(found[2])
