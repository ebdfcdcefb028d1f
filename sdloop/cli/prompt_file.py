"""Prompt files: one prompt a line, plain, with kohya's options, or as JSON.

::

    # a comment; blank lines are skipped
    a red circle
    a blue square --n blurry --w 512 --h 768 --s 30 --d 7 --l 6.5 --t 0.6 --f square.png
    {"prompt": "a green star", "seed": 4, "scheduler": "euler"}
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.cli.text_files import label, read_text
from sdloop.cli.values import parse_value
from sdloop.errors import FileError, SettingError
from sdloop.recipe import check_keys

# The letters of kohya's sd-scripts, the de-facto format of prompt files.
KOHYA = {
    "n": "negative_prompt",
    "w": "width",
    "h": "height",
    "s": "steps",
    "d": "seed",
    "l": "guidance_scale",
    "t": "strength",
    "f": "output",
}

# An option starts at a word, so that "fields -- and a river" stays one prompt.
_OPTION = re.compile(r"(?:^|(?<=\s))--([A-Za-z][\w-]*)(?=\s|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt with the settings that stand beside it: all others come from the command.

    ``where`` names its line for error messages; ``output`` is the file name in it, and ``name`` a
    template for the file where nobody names it.
    """

    settings: Mapping[str, Any]
    where: str = ""
    output: str | None = None
    name: str | None = None


def read_prompts(name: str) -> list[Prompt]:
    """The prompts in the file ``name`` (``-`` for standard input).

    Raises ``FileError`` when it cannot be read or holds none, ``SettingError`` for a line that is
    not understood; both name the file, the latter also the line.
    """
    prompts = []
    # Not splitlines(): JSON may hold U+2028 and its like as they are.
    for number, line in enumerate(read_text(name).split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            where = f"{label(name)}, line {number}"
            try:
                settings = _parse_json(line) if line.startswith("{") else parse_line(line)
            except SettingError as error:
                raise SettingError(f"{where}: {error}") from error
            output = settings.pop("output", None)
            prompts.append(Prompt(where=where, settings=settings, output=output))
    if not prompts:
        raise FileError(f"{label(name)} holds no prompt")
    return prompts


def parse_line(line: str) -> dict[str, Any]:
    """The settings of a plain line, under the Recipe's names (and ``output``, the file's name).

    >>> parse_line("a cat --n a dog --s 30")
    {'prompt': 'a cat', 'negative_prompt': 'a dog', 'steps': 30}
    """
    # split() with one group: text, letter, text, letter, text …
    prompt, *rest = _OPTION.split(line)
    settings: dict[str, Any] = {"prompt": prompt.strip()}
    for letter, text in zip(rest[::2], rest[1::2], strict=True):
        if letter.lower() not in KOHYA:
            known = ", ".join(f"--{letter}" for letter in KOHYA)
            raise SettingError(f"unknown option --{letter}: a line takes {known}")
        field = KOHYA[letter.lower()]
        if field in settings:
            raise SettingError(f"--{letter} is given twice")
        value = text.strip()
        settings[field] = value if field == "output" else parse_value(field, value)
    return settings


def _parse_json(line: str) -> dict[str, Any]:
    try:
        settings = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"it starts with {{ and is not valid JSON: {error}") from error
    if isinstance(settings.get("recipe"), dict):
        settings = _told_recipe(settings)
    check_keys({key: value for key, value in settings.items() if key != "output"}, source="it")
    if "prompt" not in settings:
        raise SettingError("prompt must be given")
    if not isinstance(settings.get("output"), str | None):
        raise SettingError(f"output must be text, got {settings['output']!r}")
    return dict(settings)


def _told_recipe(line: Mapping[str, Any]) -> dict[str, Any]:
    """The Recipe in what --json of another command tells of a picture, `show` among them."""
    if line.get("moving"):
        raise SettingError("it is about a film, whose frames have Recipes of their own")
    return dict(line["recipe"])
