"""The index of a folder of pictures: which picture is in which file, without opening the files.

It consists of small immutable files in the hidden folder ``.sdloop-index``, each written after the
pictures that it lists, so that a picture in the index exists. A line is JSON::

    {"key": …, "name": "frogs/4.png", "size": 48213, "sha256": …}

The index is only a hint. Whoever reads it lists the folder too, and an entry counts if there is a
file of this name and size: a picture that was deleted is made again, and one that the index lacks
is opened. A store always has an index; a folder on disk only once ``sdloop index compact`` made it.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdloop.errors import FileError
from sdloop.metadata.atomic import write_whole
from sdloop.places.path import StorePath

FOLDER = ".sdloop-index"
_EVERY = 30.0  # seconds between two files of a run


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A picture: its content key, its name within the folder, and its file's size and sha256."""

    key: str
    name: str
    size: int
    sha256: str


class IndexWriter:
    """Collects the entries of a run, and writes a file of the index every half minute."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: list[Entry] = []
        self._since = time.monotonic()

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        if time.monotonic() - self._since >= _EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what was collected. An index that cannot be written costs time later, no more."""
        with suppress(FileError):
            if self._entries:
                write_entries(self._folder, self._entries)
        self._entries.clear()
        self._since = time.monotonic()


def is_kept(folder: Path) -> bool:
    """Whether pictures written to this folder belong into an index."""
    return isinstance(folder, StorePath) or (folder / FOLDER).is_dir()


def write_entries(folder: Path, entries: Sequence[Entry]) -> Path:
    """Write one file; its name is the hash of its content. Raises ``FileError``."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in entries)
    data = "".join(lines).encode("utf-8", "surrogateescape")
    name = f"{hashlib.sha256(data).hexdigest()[:32]}.jsonl"
    path = folder / FOLDER / name
    write_whole(path, data, exists="overwrite")
    return path


def known(folder: Path) -> dict[bytes, bytes]:
    """For each entry its ``name_id``, with the first 16 bytes of its key.

    A million entries take 200 MB.
    """
    found: dict[bytes, bytes] = {}
    for file in files_in(folder):
        for one in entries_in(file):
            found[_id(one.name, one.size)] = bytes.fromhex(one.key[:32])
    return found


def name_id(path: Path, folder: Path, size: int) -> bytes:
    """A short stand-in for a picture's name and size."""
    start = len(str(folder)) + 1 if str(folder) != "." else 0
    return _id(str(path)[start:], size)


def files_in(folder: Path) -> list[Path]:
    """The files of the index; none if there is no index. Raises ``FileError``."""
    place = folder / FOLDER
    try:
        return sorted(path for path in place.iterdir() if path.suffix == ".jsonl")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileError(f"cannot read {str(place)!r}: {error.strerror or error}") from error


def entries_in(file: Path) -> Iterator[Entry]:
    """The entries in a file of the index; a damaged line is skipped, and so is a removed file."""
    try:
        data = file.read_bytes()
    except OSError:  # compacted by another process meanwhile
        return
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        with suppress(ValueError, TypeError, RecursionError):
            yield _entry(json.loads(line))


def compact(folder: Path, entries: Iterable[Entry]) -> Path | None:
    """Replace the index by one file with these entries; None if there are none.

    Entries that another process adds meanwhile are kept.
    """
    before = files_in(folder)
    every = list(entries)
    new = write_entries(folder, every) if every else None
    for file in before:
        if file != new:
            with suppress(OSError):
                file.unlink()
    return new


def _entry(line: Any) -> Entry:
    """Raises ``ValueError`` or ``TypeError`` unless it is an entry."""
    one = Entry(**line)
    whole = isinstance(one.name, str) and isinstance(one.size, int) and len(one.key) == 64
    if not whole or not bytes.fromhex(one.key):
        raise ValueError(line)
    return one


def _id(name: str, size: int) -> bytes:
    return hashlib.blake2b(os.fsencode(f"{name}\0{size}"), digest_size=16).digest()
