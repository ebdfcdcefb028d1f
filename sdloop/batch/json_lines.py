"""The lines of a prompt file, with JSON that goes over several of them put together."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sdloop.errors import SettingError

# {red|blue} and [red:blue:0.5] begin prompts; {"prompt": …, [{"prompt": … and a bracket with
# nothing else in its line begin JSON.
_JSON = re.compile(r'\[?\s*\{\s*["}]|[{\[]\s*$|\[\s*\]\s*$|\[\s*\{\s*$')
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')


def entries(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Each prompt line, or JSON value, and the number of its first line."""
    numbered = enumerate(lines, start=1)
    for number, line in numbered:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        yield number, _whole(line, numbered) if is_json(line) else line


def is_json(line: str) -> bool:
    """Whether ``line`` begins a JSON object or an array of them."""
    return _JSON.match(line) is not None


def values_in(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects in a JSON value; those of an array with ", item N" for messages.

    Raises ``SettingError`` for what is no object and no array of objects.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"it starts with {text[0]} and is not valid JSON: {error}") from error
    if isinstance(value, dict):
        return [("", value)]
    for at, one in enumerate(value, start=1):
        if not isinstance(one, dict):
            raise SettingError(f"item {at} of the array must be a JSON object, got {one!r}")
    return [(f", item {at}", one) for at, one in enumerate(value, start=1)]


def _whole(line: str, following: Iterator[tuple[int, str]]) -> str:
    """``line`` with as many of those ``following`` as close its brackets."""
    parts, depth = [line], _opened(line)
    while depth is not None and depth > 0:
        found = next(following, None)
        if found is None:
            break
        parts.append(found[1].rstrip("\r\n"))
        more = _opened(found[1])
        depth = None if more is None else depth + more
    return "\n".join(parts)


def _opened(line: str) -> int | None:
    """How many more brackets are opened than closed; None where a string has no end."""
    bare = _STRING.sub("", line)
    if '"' in bare:
        return None
    return sum(bare.count(one) for one in "{[") - sum(bare.count(one) for one in "}]")
