"""Pictures that are named on the command line: a file, a folder of them, or standard input."""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from sdloop.batch.text_input import label
from sdloop.errors import FileError
from sdloop.images.input.read import InputImage, OpenImage, is_picture_name, open_image, read_image


def image_files(names: Sequence[str], *, inner: bool = False) -> list[str]:
    """``names`` with each folder replaced by the pictures in it, 2.png before 10.png.

    Hidden files and those with the suffix of something else are left out, and folders in folders
    unless ``inner`` ones are meant as well: then each comes after the files beside it. Raises
    ``FileError`` for a folder that cannot be read or holds no picture.
    """
    return [file for name in names for file in _files_of(name, inner)]


def _files_of(name: str, inner: bool) -> list[str]:
    path = Path(name)
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
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    inside.sort(key=by_number)
    yield from (path for path in inside if is_picture_name(path) and path.is_file())
    if inner:
        # A link may lead back to where it lies.
        for path in inside:
            if path.is_dir() and not path.is_symlink():
                yield from _pictures_in(path, inner)


def by_number(path: Path) -> list[tuple[int, str]]:
    """A key that sorts the numbers in a name by their value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part[:18]) if part[:1].isdecimal() else -1, part) for part in parts]


def image_opener() -> OpenImage:
    """How this command opens pictures, by name: "-" is standard input.

    What can be read only once, as a pipe, is kept: a picture is looked at before the model is
    loaded and read again when its turn comes.
    """

    @cache
    def kept(name: str) -> InputImage:
        if name != "-":
            return open_image(name)
        if sys.stdin is None:
            raise FileError("cannot read standard input: it is closed")
        return read_image(sys.stdin.buffer.read(), label(name))

    def open_named(name: str) -> InputImage:
        again = name != "-" and (not Path(name).exists() or Path(name).is_file())
        return open_image(name) if again else kept(name)

    return open_named
