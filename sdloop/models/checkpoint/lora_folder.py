"""LoRAs by their names in a folder, however another system wrote these names."""

import difflib
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.addresses import ENDINGS
from sdloop.models.checkpoint.lora import listed


def lora_in(folder: Path, name: str) -> Path:
    """The LoRA called ``name`` in ``folder`` or a subfolder: a file's name without its suffix.

    The name is looked up in the list of files, so it cannot point outside of the folder; linked
    folders are part of it. If no file has exactly this name, a backslash is a slash, and accents
    may be written in one character or in two. Raises ``ModelError``, with the nearest names, if
    there is no such LoRA or more than one.
    """
    if not folder.is_dir():
        raise ModelError(f"lora_dir must be a folder, got {str(folder)!r}")
    within = {path: path.relative_to(folder) for path in sorted(_files(folder, frozenset()))}
    found = _called(name, within, str) or _called(name, within, _usual)
    if len(found) > 1:
        raise ModelError(f"{len(found)} LoRAs are called {name!r}: {listed(map(str, found))}")
    if not found:
        names = [inside.with_suffix("").as_posix() for inside in within.values()]
        known = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)
        hint = f"there {'is' if len(known) == 1 else 'are'} {listed(known)}" if known else "empty"
        raise ModelError(f"there is no LoRA {name!r} in {folder}: {hint}")
    return found[0]


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """The LoRAs in a folder and in those below it, linked ones too, but never in a circle."""
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = list(folder.iterdir())
    except OSError:  # a folder that may not be read, as ``rglob`` passes over it
        return
    for path in entries:
        if path.is_dir():
            yield from _files(path, above | {real})
        elif path.suffix.lower() in ENDINGS and path.is_file():
            yield path


def _called(name: str, within: dict[Path, Path], form: Callable[[str], str]) -> list[Path]:
    """The files called ``name``: by their way from the folder, or else by their own names.

    A file that is there under several names, by links, counts once.
    """
    for only_name in (False, True):
        found: dict[Path, Path] = {}
        for path, inside in within.items():
            own = inside.name if only_name else inside.as_posix()
            if form(name) in (form(own), form(own.removesuffix(inside.suffix))):
                found.setdefault(path.resolve(), path)
        if found:
            return list(found.values())
    return []


def _usual(name: str) -> str:
    """One form for the same name on all systems."""
    path = Path(unicodedata.normalize("NFC", name).replace("\\", "/"))
    suffix = path.suffix.lower()
    return str(path.with_suffix(suffix)) if suffix in ENDINGS else str(path)
