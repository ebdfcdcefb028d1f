r"""Axes of a plan: ``guidance_scale=3,5,7.5``, ``seed=1..200``, ``size=512x768,768x512``.

Every field of a Recipe can be an axis. Values are separated by commas (``\,`` is a comma in a
value) and parsed like the field; numbers may be a range, ``1..9``, with a step,
``0.2..0.8..0.2``. Values that have no other form can be a JSON list:
``mix_weights=[[1,3],[2,2]]``. An empty value means the model's default.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.check import PROMPTS, check_alone
from sdloop.recipe.fields import ALIASES, SETTINGS, parse_value
from sdloop.recipe.kinds import Number, Whole
from sdloop.recipe.limits import MAX_SEED
from sdloop.recipe.names import OLD_NAMES
from sdloop.recipe.parse import parse_pair
from sdloop.recipe.presets import preset_fields
from sdloop.rules import check_whole, hint_for

MOST = 100_000  # values of a range of decimal numbers

_RANGE = re.compile(r"\s*([+-]?[0-9.]+?)\.\.([+-]?[0-9.]+?)(?:\.\.([0-9.]+))?\s*", re.ASCII)
_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The values of a field (or of ``size``, which sets two): lists and ranges of them.

    ``fields`` are the fields that a value sets.
    """

    name: str
    fields: tuple[str, ...]
    stretches: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        return sum(map(len, self.stretches))

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.stretches)

    def __contains__(self, value: object) -> bool:
        return any(value in stretch for stretch in self.stretches)

    def first(self, count: int) -> "Axis":
        """The axis with only its first values."""
        values = list(itertools.islice(self, count))
        return dataclasses.replace(self, stretches=(values,))

    def settings(self, value: Any) -> dict[str, Any]:
        """The settings for one value of the axis."""
        if len(self.fields) == 1:
            return {self.fields[0]: value}
        return dict(zip(self.fields, value, strict=True))


def parse_axis(text: str, *, flag: str = "sweep") -> Axis:
    """Parse ``FIELD=VALUE,VALUE,…`` as an axis, and check each value.

    ``flag`` is its name in messages. Raises ``SettingError`` for an unknown field, an invalid
    value, and a repeated one.

    >>> list(parse_axis("steps=10..30..10,50"))
    [10, 20, 30, 50]
    """
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    name = ALIASES.get(name, name)
    if not equals:
        raise SettingError(f"{flag} must be like guidance_scale=3,5,7.5, got {text!r}")
    if name in OLD_NAMES:
        raise SettingError(f"{flag}: the field {name!r} is now called {OLD_NAMES[name]!r}")
    if name not in SETTINGS and name != "size":
        known = [*SETTINGS, "size"]
        hint = hint_for(name, known, otherwise=f"use one of {', '.join(SETTINGS)}")
        raise SettingError(f"{flag} has an unknown field {name!r}: {hint}")
    axis = Axis(
        name=name,
        fields=("width", "height") if name == "size" else (name,),
        stretches=_from_json(name, values) or tuple(_stretches(name, values)),
    )
    _check(axis)
    return axis


def shown_fields(axis: Axis) -> tuple[str, ...]:
    """The fields of a Recipe in which an axis's pictures differ, for their names.

    A preset is not a field of a Recipe: it stands for several.
    """
    if axis.name != "preset":
        return axis.fields
    rows = [preset_fields(value) for value in axis if value is not None]
    names = ("scheduler", "steps")
    return tuple(name for name in names if len({row.get(name) for row in rows}) > 1)


def combinations(axes: Sequence[Axis], *, zipped: bool) -> Iterator[dict[str, Any]]:
    """All combinations of the axes' values; the last axis changes first.

    ``zipped`` pairs them instead, first with first. Combinations are not kept in memory.
    """
    if zipped:
        for values in zip(*axes, strict=True):
            yield _together(axes, values)
    elif not axes:
        yield {}
    else:
        first, *others = axes
        for value in first:
            here = first.settings(value)
            for there in combinations(others, zipped=False):
                yield here | there


