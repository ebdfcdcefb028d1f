"""Parse the guidance method, its interval and its schedule."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from sdloop.errors import SettingError
from sdloop.recipe.parse import parse_number, short_number
from sdloop.rules import check_choice, check_number

MAX_SCALE = 1e4
PLUS_PLUS_SCALE = 0.6  # as strong as 7.5 with plain CFG (arXiv:2406.08070, section 4.1)


class _Number(NamedTuple):
    """A parameter of a guidance method: its range, and its default (None: it depends)."""

    lowest: float
    highest: float
    usual: float | None
    whole: bool = False


# "cfg" is plain classifier-free guidance, and the default.
GUIDANCES: Mapping[str, Mapping[str, _Number]] = {
    "cfg": {},
    "apg": {
        "eta": _Number(0, 1, 0),
        "momentum": _Number(-1, 1, -0.5),
        "norm": _Number(0, 1e6, None),
    },
    "cfg-zero": {"zero": _Number(0, 1000, 0, whole=True)},
    "cfg++": {},
    "threshold": {"percentile": _Number(0.5, 1, 0.995), "limit": _Number(0.01, 1e3, 3)},
}
SHAPES = ("linear", "cosine")


@dataclass(frozen=True, kw_only=True, slots=True)
class Guidance:
    """A method of ``GUIDANCES``, and its parameters that have a value; as text ``apg:eta=0``."""

    name: str
    numbers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        return ":".join(
            [self.name, *(f"{key}={short_number(n)}" for key, n in self.numbers.items())]
        )


def parse_guidance(text: str) -> Guidance:
    """The guidance method that ``text`` names, with defaults for the parameters it leaves out.

    Raises ``SettingError`` for an unknown name or parameter, and for a number out of range.

    >>> str(parse_guidance("apg:eta=0.25"))
    'apg:eta=0.25:momentum=-0.5'
    """
    name, *parameters = text.split(":")
    check_choice("guidance", name, tuple(GUIDANCES))
    known = GUIDANCES[name]
    numbers = {key: number.usual for key, number in known.items()}
    for one in parameters:
        key, _, value = one.partition("=")
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no numbers"
            raise SettingError.of("guidance", f"{name} {takes}, got {one!r}")
        lowest, highest, _, whole = known[key]
        numbers[key] = _number(f"guidance {name}:{key}", value, lowest, highest)
        if whole and numbers[key] != int(float(value)):
            raise SettingError.of("guidance", f"{name}:{key} must be a whole number, got {value!r}")
    return Guidance(name=name, numbers={k: v for k, v in numbers.items() if v is not None})


def parse_interval(text: str) -> tuple[float, float]:
    """The lowest and the highest sigma of ``0.28..5.42``; either may be left out.

    >>> parse_interval("0.28..5.42"), parse_interval("..5.42")
    ((0.28, 5.42), (0.0, 5.42))
    """
    low, dots, high = text.partition("..")
    if not dots or not (low or high):
        raise SettingError.of(
            "guidance_interval", f"must be two sigmas, as in 0.28..5.42, got {text!r}"
        )
    lowest = _number("guidance_interval", low or "0", 0, 1e6)
    highest = math.inf if not high else _number("guidance_interval", high, 0, 1e6)
    if not lowest < highest:
        raise SettingError.of("guidance_interval", f"must have the lower sigma first, got {text!r}")
    return lowest, highest


def parse_schedule(text: str) -> tuple[str, tuple[float, ...]]:
    """The shape and the scales of ``linear:1..9`` or ``cosine:9..1``; a list has the shape "list".

    A list, ``1,3,7.5``, is spread over the steps, with linear interpolation.

    >>> parse_schedule("cosine:1..9"), parse_schedule("1,3,7.5")
    (('cosine', (1.0, 9.0)), ('list', (1.0, 3.0, 7.5)))
    """
    shape, colon, ends = text.partition(":")
    parts = ends.split("..") if colon else re.split(r"\s*,\s*", text.strip())
    if (colon and (shape not in SHAPES or len(parts) != 2)) or "" in parts:
        raise SettingError.of(
            "guidance_schedule",
            f"must be linear:1..9, cosine:1..9 or a list of scales, as in 1,3,7.5, got {text!r}",
        )
    scales = tuple(_number("guidance_schedule", one, 0, MAX_SCALE) for one in parts)
    return shape if colon else "list", scales


def _number(name: str, text: str, lowest: float, highest: float) -> float:
    value = parse_number(name, text)
    check_number(name, value, lowest, highest)
    return value
