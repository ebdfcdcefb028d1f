"""Write files completely or not at all, and never overwrite a file unless requested.

The data go to a hidden temporary file in the same folder and are flushed to the disk. Only then
does the file get its name, with a hard link. Unlike a rename, a hard link fails if the name exists,
so two runs that choose the same name cannot overwrite each other's picture.
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

# Errors of link() on file systems without hard links: FAT, exFAT, and many file systems of networks
# and phones.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# Errors of fsync() for a folder on file systems that do not support it.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})


def write_whole(path: Path, data: bytes, *, exists: Exists = "fail") -> Path:
    """Write ``data`` to ``path``, creating its folders; returns the path of the file.

    ``exists`` decides what happens if the file exists: "fail" raises an error, "number" uses the
    next free name (name-2, name-3 …), "overwrite" replaces the file in one step. For a symbolic
    link, "overwrite" replaces the target and not the link.

    Raises ``FileError`` naming the file. No file is left after an error. Only a killed process can
    leave its hidden ``.sdloop-….part`` file, but never a partial picture.
    """
    return write_filled(path, lambda file: file.write(data), exists=exists)


def write_filled(
    path: Path, fill: Callable[[BinaryIO], object], *, exists: Exists = "fail"
) -> Path:
    """Like ``write_whole``, for data too large for memory: ``fill`` writes to the open file.

    ``fill`` may also read and seek in the file. An ``OSError`` of ``fill`` becomes a ``FileError``,
    other exceptions are passed on. No file is left after an error.
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
        # After a rename it is gone. If it cannot be removed, the picture is still saved.
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def check_writable(path: Path, *, exists: Exists = "fail") -> None:
    """Raise ``FileError`` early if ``write_whole`` would fail after all the work.

    Writing can still fail later, if the name is taken in the meantime or the disk is full.
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
    """Raise a ``FileError`` that names the file. A ``ValueError`` means an invalid name."""
    try:
        yield
    except kinds as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot write {str(path)!r}: {reason}") from error


def _replaceable(path: Path) -> Path:
    """The real path of ``path``. Raises ``FileError`` for a device or folder."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileError(f"cannot write {str(path)!r}: it exists and is not a regular file")
    return target


def _new_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """Create a hidden file in ``folder``, open for writing."""
    path = folder / f".sdloop-{secrets.token_hex(8)}.part"
    # Not mkstemp, because only the owner can read its files. Here the kernel applies the umask.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    # The lock ends with the process: a file without a lock was left by a killed process.
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
    """Give the file its name; False if the name exists, even as a broken link."""
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
    """Like ``_link``, without hard links: create an empty file of that name, then rename over it.

    This is as safe against other runs as a link. But a process killed between the two calls leaves
    the empty file.
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
    """Flush the folder: without this, the new name may be lost if the machine crashes."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open folders, and does not need this
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
