"""A plan as JSON lines (--dry-run): the Recipe of each picture, and what it will take.

A line is the resolved Recipe, with these additional fields::

    output       the picture's file
    key          its content key
    tokens       how many tokens its prompt has for the text encoder
    steps_run    how many steps are run

The lines can be read with --from-file: a line with a key is final, and the key must match the
line's settings. The last two fields are for information only.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.batch.counts import steps_run
from sdloop.batch.planned import Planned
from sdloop.errors import SettingError
from sdloop.places.path import StorePath
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_digest, check_whole

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint

TOLD = ("tokens", "steps_run")
ADDED = ("output", "key", *TOLD)


def line_of(planned: Planned, count_tokens: "Callable[[Recipe, Checkpoint], int]") -> str:
    """The line of a planned picture whose key is known."""
    recipe, checkpoint = planned.recipe, planned.checkpoint
    takes = {
        "tokens": count_tokens(recipe, checkpoint),
        "steps_run": steps_run(recipe, checkpoint),
    }
    return json.dumps(_values(planned) | takes, ensure_ascii=False)


def final_line(planned: Planned) -> str:
    """The line without what it will take: for a process that makes the picture at once."""
    return json.dumps(_values(planned), ensure_ascii=False)


def _values(planned: Planned) -> dict[str, Any]:
    return planned.recipe.to_dict() | {"output": output_of(planned.path), "key": planned.key}


def output_of(path: Path) -> str:
    """``path`` as written in a line: absolute if it is outside of the current folder.

    Such a line is only accepted with that folder as ``--outdir``.
    """
    inside = not path.is_absolute() and ".." not in path.parts
    if inside or isinstance(path, StorePath):
        return str(path)
    return os.path.abspath(path)  # noqa: PTH100


def check_added(values: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for an invalid additional field."""
    output, key = values.get("output"), values.get("key")
    if not isinstance(output, str | None):
        raise SettingError(f"output must be text, got {output!r}")
    check_digest("key", key, optional=True)
    for name in TOLD:
        if name in values:
            check_whole(name, values[name], 0, 2**32)
