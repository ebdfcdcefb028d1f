"""Prompts × seeds → the Recipes of one command."""

import re
from typing import Any

from sdloop.batch.text_input import read_text
from sdloop.cli.options.groups import given
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.errors import SettingError
from sdloop.recipe.parse import parse_numbers, parse_pair
from sdloop.recipe.steps import LISTED_STEPS

_PAIRS = ("original_size", "crop_top_left", "target_size")


def recipe_settings(options: RecipeOptions) -> dict[str, Any]:
    """The flags that were given, as fields of a Recipe: texts parsed, ``--size`` in its parts."""
    values = given(options)
    for name in _PAIRS:
        if name in values:
            values[name] = parse_pair(name, values[name])
    if "guidance_schedule" in values:
        values["guidance_schedule"] = schedule_text(values["guidance_schedule"])
    for name in ("embeddings", "replace_tokens", "guides"):
        if name in values:
            values[name] = tuple(values[name])
    for name in LISTED_STEPS:
        if name in values:
            values[name] = parse_numbers(name, values[name])
    size = values.pop("size", None)
    if size is not None:
        for name, number in zip(("width", "height"), parse_pair("size", size), strict=True):
            if values.setdefault(name, number) != number:
                raise SettingError(f"{name} must agree with size {size}, got {values[name]}")
    return values


def schedule_text(text: str) -> str:
    """A schedule of guidance as a Recipe has it: a file gives way to the scales in it.

    They stand one a line, or with commas or spaces between them.
    """
    if re.fullmatch(r"(linear|cosine):.*|[0-9.,\s]+", text):
        return text
    return ",".join(re.split(r"[,\s]+", read_text(text).strip()))
