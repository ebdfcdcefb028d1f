"""The half-written files of processes that were killed."""

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_YOUNG = 1.0  # seconds, the longest time between opening such a file and locking it


def remove_leftovers(seen: Iterable[Path], folders: Iterable[Path]) -> None:
    """Remove the half-written files of killed processes: those ``seen``, and those in ``folders``.

    A process that is still writing one has it locked: see ``metadata.atomic``.
    """
    here = (path for folder in folders for path in folder.glob(".sdloop-*.part"))
    for path in (*(path for path in seen if path.suffix == ".part"), *here):
        with suppress(OSError):
            while not _removed(path):
                time.sleep(_YOUNG / 10)


def _removed(path: Path) -> bool:
    """Remove ``path`` if no process is writing it; False if it is too new to know.

    Raises ``OSError`` if a process is writing it or has finished meanwhile.
    """
    with path.open("rb") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if 0 <= time.time() - os.fstat(file.fileno()).st_mtime < _YOUNG:
            return False
        path.unlink()
    return True
