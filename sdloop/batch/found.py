"""Find the finished pictures: they are recognised by the key stored in each file, not by its name.

A file that was renamed or moved to a subfolder still counts. A truncated file, or one made with
other settings, does not. Reading ten thousand files takes two seconds. In a store, and in folders
that have one, an index saves that: see ``index``.
"""

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sdloop.batch import index
from sdloop.errors import FileError
from sdloop.metadata.keys import key_of
from sdloop.metadata.names import numbered
from sdloop.metadata.picture import FORMATS
from sdloop.places.path import StorePath

_AT_ONCE = 32  # questions to a store
_CHUNK = 4096


class Found:
    """The keys of the pictures in a folder, from one scan, and of those made since.

    Sixteen bytes of each key are kept, enough to be unique: a folder of a million pictures takes
    100 MB. ``leftovers`` are hidden files of processes that were killed or are still running.
    ``opened`` counts the pictures that the index did not have.
    """

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self.leftovers: list[Path] = []
        self.opened = 0

    def __contains__(self, key: str) -> bool:
        return short(key) in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        self._keys.add(short(key))

    def add_short(self, key: bytes) -> None:
        self._keys.add(key)

    def discard(self, key: str) -> None:
        self._keys.discard(short(key))


def found_in(folder: Path, *, depth: int | None = None, rescan: bool = False) -> Found:
    """The pictures in ``folder`` and the folders in it, at most ``depth`` levels deep.

    Hidden folders and links to folders are skipped; a missing folder counts as empty. Pictures that
    the index has, with this name and size, are not opened, except with ``rescan``. Raises
    ``FileError`` if a store cannot be listed.
    """
    found = Found()
    known = {} if rescan else index.known(folder)
    unknown: list[Path] = []
    for path, size in listed(folder, depth, sized=bool(known)):
        if path.name.startswith(".sdloop-"):
            found.leftovers.append(path)
        elif (key := known.get(index.name_id(path, folder, size)) if known else None) is not None:
            found.add_short(key)
        else:
            unknown.append(path)
            if len(unknown) == _CHUNK:
                _open(unknown, found)
                unknown.clear()
    _open(unknown, found)
    return found


def is_there(path: Path, key: str, *, since: float = 0) -> bool:
    """Whether the picture is at ``path``, or at one of its numbered names.

    Files that were written before ``since``, in seconds since 1970, do not count. Raises
    ``OSError`` if a store does not answer.
    """
    number = 1
    while _exists(at := numbered(path, number)):
        if key_of(at) == key and at.stat().st_mtime >= since:
            return True
        number += 1
    return False


def listed(folder: Path, depth: int | None, *, sized: bool) -> Iterator[tuple[Path, int]]:
    """The pictures, and the hidden files of other processes, with their size if it is needed."""
    if not isinstance(folder, StorePath):
        yield from _files(str(folder), depth, sized)
        return
    try:
        for path, one in folder.visible():
            if path.suffix.lower() in FORMATS:
                yield path, one.size
    except OSError as error:
        raise FileError(f"cannot read {str(folder)!r}: {error.strerror or error}") from error


def _open(paths: Collection[Path], found: Found) -> None:
    """Read the keys of pictures; a store answers many questions at once."""
    found.opened += len(paths)
    stored = any(isinstance(path, StorePath) for path in paths)
    with ThreadPoolExecutor(_AT_ONCE if stored else 1) as pool:
        for key in pool.map(key_of, paths) if stored else map(key_of, paths):
            if key is not None:
                found.add(key)


def _exists(path: Path) -> bool:
    return path.is_file() if isinstance(path, StorePath) else os.path.lexists(path)


def _files(folder: str, depth: int | None, sized: bool) -> Iterator[tuple[Path, int]]:
    """The same on disk; ``scandir`` knows files from folders without a call for each."""
    try:
        with os.scandir(folder) as entries:
            inside = list(entries)
    except OSError:  # removed, or no permission
        return
    for entry in inside:
        if entry.name.startswith("."):
            if entry.name.startswith(".sdloop-") and not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), 0
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth is None or depth > 0:
                yield from _files(entry.path, None if depth is None else depth - 1, sized)
        elif os.path.splitext(entry.name)[1].lower() in FORMATS:  # noqa: PTH122
            yield Path(entry.path), _size(entry) if sized else 0


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # removed meanwhile, or a broken link
        return -1


def short(key: str) -> bytes:
    return bytes.fromhex(key[:32])
