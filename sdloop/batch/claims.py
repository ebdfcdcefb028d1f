"""Let any number of processes share one folder without a coordinator: each picture is made once.

A claim is a lock on one byte of a hidden file in the folder; the byte's position comes from the
picture's key. The kernel releases it as soon as the process ends, however it ends, and no other
process with the same id can inherit it. With lock files and heartbeats, processes would have to
guess whether an owner is dead, and a wrong guess makes a picture twice. Over NFS the server keeps
the locks, and releases those of a machine that disappears.

The last process removes the file. To know that it is the last, each process holds a shared lock on
the first byte, which only the last one can turn into an exclusive lock.
"""

import errno
import hashlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from sdloop.errors import FileError
from sdloop.places.path import StorePath

if sys.platform != "win32":
    import fcntl

NAME = ".sdloop-claims"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_PLACES = 2**62


class Claims:
    """The claims of this process on pictures of a folder.

    Only one instance per process, because locks belong to the process. Raises ``FileError`` if the
    folder cannot be written to. If the file system has no locks, it warns and grants every claim.
    Without a folder it grants every claim too: its pictures were given to this process alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file: int | None = None
        if folder is None:
            return
        self._path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = _opened(self._path)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                reason = error.strerror or error
                raise FileError(f"cannot write to {str(folder)!r}: {reason}") from error
            warnings.warn(
                f"the file system of {str(folder)!r} has no locks: no other process may work on "
                "the folder, unless each has a shard of its own",
                RuntimeWarning,
                stacklevel=2,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Release all claims; the last process also removes the file."""
        if self._file is None:
            return
        with suppress(OSError):
            if _lock(self._file, 0, exclusive=True):
                self._path.unlink()
        os.close(self._file)

    def take(self, keys: Collection[str]) -> bool:
        """Claim all of these pictures, or none if another process has claimed one of them."""
        taken: list[str] = []
        for key in sorted(keys):
            if self._file is not None and not _lock(self._file, _place(key), exclusive=True):
                self.release(taken)
                return False
            taken.append(key)
        return True

    def release(self, keys: Collection[str]) -> None:
        """Release these claims; other processes will find the finished files."""
        if self._file is None:
            return
        for key in keys:
            _unlock(self._file, _place(key))


def place_for(folder: Path) -> Path:
    """Where the claims on the pictures of ``folder`` are.

    Those on a store's are on this computer: its processes share the work, and the processes of
    several computers need a shard each. That each picture is written once, the store sees to.
    """
    if not isinstance(folder, StorePath):
        return folder
    user = os.getuid() if hasattr(os, "getuid") else 0
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sdloop-claims-{user}" / name


def _opened(path: Path) -> int:
    """Open the file with a shared lock on its first byte, and check that it was not replaced."""
    while True:
        with ExitStack() as stack:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            stack.callback(os.close, file)
            with suppress(FileNotFoundError):  # the last process has just removed it
                locked = _lock(file, 0, exclusive=False)
                if locked and os.path.samestat(os.fstat(file), path.stat()):
                    stack.pop_all()
                    return file
        time.sleep(0.01)


def _lock(file: int, place: int, *, exclusive: bool) -> bool:
    """Lock one byte; False if another process has locked it."""
    if sys.platform == "win32":
        return True  # no locks there: one process at a time
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB, 1, place)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _unlock(file: int, place: int) -> None:
    if sys.platform != "win32":
        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


def _place(key: str) -> int:
    """The position of the byte for a picture; the first byte is for the whole folder."""
    return 1 + int(key[:16], 16) % _PLACES
