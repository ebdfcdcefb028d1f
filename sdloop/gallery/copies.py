"""Copy pictures to another folder, under the same relative paths."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from sdloop.errors import reading
from sdloop.gallery.folder import content_of
from sdloop.metadata.atomic import write_whole
from sdloop.metadata.names import numbered
from sdloop.places.path import StorePath


def copy_whole(root: Path, paths: Iterable[str], target: Path) -> list[Path]:
    """Copy the pictures to ``target``; returns the files that are new there.

    A picture that already exists, byte for byte, is skipped; if another file has its name, a
    number is added. Raises ``FileError`` if a file cannot be read or written.
    """
    copied = []
    for path in paths:
        data = content_of(root, path)
        if not _is_there(target / path, data):
            copied.append(write_whole(target / path, data, exists="number"))
    return copied


def _is_there(path: Path, data: bytes) -> bool:
    """Whether the picture is there, under its name or with a number from an earlier copy."""
    if isinstance(path, StorePath):
        return _stored(path, data)
    with reading(path):
        alike = [path, *path.parent.glob(f"{_escaped(path.stem)}-[0-9]*{_escaped(path.suffix)}")]
        return any(_same(one, data) for one in alike)


def _stored(path: StorePath, data: bytes) -> bool:
    """The same in a store, where numbered names have no gaps."""
    names = (numbered(path, number) for number in itertools.count(1))
    with reading(path):
        return any(_same(at, data) for at in itertools.takewhile(lambda at: at.is_file(), names))


def _same(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _escaped(text: str) -> str:
    import glob

    return glob.escape(text)
