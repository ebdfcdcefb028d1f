"""Wildcard files: ``__animals__`` in a prompt stands for one line of animals.txt."""

import difflib
from pathlib import Path, PurePosixPath

from sdloop.batch.templates import Template
from sdloop.batch.variants import MAX_DEPTH, Lookup, parsed
from sdloop.errors import FileError, PromptError


def wildcards(folder: str) -> Lookup:
    """The lookup of ``DIR/animals.txt`` for ``__animals__``, of ``DIR/a/b.txt`` for ``__a/b__``.

    Blank lines and lines that begin with # are skipped; the others are templates themselves. Each
    file is read once. Raises ``FileError`` if the folder does not exist. The lookup raises
    ``PromptError`` for a file that is missing, empty or not text, that has an invalid line, or that
    includes itself.
    """
    home = Path(folder)
    if not home.is_dir():
        raise FileError(f"wildcards must be a folder of .txt files, got {folder!r}")
    found: dict[str, tuple[Template, ...]] = {}
    opened: list[str] = []

    def lookup(name: str) -> tuple[Template, ...]:
        if name in opened or len(opened) == MAX_DEPTH:
            way = " → ".join([*opened[-4:], name])
            raise PromptError(f"wildcard files must not include each other in a circle: {way}")
        if name not in found:
            opened.append(name)
            try:
                found[name] = _templates(home, name, lookup)
            finally:
                opened.pop()
        return found[name]

    return lookup


def _templates(home: Path, name: str, lookup: Lookup) -> tuple[Template, ...]:
    found = []
    for number, line in enumerate(_read(home, name).split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            try:
                found.append(parsed(line, lookup))
            except PromptError as error:
                raise PromptError(f"{name}.txt, line {number}: {error}") from error
    if not found:
        raise PromptError(f"{name}.txt in {str(home)!r} holds no line")
    return tuple(found)


def _read(home: Path, name: str) -> str:
    path = PurePosixPath(f"{name}.txt")
    if ".." in path.parts:
        raise PromptError(f"{name} must be a file in {str(home)!r}")
    try:
        text = (home / path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise PromptError(f"there is no {name}.txt in {str(home)!r}{_hint(home, name)}") from error
    except OSError as error:
        raise PromptError(f"{name}.txt cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{name}.txt is not UTF-8 text: byte {error.start} is invalid") from error
    if "\0" in text:
        raise PromptError(f"{name}.txt is not text: it contains a NUL character")
    return text


def _hint(home: Path, name: str) -> str:
    names = [one.relative_to(home).with_suffix("").as_posix() for one in home.rglob("*.txt")]
    near = difflib.get_close_matches(name, names, n=1)
    return f": did you mean __{near[0]}__?" if near else ""
