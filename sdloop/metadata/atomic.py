"""Write files completely or not at all, and never overwrite a file unless requested.

The data go to a hidden temporary file in the same folder and are flushed to the disk. Only then
does the file get its name, with a hard link. Unlike a rename, a hard link fails if the name exists,
so two runs that choose the same name cannot overwrite each other's picture. In an object store, a
conditional write does the same in one step.
"""

import contextlib
import errno
import io
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from sdloop.errors import AlreadyMade, FileError
from sdloop.metadata.keys import key_of
from sdloop.metadata.names import numbered
from sdloop.places.path import StorePath
from sdloop.rules import check_local

if sys.platform != "win32":
    import fcntl

Exists = Literal["fail", "number", "overwrite"]

# Errors of link() on file systems without hard links: FAT, exFAT, and many file systems of networks
# and phones.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# Errors of fsync() for a folder on file systems that do not support it.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})


def write_whole(
    path: Path,
    data: bytes,
    *,
    exists: Exists = "fail",
    key: str | None = None,
    once: bool = False,
) -> Path:
    """Write ``data`` to ``path``, creating its folders; returns the path of the file.

    ``exists`` decides what happens if the file exists: "fail" raises an error, "number" uses the
    next free name (name-2, name-3 …), "overwrite" replaces the file in one step. For a symbolic
    link, "overwrite" replaces the target and not the link. ``key`` is the content key of a picture:
    in a store it becomes an attribute, and with ``once`` a file of that name with that key counts
    as written already.

    Raises ``AlreadyMade`` in this case, otherwise ``FileError`` naming the file. No file is left
    after an error. Only a killed process can leave its hidden ``.sdloop-….part`` file, but never a
    partial picture.
    """
    same = key if once else None
    if isinstance(path, StorePath):
        return _put(path, data, exists, key, same)
    return _filled(path, lambda file: file.write(data), exists, same)


def write_filled(
    path: Path, fill: Callable[[BinaryIO], object], *, exists: Exists = "fail"
) -> Path:
    """Like ``write_whole``, for data too large for memory: ``fill`` writes to the open file.

    ``fill`` may also read and seek in the file. An ``OSError`` of ``fill`` becomes a ``FileError``,
    other exceptions are passed on. No file is left after an error. For a store the file is held in
    memory.
    """
    if isinstance(path, StorePath):
        file = io.BytesIO()
        with _errors_of(path, kinds=(OSError,)):
            fill(file)
        return _put(path, file.getvalue(), exists, None, None)
    return _filled(path, fill, exists, None)


def _filled(
    path: Path, fill: Callable[[BinaryIO], object], exists: Exists, same: str | None
) -> Path:
    check_local("path", path)
    with _errors_of(path):
        if exists == "overwrite":
            path = _replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, file = _new_temporary(path.parent)
    try:
        with _errors_of(path, kinds=(OSError,)), file:  # which may fail again as it is closed
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        with _errors_of(path):
            path = _name(temporary, path, exists, same)
            _sync_folder(path.parent)
    finally:
        # After a rename it is gone. If it cannot be removed, the picture is still saved.
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def _put(path: StorePath, data: bytes, exists: Exists, key: str | None, same: str | None) -> Path:
    """``write_whole`` for a store."""
    number = 1
    while True:
        at = numbered(path, number)
        assert isinstance(at, StorePath)
        try:
            with _errors_of(at):
                at.put(data, key=key, replace=exists == "overwrite")
        except FileError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            _check_taken(at, exists, same)
            number += 1
        else:
            return at


def check_writable(path: Path, *, exists: Exists = "fail") -> None:
    """Raise ``FileError`` early if ``write_whole`` would fail after all the work.

    Writing can still fail later, if the name is taken in the meantime or the disk is full.
    """
    if isinstance(path, StorePath):
        _check_store(path, exists)
        return
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


def _check_store(path: StorePath, exists: Exists) -> None:
    """The same for a store: the answer shows whether it can be reached, too."""
    with _errors_of(path):
        there = path.is_file()
    if there and exists == "fail":
        raise _taken(path)


def _check_taken(path: Path, exists: Exists, same: str | None) -> None:
    """Raise the error for a name that exists, unless the next number may be tried."""
    if same is not None and key_of(path) == same:
        raise AlreadyMade(f"{str(path)!r} is this picture already")
    if exists == "fail":
        raise _taken(path)


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


def _name(temporary: Path, path: Path, exists: Exists, same: str | None) -> Path:
    if exists == "overwrite":
        temporary.replace(path)
        return path
    number = 1
    while not _link(temporary, numbered(path, number)):
        _check_taken(numbered(path, number), exists, same)
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
