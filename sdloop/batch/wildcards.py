"""Wildcard files: ``__animals__`` in a prompt stands for one line of animals.txt."""

import difflib
import fnmatch
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sdloop.batch.template_frames import weights_of
from sdloop.batch.template_tokens import weight_at
from sdloop.batch.templates import Choice, Template
from sdloop.batch.variables import Variables
from sdloop.batch.variants import MAX_DEPTH, Lookup, parsed
from sdloop.errors import FileError, PromptError
from sdloop.spelling import called, files_below, is_there

MAX_LOOKUPS = 20_000  # of files under different variables

_SUFFIXES = (".txt",)


def wildcards(folder: str) -> Lookup:
    """The lookup of ``DIR/animals.txt`` for ``__animals__``, of ``DIR/a/b.txt`` for ``__a/b__``.

    A name with ``*``, ``?`` or ``[ab]`` stands for all files that it matches, where ``*`` also
    matches slashes. Blank lines and lines that begin with # are skipped; the others are templates
    themselves, and may begin with a weight, as in ``3::cat``. Each file is read once. Raises
    ``FileError`` if the folder does not exist. The lookup raises ``PromptError`` for a file that is
    missing, empty or not text, that has an invalid line, or that includes itself.
    """
    home = Path(folder)
    if not home.is_dir():
        raise FileError(f"wildcards must be a folder of .txt files, got {folder!r}")
    # A file's lines differ only where the variables that they may use do.
    found: dict[tuple[str, Variables], Choice] = {}
    opened: list[str] = []

    def lookup(name: str, variables: Variables) -> Choice:
        if name in opened or len(opened) == MAX_DEPTH:
            way = " → ".join([*opened[-4:], name])
            raise PromptError(f"wildcard files must not include each other in a circle: {way}")
        if (name, variables) not in found:
            if len(found) == MAX_LOOKUPS:
                raise PromptError(f"wildcard files are used in more than {MAX_LOOKUPS} ways")
            opened.append(name)
            try:
                found[name, variables] = _choice(home, name, lookup, variables)
            finally:
                opened.pop()
        return found[name, variables]

    return lookup


def _choice(home: Path, name: str, lookup: Lookup, variables: Variables) -> Choice:
    """The lines of the file, or files, called ``name``; those of several count once each."""
    files = _files(home, name)
    lines: dict[str, tuple[int, Template]] = {}
    options = []
    for file, path in files.items():
        for number, line in _lines(file, path):
            if len(files) > 1 and line in lines:
                continue
            try:
                weight, start = weight_at(line, 0)
                lines[line] = weight, parsed(line[start:], lookup, variables)
            except PromptError as error:
                raise PromptError(f"{file}, line {number}: {error}") from error
            options.append(lines[line])
    if not options:
        raise PromptError(f"{', '.join(files)} in {str(home)!r} holds no line")
    templates = tuple(template for _, template in options)
    return Choice(templates, is_file=True, weights=weights_of([weight for weight, _ in options]))


def _lines(file: str, path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_read(file, path).split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line


def _files(home: Path, name: str) -> dict[str, Path]:
    """The files that ``name`` stands for, by their names below ``home``."""
    path = PurePosixPath(name.replace("\\", "/") + ".txt")
    if ".." in path.parts:
        raise PromptError(f"{name} must be a file in {str(home)!r}")
    exact = f"{name}.txt"
    if is_there(home / exact):
        return {exact: home / exact}
    within = files_below(home, _SUFFIXES)
    if any(mark in name for mark in "*?["):
        files = _matching(name, within)
    else:
        files = called(name, within, _SUFFIXES)
        if len(files) > 1:
            shown = ", ".join(_name(within[path]) for path in files[:4])
            raise PromptError(f"{len(files)} files are called {name}: write one of {shown}")
    if not files:
        raise PromptError(f"there is no {exact} in {str(home)!r}{_hint(name, within)}")
    return {within[path].as_posix(): path for path in files}


def _matching(name: str, within: dict[Path, Path]) -> list[Path]:
    pattern = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return [
        path
        for path, inside in within.items()
        if fnmatch.fnmatchcase(unicodedata.normalize("NFC", _name(inside)), pattern)
    ]


def _name(inside: Path) -> str:
    return inside.with_suffix("").as_posix()


def _read(file: str, path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PromptError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{file} is not UTF-8 text: byte {error.start} is invalid") from error
    if "\0" in text:
        raise PromptError(f"{file} is not text: it contains a NUL character")
    return text


def _hint(name: str, within: dict[Path, Path]) -> str:
    near = difflib.get_close_matches(name, map(_name, within.values()), n=1)
    return f": did you mean __{near[0]}__?" if near else ""
