"""Start a worker: only one, however many clients try at once."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdloop.worker import recent
from sdloop.worker.place import PACKAGE
from sdloop.worker.reach import connected


def started(path: Path, keep_alive: float) -> bool:
    """Start a worker that listens at ``path``, and wait until it does.

    True if this process started it: of twenty clients one does, and the others wait for it.
    """
    with _alone(path.parent):
        there = connected(path)
        if there is not None:
            there.close()
            return False
        read_end, write_end = os.pipe()
        _start(path, write_end, keep_alive)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            listens = pipe.read(1) == b"1"  # else it ended, which closed the pipe
        recent.forget(path)
    return listens


# Not -m, which would look for the package in the current folder, which is the client's.
_CODE = """
import sys
sys.path.insert(0, {home!r})
from sdloop.cli.server.main import main
main()
"""


def _start(path: Path, write_end: int, keep_alive: float) -> None:
    code = _CODE.format(home=str(PACKAGE.parent))
    nowhere = subprocess.DEVNULL
    subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(write_end), str(keep_alive)],
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
        cwd="/",
        start_new_session=True,
        pass_fds=[write_end],
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep the user's other processes out meanwhile; the folder itself is the lock."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
