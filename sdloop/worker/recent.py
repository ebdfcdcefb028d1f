"""Whether there was a recent call for the same model: then a worker is worth its memory.

Each call leaves a small file in the user's runtime folder; its time is that of the last call.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

_SOON = 120.0


def noted(path: Path, model: Sequence[str]) -> bool:
    """Whether there was such a call in the last two minutes. Notes this call, removes old notes.

    ``path`` is the worker's socket, ``model`` the flags of the call that choose the model.
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
    """Set the note's time to the end of the call: the next call may come soon after it."""
    note = _note(path, model)
    if note.exists():
        os.utime(note)


def forget(path: Path) -> None:
    """Remove all notes for this worker, because it runs now."""
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
