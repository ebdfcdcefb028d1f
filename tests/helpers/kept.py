"""Keep models loaded between commands in one process, like a warm worker."""

from collections.abc import Callable
from typing import Any

from sdloop.models.checkpoint.find import MINI
from sdloop.models.checkpoint.value import Checkpoint

UNCHANGED = {MINI}  # the folders that no test changes

_kept: dict[tuple[object, ...], Any] = {}


def keep(load: Callable[[], Any], checkpoint: Checkpoint, *how: str) -> Any:
    """What ``load`` gives, or gave for the same of an unchanged folder: see ``Host``."""
    if checkpoint.path not in UNCHANGED:
        return load()
    weights = tuple(checkpoint.weights.items())
    key = (checkpoint.name, checkpoint.path, weights, *how)
    if key not in _kept:
        _kept[key] = load()
    return _kept[key]
