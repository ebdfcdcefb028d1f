"""Names of files as another system may have spelled them: one rule for all kinds of files.

A backslash is a slash, an accent is one character or two, and a suffix may be in capital letters.
The exact name always comes first. A process that works for another computer has copies of some of
its files, and finds them by the names that they have there.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

COPIES: dict[Path, Path] = {}  # name → the copy of the file: see ``batch.carried``


def files_below(folder: Path, suffixes: Collection[str]) -> dict[Path, Path]:
    """The files with these suffixes in a folder and below → their ways from the folder, sorted.

    Linked folders are part of it, but never in a circle.
    """
    found = sorted(_files(folder, suffixes, frozenset()))
    return {path: path.relative_to(folder) for path in found}


def called(name: str, within: Mapping[Path, Path], suffixes: Collection[str]) -> list[Path]:
    """The files called ``name``, with or without suffix, of those that ``files_below`` returns.

    The way from the folder comes before the name alone. A file that is there under several names,
    by links, counts once. As it is looked up in a list, a name cannot lead out of the folder.
    """
    return _called(name, within, str) or _called(name, within, lambda n: _usual(n, suffixes))


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder; a name that cannot be one is none."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def existing(path: Path) -> Path:
    """``path``, or the file or folder that is there under another spelling of it, or its copy."""
    if path in COPIES:
        return COPIES[path]
    if is_there(path):
        return path
    written = Path(str(path).replace("\\", "/"))
    found = Path(written.anchor)
    for part in written.parts[1 if written.anchor else 0 :]:
        there = found / part if is_there(found / part) else _alike(found, part)
        if there is None:
            return path
        found = there
    return found


def _alike(folder: Path, name: str) -> Path | None:
    """The only entry of ``folder`` that is called ``name`` but for accents and its suffix."""
    suffix = Path(name).suffix.lower()
    try:
        entries = list(folder.iterdir())
    except (OSError, ValueError):
        return None
    wanted = _usual(name, (suffix,))
    found = [entry for entry in entries if _usual(entry.name, (suffix,)) == wanted]
    return found[0] if len(found) == 1 else None


def _files(folder: Path, suffixes: Collection[str], above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = list(folder.iterdir())
    except OSError:  # a folder that may not be read, as ``rglob`` passes over it
        return
    for path in entries:
        if path.is_dir():
            yield from _files(path, suffixes, above | {real})
        elif path.suffix.lower() in suffixes and path.is_file():
            yield path


def _called(name: str, within: Mapping[Path, Path], form: Callable[[str], str]) -> list[Path]:
    for only_name in (False, True):
        found: dict[Path, Path] = {}
        for path, inside in within.items():
            own = inside.name if only_name else inside.as_posix()
            if form(name) in (form(own), form(own.removesuffix(inside.suffix))):
                found.setdefault(path.resolve(), path)
        if found:
            return list(found.values())
    return []


def _usual(name: str, suffixes: Collection[str]) -> str:
    """One form for the same name on all systems."""
    path = Path(unicodedata.normalize("NFC", name).replace("\\", "/"))
    suffix = path.suffix.lower()
    return str(path.with_suffix(suffix)) if suffix in suffixes else str(path)
