"""Pictures taken along into another folder, under the paths that they have in theirs."""

from collections.abc import Iterable
from pathlib import Path

from sdloop.errors import FileError
from sdloop.gallery.folder import content_of
from sdloop.metadata.atomic import write_whole


def copy_whole(root: Path, paths: Iterable[str], target: Path) -> list[Path]:
    """Copy the pictures to ``target``; returns the files that are new there.

    One that is there already, byte for byte, is left alone; where another has its name, this one is
    numbered. Raises ``FileError`` for what cannot be read or written.
    """
    copied = []
    for path in paths:
        data = content_of(root, path)
        if not _is_there(target / path, data):
            copied.append(write_whole(target / path, data, exists="number"))
    return copied


def _is_there(path: Path, data: bytes) -> bool:
    """Under its own name, or under a number that it got when it was copied before."""
    try:
        alike = [path, *path.parent.glob(f"{_escaped(path.stem)}-[0-9]*{_escaped(path.suffix)}")]
        return any(_same(one, data) for one in alike)
    except OSError as error:
        raise FileError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _same(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _escaped(text: str) -> str:
    import glob

    return glob.escape(text)