def check_axes(axes: Sequence[Axis], given: Mapping[str, Any], *, zipped: bool) -> None:
    """Raise ``SettingError`` for axes that contradict each other or other settings.

    ``zipped`` axes must have the same length.
    """
    fields = [field for axis in axes for field in axis.fields]
    for field in fields:
        if fields.count(field) > 1:
            raise SettingError(f"{field} must be swept once")
        if field in given:
            raise SettingError(
                f"{field} is swept, and given as {given[field]!r} too: remove one of them"
            )
    if not zipped:
        return
    if len(axes) < 2:
        raise SettingError(f"zip needs two or more --sweep, got {len(axes)}")
    if len({len(axis) for axis in axes}) > 1:
        lengths = ", ".join(f"{axis.name} {len(axis)}" for axis in axes)
        raise SettingError(f"zip needs axes of equal length, got {lengths}")


def _together(axes: Sequence[Axis], values: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for axis, value in zip(axes, values, strict=True):
        found |= axis.settings(value)
    return found


def _from_json(name: str, text: str) -> tuple[Sequence[Any], ...]:
    """The values of a JSON list; None for other text, because a prompt may begin with a bracket."""
    if not text.lstrip().startswith("["):
        return ()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not values:
        raise SettingError(f"sweep must name a value of {name}, got {text!r}")
    return (values,)


def _stretches(name: str, text: str) -> Iterator[Sequence[Any]]:
    """Split the text into ranges and lists of single values."""
    alone: list[Any] = []
    ranges = name in SETTINGS and isinstance(SETTINGS[name].kind, Whole | Number)
    for part in _COMMA.split(text):
        found = _RANGE.fullmatch(part) if ranges else None
        stretch = [_value(name, part)] if found is None else _range(name, found)
        if not isinstance(stretch, range):
            alone += stretch
            continue
        if alone:
            yield alone
        yield stretch
        alone = []
    if alone:
        yield alone


def _value(name: str, text: str) -> Any:
    text = text.replace("\\,", ",")
    if name == "size":
        return parse_pair(name, text)
    row = SETTINGS[name]
    if name in PROMPTS:
        return row.kind.parsed(name, text)
    if not text.strip() and row.default in (None, ()):
        return row.default
    return row.kind.parsed(name, text.strip())


def _range(name: str, found: re.Match[str]) -> Sequence[Any]:
    """Parse a range; it includes both ends, the last one only if a step reaches it."""
    first, last = parse_value(name, found[1]), parse_value(name, found[2])
    whole = isinstance(first, int)
    if found[3] is None and not whole:
        raise SettingError(f"{name} needs a step in a range, as in 1..9..0.5, got {found[0]!r}")
    step = Decimal(1 if found[3] is None else str(parse_value(name, found[3])))
    if step <= 0 or last < first:
        raise SettingError(f"{name} must be an ascending range, got {found[0]!r}")
    if whole:
        return range(first, last + 1, int(step))
    start = Decimal(found[1])
    count = (Decimal(found[2]) - start) // step
    if count >= MOST:
        raise SettingError(f"{name} has too many values in {found[0]!r}")
    return [float(start + step * number) for number in range(int(count) + 1)]


def _check(axis: Axis) -> None:
    """Check each value, and that none is repeated; of integer ranges only both ends."""
    seen: set[str] = set()
    for stretch in axis.stretches:
        for value in (stretch[0], stretch[-1]) if isinstance(stretch, range) else stretch:
            for field, one in _parts(axis, value):
                check_alone(field, one)
                if field == "seed":  # 32 bits for all generators, as in --seed
                    check_whole(field, one, 0, MAX_SEED)
        for value in () if isinstance(stretch, range) else stretch:
            _refuse_twice(axis, value, repr(value) in seen)
            seen.add(repr(value))
    ranges = [stretch for stretch in axis.stretches if isinstance(stretch, range)]
    for stretch in ranges:
        for other in axis.stretches:
            if other is not stretch and not (other[-1] < stretch[0] or stretch[-1] < other[0]):
                _refuse_twice(axis, *_shared(other, stretch))


def _parts(axis: Axis, value: Any) -> Iterable[tuple[str, Any]]:
    if len(axis.fields) > 1 and not (isinstance(value, tuple | list) and len(value) == 2):
        raise SettingError(f"{axis.name} must be two whole numbers like 512x768, got {value!r}")
    return axis.settings(value).items()


def _shared(values: Sequence[Any], among: range) -> tuple[Any, bool]:
    """The first of the values that is in the range, or None."""
    found = next((value for value in values if value in among), None)
    return found, found is not None


def _refuse_twice(axis: Axis, value: Any, is_there: bool) -> None:
    if is_there:
        raise SettingError(f"{axis.name} must name each value once, got {value!r} twice")
