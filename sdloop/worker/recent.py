"""Whether a call for the same model has come a short while ago: then a worker is worth its memory.

A note of some bytes in the user's runtime folder, whose time is that of the last call.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

_SOON = 120.0


def noted(path: Path, model: Sequence[str]) -> bool:
    """Whether one came within two minutes; this one is noted, and old notes are taken away.

    ``path`` is the worker's, ``model`` what the call says of its model.
    """
    note = _note(path, model)
    now = time.time()
    for old in path.parent.glob("*.recent"):
        if now - _time(old) > _SOON:
            old.unlink(missing_ok=True)
    found = now - _time(note) <= _SOON
    note.touch(mode=0o600)
    return found


def again(path: Path, model: Sequence[str]) -> None:
    """The call has ended just now: the next one comes soon after that."""
    note = _note(path, model)
    if note.exists():
        os.utime(note)


def forget(path: Path) -> None:
    """All notes of this worker's calls: it is there now."""
    for note in path.parent.glob(f"{path.name}-*.recent"):
        note.unlink(missing_ok=True)


def _note(path: Path, model: Sequence[str]) -> Path:
    name = hashlib.sha256("\n".join(model).encode(errors="surrogateescape")).hexdigest()[:8]
    return path.with_name(f"{path.name}-{name}.recent")


def _time(note: Path) -> float:
    try:
        return note.stat().st_mtime
    except OSError:
        return 0.0
