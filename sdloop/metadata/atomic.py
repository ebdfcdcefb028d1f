"""Files that are there whole or not at all, and that never replace another one unasked.

The bytes go to a hidden temporary file in the same folder, are flushed to the disk, and only then
get their name. The name is given by a hard link: unlike a rename it fails when the name is taken,
so two runs that pick the same one cannot destroy each other's picture.
"""

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from sdloop.errors import FileError
from sdloop.metadata.names import numbered
from sdloop.rules import check_local

if sys.platform != "win32":
    import fcntl

Exists = Literal["fail", "number", "overwrite"]

# What link() answers where the file system has no hard links: FAT, exFAT, many network and phone
# file systems.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# What fsync() answers for a folder where the file system cannot do that.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})


def write_whole(path: Path, data: bytes, *, exists: Exists = "fail") -> Path:
    """Write ``data`` to ``path``, making its folders, and return the path that was taken.

    ``exists`` says what a file already there means: "fail" is an error, "number" takes the next
    free one of name-2, name-3 …, "overwrite" replaces it in one step (and what a symbolic link
    points to, not the link).

    Raises ``FileError`` naming the file; nothing is left behind then, whatever went wrong. Only a
    killed process can leave its hidden ``.sdloop-….part`` file, never half a picture.
    """
    return write_filled(path, lambda file: file.write(data), exists=exists)


def write_filled(
    path: Path, fill: Callable[[BinaryIO], object], *, exists: Exists = "fail"
) -> Path:
    """``write_whole`` for what is too long to hold at once: ``fill`` writes it to the open file.

    The file can be read and sought in. What ``fill`` raises passes, but for an ``OSError``, and
    nothing is left behind then.
    """
    check_local("path", path)
    with _errors_of(path):
        if exists == "overwrite":
            path = _replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, file = _new_temporary(path.parent)
    try:
        with file, _errors_of(path, kinds=(OSError,)):
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        with _errors_of(path):
            path = _name(temporary, path, exists)
            _sync_folder(path.parent)
    finally:
        # After a rename it is gone already; and if it cannot be removed, the picture still counts.
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def check_writable(path: Path, *, exists: Exists = "fail") -> None:
    """Raise ``FileError`` now for what ``write_whole`` would raise after the work was done.

    Only the disk's mood can differ then: a name taken meanwhile, no room.
    """
    check_local("path", path)
    with _errors_of(path):
        if exists == "overwrite":
            path = _replaceable(path)
        if exists == "fail" and os.path.lexists(path):
            raise _taken(path)
        folders = (folder for folder in path.absolute().parents if os.path.lexists(folder))
        folder = next(folders, path)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"cannot write {str(path)!r}: {str(folder)!r} is not a writable folder")


def _taken(path: Path) -> FileError:
    if path.is_dir():
        return FileError(f"cannot write {str(path)!r}: it is a folder")
    return FileError(
        f"{str(path)!r} already exists: choose another name, or replace it with --overwrite"
    )


@contextlib.contextmanager
def _errors_of(
    path: Path, *, kinds: tuple[type[Exception], ...] = (OSError, ValueError)
) -> Iterator[None]:
    """Say which file it was; a ``ValueError`` is a NUL or a lone surrogate in the name."""
    try:
        yield
    except kinds as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot write {str(path)!r}: {reason}") from error


def _replaceable(path: Path) -> Path:
    """Where the bytes of ``path`` lie; a device or a folder must not be replaced by a picture."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileError(f"cannot write {str(path)!r}: it exists and is not a regular file")
    return target


def _new_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """A new hidden file in ``folder``, open for writing."""
    path = folder / f".sdloop-{secrets.token_hex(8)}.part"
    # Not mkstemp, whose files only their owner can read: here the kernel applies the umask.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    # The lock goes with the process: what is left without one was left by a killed one.
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path, os.fdopen(handle, "w+b")


def _name(temporary: Path, path: Path, exists: Exists) -> Path:
    if exists == "overwrite":
        temporary.replace(path)
        return path
    number = 1
    while not _link(temporary, numbered(path, number)):
        if exists == "fail":
            raise _taken(path)
        number += 1
    return numbered(path, number)


def _link(temporary: Path, path: Path) -> bool:
    """Give the file its name; False when that is in use, even by a link that leads nowhere."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _reserve_and_rename(temporary, path)
    return True


def _reserve_and_rename(temporary: Path, path: Path) -> bool:
    """``_link`` without hard links: take the name with an empty file, then rename over it.

    Taking the name is as safe from other runs as a link; but a process killed between the two
    calls leaves the empty file.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    try:
        temporary.replace(path)
    except OSError:
        path.unlink()
        raise
    return True


def _sync_folder(folder: Path) -> None:
    """Without this a crash of the machine may forget the new name, though not the file's bytes."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open folders, and needs no such call
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
