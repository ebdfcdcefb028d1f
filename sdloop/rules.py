"""Rules for single values: each raises ``SettingError`` with the field, the rule and the value."""

import difflib
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sdloop.errors import SettingError

MAX_SIDE = 2**15

Size = tuple[int, int]


def check_text(name: str, value: object, *, optional: bool) -> None:
    """``value`` must be text that can be saved in a file, or ``None`` if it is ``optional``."""
    if value is None and optional:
        return
    if not isinstance(value, str):
        raise SettingError.of(name, f"must be text, got {value!r}")
    # Both would only fail when the finished picture is saved: PNG text ends at a NUL, UTF-8 has
    # no lone surrogates.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise SettingError.of(name, f"must be valid Unicode text without NUL, got {value!r}")


def check_digest(name: str, value: object, *, optional: bool = False) -> None:
    """``value`` must be a sha256 in lower case, or ``None`` if it is ``optional``."""
    if value is None and optional:
        return
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise SettingError.of(name, f"must be 64 hex digits, got {value!r}")


# Matches the beginning of "s3://bucket", and also "s3:", which is left of it in a Path.
_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


def check_local(name: str, value: str | Path | None) -> None:
    """``value``, a file or folder to write, must be on this computer; ``None`` is not checked.

    ``Path("s3://bucket")`` loses a slash, so for a Path the first part is checked. A name like
    ``s3:`` is allowed if such a folder exists.
    """
    if isinstance(value, Path):
        found = _SCHEME.fullmatch(value.parts[0]) if value.parts else None
        if found is not None and os.path.lexists(value.parts[0]):
            return
    else:
        found = _ADDRESS.match(value or "")
    if found is not None:
        raise SettingError(f"{name} must be a path on this computer, got {str(value)!r}")


def check_whole(name: str, value: object, lowest: int, highest: int) -> None:
    """``value`` must be a whole number in this range, including both ends."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingError.of(name, f"must be a whole number, got {value!r}")
    if value < lowest:
        raise SettingError.of(name, f"must be at least {lowest}, got {value}")
    if value > highest:
        raise SettingError.of(name, f"must be at most {highest}, got {value}")


def check_number(name: str, value: Any, lowest: float, highest: float) -> None:
    """``value`` must be a finite number in this range, including both ends."""
    # Not isfinite(): it raises for huge whole numbers, which TOML and JSON can hold.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value in (math.inf, -math.inf) or value != value:
        raise SettingError.of(name, f"must be a finite number, got {value!r}")
    if not lowest <= value <= highest:
        raise SettingError.of(name, f"must be between {lowest:g} and {highest:g}, got {value!r}")


def checked_pair(name: str, value: Any) -> Size | None:
    """Two whole numbers as a tuple, whatever sequence they came in; ``None`` stays ``None``."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise SettingError.of(name, f"must be two whole numbers, got {value!r}")
    for part in value:
        check_whole(name, part, 0, MAX_SIDE)
    return (value[0], value[1])


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise SettingError.of(name, f"must be one of {', '.join(choices)}, got {value!r}")


def check_multiple(name: str, value: int, multiple: int, *, why: str = "for this model") -> None:
    """``value``, in pixels, must be a multiple; the message names the nearest multiples."""
    if value % multiple:
        below = value - value % multiple
        nearest = f"{below} and {below + multiple}" if below else str(multiple)
        raise SettingError.of(
            name,
            f"must be a multiple of {multiple} {why}, got {value}; nearest: {nearest}",
        )


def hint_for(word: object, known: Iterable[str], *, otherwise: str) -> str:
    """What was probably meant by an unknown word; ``otherwise`` if nothing known is like it."""
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
