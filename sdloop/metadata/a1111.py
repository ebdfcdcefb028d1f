"""Write and read A1111's text of settings, the PNG text "parameters".

::

    text := prompt [ "\\nNegative prompt: " negative ] "\\n" item ("," SP item)*
    item := key ": " value        value := raw, or a JSON string if it contains , : or a newline

Civitai also writes values that are JSON lists or objects, and extensions add lines after the line
of settings. Both are read.

Civitai and most galleries read this text. But a prompt can contain lines that look like settings,
so our pictures have it only for other programs: sdloop itself reads its own JSON text.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

NEGATIVE = "Negative prompt:"
# Keys have at most 64 characters: without this limit, a long line of words takes quadratic time.
_ITEM = re.compile(r'\s*(\w[\w /-]{1,63}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_FEWEST_ITEMS = 3
# sd-dynamic-prompts writes these items below the line of settings; they can have several lines.
_BELOW = re.compile(r"^(Template|Negative Template): ?", re.MULTILINE)
# stable-diffusion.cpp repeats all settings at the end of the line, as JSON without quotes.
_SDCPP = ", SDCPP: {"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """A1111's text, parsed: ``fields`` are its settings under A1111's names, unquoted."""

    prompt: str
    negative_prompt: str
    fields: Mapping[str, str]


def format_parameters(parameters: Parameters) -> str:
    """Format ``parameters`` as A1111's text.

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
    """Parse an A1111 text; a text without settings is a prompt.

    As in A1111, the last line holds settings only if it has at least three items, and white space
    around the prompts is removed. So are NULs, which some programs add at the end. The items of
    sd-dynamic-prompts may follow the line of settings; if it begins with "Steps:", any line may.
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
    """The index of the line of settings, and its items; without one, ``len(lines)`` and ``[]``."""
    last = len(lines) - 1
    steps = [at for at, line in enumerate(lines) if line.lstrip().startswith("Steps: ")]
    with_template = [at for at in steps if at < last and _BELOW.match(lines[at + 1])]
    for at in dict.fromkeys([*with_template[-1:], last, *steps[-1:]]):
        items = list(_items(lines[at].partition(_SDCPP)[0]))
        if len(items) >= _FEWEST_ITEMS:
            return at, items
    return len(lines), []


def _items(line: str) -> Iterator[tuple[str, str]]:
    """The items of a line. An item with a JSON value ends at the end of the JSON."""
    at = 0
    while (found := _ITEM.search(line, at)) is not None:
        end = _json_end(line, found.start(2))
        at = found.end() if end is None else end
        yield found[1], found[2] if end is None else line[found.start(2) : end]


def _json_end(line: str, start: int) -> int | None:
    """The end of the JSON list or object at ``start``; None if the value is not only that."""
    if line[start : start + 1] not in ("[", "{"):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return None
    return end if line[end:].lstrip()[:1] in ("", ",") else None


def _below(lines: Sequence[str]) -> dict[str, str]:
    """The items below the line of settings; no Recipe field corresponds to them."""
    rest, *pairs = _BELOW.split("\n".join(lines))
    found = dict(zip(pairs[::2], map(str.strip, pairs[1::2]), strict=True))
    return ({"Below the settings": rest.strip()} if rest.strip() else {}) | found


def _quoted(value: str) -> str:
    """``value``, as a JSON string if it could not be read back unquoted."""
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
