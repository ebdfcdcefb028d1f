"""Compare the Recipes and the pixels of two pictures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from sdloop.cli.terminal.columns import columns, safe
from sdloop.cli.terminal.output import emit
from sdloop.images.compare import Difference, difference
from sdloop.images.input.read import open_image
from sdloop.metadata.differences import differing, flat, short
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.recipe.recipe import FIELDS

_WIDTH = 38  # characters in a line of a cell

Pair = tuple[Any, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The differences in settings, in the facts of the run, and in pixels.

    ``sizes`` are the pictures' widths and heights; if they differ, ``pixels`` is None.
    """

    recipe: Mapping[str, Pair]
    made: Mapping[str, Pair]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    pixels: Difference | None


def show_difference(a: Path, b: Path, *, json_lines: bool) -> None:
    """Print what differs between two pictures."""
    records = read_record(a), read_record(b)
    images = [open_image(str(path)).image.convert("RGB") for path in (a, b)]
    sizes = images[0].size, images[1].size
    compared = Compared(
        recipe=_settings(*records),
        made=differing(_made(records[0]), _made(records[1])),
        sizes=sizes,
        pixels=difference(*images) if sizes[0] == sizes[1] else None,
    )
    emit(_json_line(a, b, compared) if json_lines else "\n".join(_lines(a, b, compared)))


def _settings(one: Record, other: Record) -> dict[str, Pair]:
    """The differing settings, in the order of a Recipe's fields."""
    found = differing(one.settings, other.settings)
    return {name: found[name] for name in FIELDS if name in found}


def _made(record: Record) -> dict[str, Any]:
    """The facts of the run, which program wrote them, and which step the picture shows."""
    steps = {f"step.{name}": value for name, value in record.step.items()}
    foreign = {} if record.source == "sdloop" else {"model": record.model}
    return {"source": record.source, **foreign, **steps, **flat(record.made)}


def _lines(a: Path, b: Path, compared: Compared) -> Iterator[str]:
    rows = [*_rows("", str(a), str(b))]
    for pairs in (compared.recipe, compared.made):
        if pairs:
            rows.append(("", "", ""))
        for name, (one, other) in pairs.items():
            rows += _rows(name, short(name, one), short(name, other))
    yield from columns(rows)
    yield ""
    if not compared.recipe:
        yield "no setting differs"
    if compared.pixels is not None:
        yield "pixels: " + str(compared.pixels)
    else:
        yield "sizes: {}x{} and {}x{}".format(*compared.sizes[0], *compared.sizes[1])


def _rows(name: str, one: str, other: str) -> Sequence[tuple[str, str, str]]:
    """A table row; it has as many lines as its longest cell needs."""
    cells = [wrap(safe(text), _WIDTH) or [""] for text in (one, other)]
    height = max(map(len, cells))
    first, second = (lines + [""] * (height - len(lines)) for lines in cells)
    return list(zip([name, *[""] * (height - 1)], first, second, strict=True))


def _json_line(a: Path, b: Path, compared: Compared) -> str:
    line = {
        "a": str(a),
        "b": str(b),
        "recipe": compared.recipe,
        "made": compared.made,
        "sizes": compared.sizes,
        "pixels": None if compared.pixels is None else compared.pixels.to_dict(),
    }
    return json.dumps(line, ensure_ascii=False)
