"""Find the pictures that a worker had finished for this call before it died."""

import itertools
import os
from pathlib import Path

from sdloop.errors import FileError
from sdloop.metadata.names import numbered
from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe
from sdloop.worker.inside import HOST

# The clock of file systems ticks only some hundred times per second.
_TICK = 0.05


def made_before(path: Path, recipe: Recipe) -> Path | None:
    """The file of this picture, if a worker wrote it for this call; ``path`` is its planned name.

    None if no worker began this call. An older file with the same Recipe belongs to another call.
    """
    begun = HOST.get().unfinished
    if begun is None:
        return None
    for number in itertools.count(1):
        at = numbered(path, number)
        if not os.path.lexists(at):
            return None
        if str(at) in begun.printed:
            return at
        if at.stat().st_mtime >= begun.since - _TICK and _recipe(at) == recipe:
            return at
    return None


def was_printed(path: Path) -> bool:
    begun = HOST.get().unfinished
    return begun is not None and str(path) in begun.printed


def _recipe(path: Path) -> Recipe | None:
    try:
        return read_record(path).recipe
    except FileError:
        return None
