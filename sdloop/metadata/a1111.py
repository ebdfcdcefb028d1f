"""The text that A1111 puts into its pictures, written and read.

::

    text := prompt [ "\\nNegative prompt: " negative ] "\\n" item ("," SP item)*
    item := key ": " value        value := raw, or a JSON string when it holds , : or a newline

Civitai writes values that are JSON lists and objects, and extensions add lines of their own after
that line: both are read.

Civitai and most galleries read it too. A prompt can hold lines that look like the rest of this
grammar, so for our own pictures it is the copy for others, and the JSON beside it is the truth.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

NEGATIVE = "Negative prompt:"
# Keys are at most 64 characters: without an end, a long line of words takes quadratic time.
_ITEM = re.compile(r'\s*(\w[\w /-]{1,63}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_FEWEST_ITEMS = 3
# What sd-dynamic-prompts writes below the line of settings: each is an item that can have lines.
_BELOW = re.compile(r"^(Template|Negative Template): ?", re.MULTILINE)
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
    blank space around the prompts is dropped; so are the NULs that some programs end with. Below
    that line may be those of sd-dynamic-prompts; below one that begins with "Steps:", any.
    """
    lines = text.replace("\0", "").strip().split("\n")
    line_at, items = _settings_line(lines)
    below = _below(lines[line_at + 1 :])
    lines = lines[:line_at]
    starts = (i for i, line in enumerate(lines) if line.lstrip().startswith(NEGATIVE))
    negative_at = next(starts, len(lines))
    negative = "\n".join(lines[negative_at:]).lstrip().removeprefix(NEGATIVE)
    return Parameters(
        prompt="\n".join(lines[:negative_at]).strip(),
        negative_prompt=negative.strip(),
        fields={key: _unquoted(value) for key, value in items} | below,
    )


def _settings_line(lines: Sequence[str]) -> tuple[int, list[tuple[str, str]]]:
    """Where the line of settings is and its items; the end and none where there is no such line."""
    last = len(lines) - 1
    steps = [at for at, line in enumerate(lines) if line.lstrip().startswith("Steps: ")]
    with_template = [at for at in steps if at < last and _BELOW.match(lines[at + 1])]
    for at in dict.fromkeys([*with_template[-1:], last, *steps[-1:]]):
        items = list(_items(lines[at].partition(_SDCPP)[0]))
        if len(items) >= _FEWEST_ITEMS:
            return at, items
    return len(lines), []


def _items(line: str) -> Iterator[tuple[str, str]]:
    """The items of a line. One whose value is JSON ends where the JSON does."""
    at = 0
    while (found := _ITEM.search(line, at)) is not None:
        end = _json_end(line, found.start(2))
        at = found.end() if end is None else end
        yield found[1], found[2] if end is None else line[found.start(2) : end]


def _json_end(line: str, start: int) -> int | None:
    """Where the list or object that begins at ``start`` ends, if a whole value is one."""
    if line[start : start + 1] not in ("[", "{"):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return None
    return end if line[end:].lstrip()[:1] in ("", ",") else None


def _below(lines: Sequence[str]) -> dict[str, str]:
    """What the lines below the settings say, which no setting takes over."""
    rest, *pairs = _BELOW.split("\n".join(lines))
    found = dict(zip(pairs[::2], map(str.strip, pairs[1::2]), strict=True))
    return ({"Below the settings": rest.strip()} if rest.strip() else {}) | found


def _quoted(value: str) -> str:
    """``value``, as JSON when it would not be read back the same."""
    if value and value == value.strip() and not re.search(r'[,:\n]|^["\[{]', value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value.strip()
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip()
