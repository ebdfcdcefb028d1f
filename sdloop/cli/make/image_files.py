"""Find and open the pictures named on the command line: files, folders, or standard input."""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from sdloop.batch.text_input import label
from sdloop.errors import FileError
from sdloop.images.input.read import InputImage, OpenImage, is_picture_name, open_image, read_image
from sdloop.places.path import StorePath, location


def image_files(names: Sequence[str], *, inner: bool = False) -> list[str]:
    """``names`` with each folder replaced by the pictures in it, 2.png before 10.png.

    Hidden files and files with another suffix are left out. Subfolders are left out too, unless
    ``inner`` is set: then they come after the files of their folder. Raises ``FileError`` for a
    folder that cannot be read or has no picture.
    """
    return [file for name in names for file in _files_of(name, inner)]


def _files_of(name: str, inner: bool) -> list[str]:
    path = location(name)
    try:
        if name == "-" or not path.is_dir():
            return [name]
        files = [str(one) for one in _pictures_in(path, inner)]
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {name!r}: {error}") from error
    if not files:
        raise FileError(f"the folder {name!r} contains no picture")
    return files


def _pictures_in(folder: Path, inner: bool) -> Iterator[Path]:
    if isinstance(folder, StorePath):
        yield from (path for path in stored_in(folder, inner=inner) if is_picture_name(path))
        return
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    inside.sort(key=by_number)
    yield from (path for path in inside if is_picture_name(path) and path.is_file())
    if inner:
        # A link may point to its own folder, which would never end.
        for path in inside:
            if path.is_dir() and not path.is_symlink():
                yield from _pictures_in(path, inner)


def stored_in(folder: StorePath, *, inner: bool) -> list[Path]:
    """The files of a folder in a store, in the same order, without hidden ones."""

    def order(path: Path) -> list[tuple[bool, list[tuple[int, str]]]]:
        parts = path.relative_to(folder).parts
        return [(place < len(parts), by_number(Path(p))) for place, p in enumerate(parts, 1)]

    found = (path for path, _ in folder.visible() if inner or path.parent == folder)
    return sorted(found, key=order)


def by_number(path: Path) -> list[tuple[int, str]]:
    """A key that sorts the numbers in a name by their value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part[:18]) if part[:1].isdecimal() else -1, part) for part in parts]


def image_opener() -> OpenImage:
    """A function that opens pictures by name; "-" is standard input.

    A picture is read twice: before the model is loaded, to check it, and again when it is used.
    So inputs that can be read only once, such as a pipe, are kept in memory.
    """

    @cache
    def kept(name: str) -> InputImage:
        if name != "-":
            return open_image(name)
        if sys.stdin is None:
            raise FileError("cannot read standard input: it is closed")
        return read_image(sys.stdin.buffer.read(), label(name))

    def open_named(name: str) -> InputImage:
        path = location(name)
        again = name != "-" and (not path.exists() or path.is_file())
        return open_image(name) if again else kept(name)

    return open_named
