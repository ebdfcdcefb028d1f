"""Arrange pictures on a sheet: columns and rows are settings from their files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

from sdloop.cli.terminal.columns import safe
from sdloop.errors import FileError, SettingError
from sdloop.inspection.ranking import Ranked
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.places.path import location
from sdloop.recipe.recipe import FIELDS

AXES = (*FIELDS, "step")

_LABEL = 26  # letters in a line of a label
_MAX_LABEL = 78


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A picture file, the record in it, and its score; record and score may be missing."""

    name: str
    record: Record | None
    score: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """Pictures in rows of equal length, with labels; an empty cell is None.

    ``captions`` are the labels of single pictures, if there are no axes. ``notices`` are messages
    about pictures that are not shown.
    """

    grid: Sequence[Sequence[Shown | None]]
    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    captions: Sequence[Sequence[str]] | None = None
    notices: Sequence[str] = ()


def records_of(names: Sequence[str], *, needed: bool) -> list[Shown]:
    """The files with their records; raises ``FileError`` if axes need records and none has one."""
    shown = [Shown(name=name, record=_record(name)) for name in names]
    if needed and all(one.record is None for one in shown):
        raise FileError("none of these pictures contains its settings: leave out columns and rows")
    return shown


def _record(name: str) -> Record | None:
    try:
        return read_record(location(name))
    except FileError:
        # Any picture may be on a sheet; a file that is not a picture is refused when it is opened.
        return None


def in_order(shown: Sequence[Shown], order: Sequence[Ranked]) -> list[Shown]:
    """The ranked pictures, best first, with their scores."""
    places = {one.name: one for one in shown}
    return [replace(places[one.name], score=one.score) for one in order]


def arranged(shown: Sequence[Shown], *, columns: str | None, rows: str | None) -> Cells:
    """Give each picture a cell; without axes, in a grid that is about square."""
    if columns is None and rows is None:
        return _plain(shown)
    axes = [axis for axis in (columns, rows) if axis is not None]
    placed = [one for one in shown if _fits(one, axes)]
    if not placed:
        raise SettingError(f"none of these pictures has {' and '.join(axes)}")
    across, down = _values(placed, columns), _values(placed, rows)
    places: dict[tuple[Any, Any], Shown] = {}
    for one in placed:
        places.setdefault((_value(one, columns), _value(one, rows)), one)
    lines = []
    if len(placed) < len(shown):
        lines.append(f"left out {_count(len(shown) - len(placed))} without {' and '.join(axes)}")
    if len(places) < len(placed):
        hidden = _count(len(placed) - len(places))
        lines.append(f"left out {hidden}, because each cell shows only its first picture")
    return Cells(
        grid=[[places.get((x, y)) for x in across] for y in down],
        columns=[_label(columns, x) for x in across] if columns is not None else (),
        rows=[_label(rows, y) for y in down] if rows is not None else (),
        notices=lines,
    )


def _plain(shown: Sequence[Shown]) -> Cells:
    """A grid with captions: the seeds if all are different, otherwise the file names."""
    seeds = [None if one.record is None else one.record.settings.get("seed") for one in shown]
    distinct = None not in seeds and len(set(seeds)) == len(seeds)
    labels = [f"seed {seed}" for seed in seeds] if distinct else _names(shown)
    labels = [
        label if one.score is None else f"{label}\nclip {one.score:.1f}"
        for label, one in zip(labels, shown, strict=True)
    ]
    width = math.ceil(math.sqrt(len(shown)))
    padded = [*shown, *[None] * (-len(shown) % width)]
    labels += [""] * (len(padded) - len(labels))
    starts = range(0, len(padded), width)
    return Cells(
        grid=[padded[at : at + width] for at in starts],
        captions=[labels[at : at + width] for at in starts],
    )


def _names(shown: Sequence[Shown]) -> list[str]:
    return [safe(Path(one.name).name) for one in shown]


def _fits(one: Shown, axes: Sequence[str]) -> bool:
    """Whether a picture has a value for each axis; a saved step also needs the axis "step"."""
    if one.record is None:
        return False
    if bool(one.record.step) != ("step" in axes):
        return False
    return all(axis in one.record.settings or axis == "step" or one.record.recipe for axis in axes)


def _value(one: Shown, axis: str | None) -> Any:
    """A picture's value on an axis, in a form that can be compared; None without an axis."""
    assert one.record is not None
    if axis is None:
        return None
    if axis == "step":
        return one.record.step.get("number")
    value = one.record.settings.get(axis)
    return str(value) if isinstance(value, list | tuple | dict) else value


def _values(shown: Sequence[Shown], axis: str | None) -> list[Any]:
    """Each value once: first None, then texts in their order, then numbers in ascending order."""
    values = list(dict.fromkeys(_value(one, axis) for one in shown))
    numbers = sorted(value for value in values if isinstance(value, int | float))
    others = [value for value in values if not isinstance(value, int | float)]
    return sorted(others, key=lambda value: value is not None) + numbers


def _label(axis: str | None, value: Any) -> str:
    if isinstance(value, str):
        short = shorten(safe(value), _MAX_LABEL, placeholder="…")
        return "\n".join(wrap(short, _LABEL)) or '""'
    if value is None or isinstance(value, bool):
        return f"{axis} {'none' if value is None else 'yes' if value else 'no'}"
    return f"{axis} {value:g}" if isinstance(value, float) else f"{axis} {value}"


def _count(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
