"""The settings of many pictures, as a table in CSV."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sdloop.metadata.differences import flat
from sdloop.metadata.read import SavedPicture
from sdloop.recipe.recipe import FIELDS

_FIRST = ("path", "source", "step")
_LAST = ("key", "device", "dtype", "revision", "left_out")


def csv_lines(pictures: Sequence[SavedPicture]) -> Iterator[str]:
    """A header line, and a line for each picture; the columns are all settings that one has.

    The columns are in the order of a Recipe's fields, and then the facts about the run, such as
    device and time. Hashes of weights and sigmas would need too many columns: compare the key
    instead. Lists are JSON.
    """
    rows = [_row(one) for one in pictures]
    there = {name for row in rows for name in row}
    versions = sorted(name for name in there if name.startswith("versions."))
    names = [name for name in (*_FIRST, *FIELDS, *_LAST, *versions) if name in there]
    yield _line(names)
    for row in rows:
        yield _line([_cell(row.get(name)) for name in names])


def _row(one: SavedPicture) -> dict[str, Any]:
    record = one.record
    made = {k: v for k, v in flat(record.made).items() if not k.startswith("weights.")}
    row = {
        "path": str(one.path),
        "source": record.source,
        "step": record.step.get("number"),
        "left_out": "; ".join(record.left_out) or None,
        # A foreign file's model name is not one for sdloop, but both can be in one column.
        "model": record.model,
        "key": record.made.get("key"),
        **made,
        **record.settings,
    }
    return {name: value for name, value in row.items() if value is not None}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()
