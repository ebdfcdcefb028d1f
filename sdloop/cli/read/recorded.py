"""Find picture files, named directly, in folders or in a list, and read their settings."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sdloop.batch.text_input import read_text
from sdloop.cli.make.image_files import by_number, stored_in
from sdloop.cli.terminal.output import say
from sdloop.errors import FileError, reading
from sdloop.metadata.picture import read_record
from sdloop.metadata.read import SavedPicture
from sdloop.places.path import StorePath, location

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".mp4"})


def files_of(names: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """The files for ``names``, in order; each with whether it was named itself, not its folder.

    Files of a folder are sorted by the numbers in their names, 2.png before 10.png; its subfolders
    come after them. Hidden files and files with another suffix are left out.
    """
    for name in names:
        if name == "-":
            yield from files_of(_lines("-"))
        elif name.lower().endswith(".txt"):
            yield from files_of([str(Path(name).parent / line) for line in _lines(name)])
        elif os.path.isdir(name):  # noqa: PTH112 - unlike Path.is_dir(), it never raises
            yield from ((path, False) for path in _inside(Path(name)))
        elif isinstance(path := location(name), StorePath) and (found := _stored(path)):
            yield from ((inner, False) for inner in found)
        else:
            yield path, True


def _lines(name: str) -> list[str]:
    return [line for line in read_text(name).splitlines() if line.strip()]


def _stored(folder: StorePath) -> list[Path]:
    """The files of a folder in a store; none if it is a file."""
    with reading(folder):
        found = stored_in(folder, inner=True)
    return [path for path in found if path.suffix.lower() in SUFFIXES]


def _inside(folder: Path) -> Iterator[Path]:
    with reading(folder):
        entries = sorted(folder.iterdir(), key=by_number)
    folders = []
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            folders.append(path)
        elif path.suffix.lower() in SUFFIXES:
            yield path
    for inner in folders:
        yield from _inside(inner)


def recorded_files(names: Sequence[str], *, quiet: bool) -> list[SavedPicture]:
    """The pictures with the settings in their files.

    Raises ``FileError`` for a named file without settings, and if no file has settings. Files in
    folders without settings are skipped, and their number is printed.
    """
    found, silent = [], 0
    for path, named in files_of(names):
        try:
            found.append(SavedPicture(path=path, record=read_record(path)))
        except FileError:
            if named:
                raise
            silent += 1
    if not found:
        raise FileError(f"no picture in {', '.join(map(repr, names))} contains its settings")
    if silent and not quiet:
        say(f"skipped {silent} file{'s' if silent > 1 else ''} without settings")
    return found
