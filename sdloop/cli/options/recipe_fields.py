"""Convert the flags of a Recipe to its fields."""

import re
from typing import Any

from sdloop.batch.text_input import read_text
from sdloop.cli.options.groups import given
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.errors import SettingError
from sdloop.recipe.fields import parse_value
from sdloop.recipe.parse import parse_pair


def recipe_settings(options: RecipeOptions) -> dict[str, Any]:
    """The flags that were given, as Recipe fields: texts parsed, ``--size`` as width and height."""
    values = given(options)
    size = values.pop("size", None)
    values = {name: _value(name, flag) for name, flag in values.items()}
    if "guidance_schedule" in values:
        values["guidance_schedule"] = schedule_text(values["guidance_schedule"])
    if size is not None:
        for name, number in zip(("width", "height"), parse_pair("size", size), strict=True):
            if values.setdefault(name, number) != number:
                raise SettingError(f"{name} must agree with size {size}, got {values[name]}")
    return values


def _value(name: str, flag: Any) -> Any:
    """The value of a flag: typer has parsed numbers and lists; other text is parsed here."""
    if isinstance(flag, list):
        return tuple(flag)
    return parse_value(name, flag) if isinstance(flag, str) else flag


def schedule_text(text: str) -> str:
    """The guidance schedule as in a Recipe: a file name is replaced by the scales in the file.

    The file has one scale per line, or scales with commas or spaces between them.
    """
    if re.fullmatch(r"(linear|cosine):.*|[0-9.,\s]+", text):
        return text
    return ",".join(re.split(r"[,\s]+", read_text(text).strip()))
