"""Prompt files: one prompt per line, as plain text, with kohya's options, or as JSON.

::

    # a comment; blank lines are skipped
    a red circle
    a blue square --n blurry --w 512 --h 768 --s 30 --d 7 --l 6.5 --t 0.6 --f square.png
    {"prompt": "a green star", "seed": 4, "scheduler": "euler"}

A JSON object may go over several lines, and an array of objects is as many prompts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sdloop.batch.json_lines import entries, is_json, values_in
from sdloop.batch.lines import ADDED, TOLD, check_added
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.text_input import label, read_text, text_lines
from sdloop.errors import FileError, SettingError
from sdloop.recipe.fields import parse_value
from sdloop.recipe.names import check_keys, with_new_names

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


def read_prompts(name: str) -> list[Prompt]:
    """The prompts in the file ``name`` (``-`` for standard input).

    Raises ``FileError`` if the file cannot be read or has no prompts, ``SettingError`` for an
    invalid line; the message names the file and the line.
    """
    # Not splitlines(): JSON may contain U+2028 and other line separators unescaped.
    prompts = list(_parsed(read_text(name).split("\n"), label(name)))
    if not prompts:
        raise FileError(f"{label(name)} holds no prompt")
    return prompts


def stream_prompts(name: str) -> Iterator[Prompt]:
    """The same, read one by one: a file of millions is never in memory."""
    empty = True
    for prompt in _parsed(text_lines(name), label(name)):
        empty = False
        yield prompt
    if empty:
        raise FileError(f"{label(name)} holds no prompt")


def prompts_in(lines: Iterable[str], source: str) -> list[Prompt]:
    """The prompts in these lines; ``source`` is for messages."""
    return list(_parsed(lines, source))


def _parsed(lines: Iterable[str], source: str) -> Iterator[Prompt]:
    for number, text in entries(lines):
        where = f"{source}, line {number}"
        if not is_json(text):
            with blaming(where):
                settings = parse_line(text)
            yield _prompt(settings, where)
            continue
        with blaming(where):
            values = values_in(text)
        for place, value in values:
            with blaming(where + place):
                settings = _json_settings(value)
            yield _prompt(settings, where + place)


def _prompt(settings: dict[str, Any], where: str) -> Prompt:
    output, key = settings.pop("output", None), settings.pop("key", None)
    return Prompt(where=where, settings=settings, output=output, key=key)


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


def _json_settings(settings: dict[str, Any]) -> dict[str, Any]:
    if isinstance(settings.get("recipe"), dict):
        settings = _printed_recipe(settings)
    settings = with_new_names(settings)
    added = {key: value for key, value in settings.items() if key in ADDED}
    check_keys({key: value for key, value in settings.items() if key not in added}, source="it")
    check_added(added)
    needed = ("prompt",) if added.get("key") is None else ("prompt", "seed")
    for name in needed:
        if name not in settings:
            raise SettingError(f"{name} must be given")
    return {key: value for key, value in settings.items() if key not in TOLD}


def _printed_recipe(line: Mapping[str, Any]) -> dict[str, Any]:
    """The Recipe in a JSON line that another command printed for a picture, such as `show`."""
    if line.get("moving"):
        raise SettingError("it is for an animation, whose frames have their own Recipes")
    return dict(line["recipe"])
