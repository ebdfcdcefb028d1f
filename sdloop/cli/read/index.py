"""The work of ``sdloop index``."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sdloop.batch.found import listed
from sdloop.batch.index import Entry, compact, entries_in, files_in
from sdloop.cli.terminal.output import emit
from sdloop.errors import FileError
from sdloop.metadata.keys import key_of
from sdloop.places.path import location


def compact_index(name: str) -> None:
    """Write one index of the pictures in the folder ``name``."""
    folder = location(name)
    if not folder.is_dir():
        raise FileError(f"cannot read {name!r}: it is not a folder")
    path = compact(folder, _entries(folder))
    if path is None:
        raise FileError(f"the folder {name!r} contains no picture of sdloop with its key")
    emit(str(path))


def _entries(folder: Path) -> Iterator[Entry]:
    """An entry for each picture that is there, from the index or from its file."""
    known = {(one.name, one.size): one for file in files_in(folder) for one in entries_in(file)}
    for path, size in listed(folder, None, sized=True):
        name = path.relative_to(folder).as_posix()
        one = known.get((name, size))
        if one is not None:
            yield one
        elif not path.name.startswith(".") and (key := key_of(path)) is not None:
            data = path.read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            yield Entry(key=key, name=name, size=len(data), sha256=sha256)
