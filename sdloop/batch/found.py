"""Find the finished pictures: they are recognised by the key stored in each file, not by its name.

A file that was renamed or moved to a subfolder still counts. A truncated file, or one made with
other settings, does not. Reading ten thousand files takes two seconds, so no list of finished
pictures is kept between runs, which could become wrong.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from sdloop.errors import FileError
from sdloop.metadata import chunks
from sdloop.metadata.names import numbered
from sdloop.metadata.picture import FORMATS


class Found:
    """The keys of the pictures in a folder, from one scan, and of those made since.

    Sixteen bytes of each key are kept, enough to be unique: a folder of a million pictures takes
    100 MB. ``leftovers`` are hidden files of processes that were killed or are still running.
    """

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self.leftovers: list[Path] = []

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        self._keys.add(_short(key))

    def discard(self, key: str) -> None:
        self._keys.discard(_short(key))


def found_in(folder: Path, *, depth: int | None = None) -> Found:
    """The pictures in ``folder`` and the folders in it, at most ``depth`` levels deep.

    Hidden folders and links to folders are skipped; a missing folder counts as empty.
    """
    found = Found()
    for path in _pictures(str(folder), depth):
        if Path(path).name.startswith(".sdloop-"):
            found.leftovers.append(Path(path))
        elif (key := key_of(Path(path))) is not None:
            found.add(key)
    return found


def is_there(path: Path, key: str, *, since: float = 0) -> bool:
    """Whether the picture is at ``path``, or at one of its numbered names.

    Files that were written before ``since``, in seconds since 1970, do not count.
    """
    number = 1
    while os.path.lexists(at := numbered(path, number)):
        if key_of(at) == key and at.stat().st_mtime >= since:
            return True
        number += 1
    return False


def key_of(path: Path) -> str | None:
    """The key in a picture's file; None if it is not a complete picture with a key."""
    try:
        own = json.loads(chunks.read_texts(path).get("sdloop", "{}"))
    except (FileError, ValueError, RecursionError):
        return None
    made = own.get("made") if isinstance(own, dict) and "step" not in own else None
    key = made.get("key") if isinstance(made, dict) else None
    whole = isinstance(key, str) and len(key) == 64 and key.isascii() and key.isalnum()
    return key if whole else None


def _pictures(folder: str, depth: int | None) -> Iterator[str]:
    """The names of the files; ``scandir`` knows files from folders without a call for each."""
    try:
        with os.scandir(folder) as entries:
            inside = list(entries)
    except OSError:  # removed, or no permission
        return
    for entry in inside:
        if entry.name.startswith("."):
            if entry.name.startswith(".sdloop-"):
                yield entry.path
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth is None or depth > 0:
                yield from _pictures(entry.path, None if depth is None else depth - 1)
        elif os.path.splitext(entry.name)[1].lower() in FORMATS:  # noqa: PTH122
            yield entry.path


def _short(key: str) -> bytes:
    return bytes.fromhex(key[:32])
