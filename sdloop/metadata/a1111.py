"""The text that A1111 puts into its pictures, written and read.

::

    text := prompt [ "\\nNegative prompt: " negative ] "\\n" item ("," SP item)*
    item := key ": " value        value := raw, or a JSON string when it holds , : or a newline

Civitai and most galleries read it too. A prompt can hold lines that look like the rest of this
grammar, so for our own pictures it is the copy for others, and the JSON beside it is the truth.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

NEGATIVE = "Negative prompt:"
# Keys are at most 64 characters: without an end, a long line of words takes quadratic time.
_ITEM = re.compile(r'\s*(\w[\w /-]{1,63}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_FEWEST_ITEMS = 3
# stable-diffusion.cpp ends the line with all of it once more, in JSON that is not quoted.
_SDCPP = ", SDCPP: {"


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
        f"{NEGATIVE} {negative}" if negative else "",
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
    starts = (i for i, line in enumerate(lines) if line.lstrip().startswith(NEGATIVE))
    negative_at = next(starts, len(lines))
    negative = "\n".join(lines[negative_at:]).lstrip().removeprefix(NEGATIVE)
    return Parameters(
        prompt="\n".join(lines[:negative_at]).strip(),
        negative_prompt=negative.strip(),
        fields={key: _unquoted(value) for key, value in items},
    )


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
