"""Files that were made by somebody, and what each says of it: named, in folders, or in a list."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from sdloop.batch.text_input import read_text
from sdloop.cli.make.image_files import by_number
from sdloop.cli.terminal.output import say
from sdloop.errors import FileError
from sdloop.metadata.picture import read_record
from sdloop.metadata.read import SavedPicture

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".mp4"})

FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE...",
        help="Pictures, folders (with their subfolders), or a .txt file with one path per line, "
        'relative to that file. "-" reads paths from standard input.',
        show_default=False,
    ),
]


def files_of(names: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """The files that ``names`` stand for, in their order, and whether each was named itself.

    Those of a folder come as their names count, 2.png before 10.png, and then those of the folders
    in it. Hidden ones and those with the suffix of something else are passed over.
    """
    for name in names:
        if name == "-":
            yield from files_of(_lines("-"))
        elif name.lower().endswith(".txt"):
            yield from files_of([str(Path(name).parent / line) for line in _lines(name)])
        elif os.path.isdir(name):  # noqa: PTH112 - which raises for no name
            yield from ((path, False) for path in _inside(Path(name)))
        else:
            yield Path(name), True


def _lines(name: str) -> list[str]:
    return [line for line in read_text(name).splitlines() if line.strip()]


def _inside(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir(), key=by_number)
    except OSError as error:
        raise FileError(f"cannot read {str(folder)!r}: {error.strerror or error}") from error
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
    """What each file says of its making.

    Raises ``FileError`` for a file that was named and does not, and where none of all does: of
    those in folders, which may hold other pictures as well, it is told how many do not.
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
