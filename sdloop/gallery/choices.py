"""The picked and the rejected pictures: two lists of paths, saved in the pictures' folder.

The files are read again before each change, so that they may be edited by hand, or by another page,
while a page is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdloop.errors import FileError
from sdloop.metadata.atomic import write_whole

PICKS = "picks.txt"
REJECTS = "rejects.txt"

Choice = Literal["pick", "reject", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """Paths relative to the folder, in the order of choosing; no path is in both lists."""

    picks: Sequence[str] = ()
    rejects: Sequence[str] = ()


def choices_of(folder: Path) -> Choices:
    """The choices in the folder's lists; a path in both counts as picked.

    Missing pictures stay in their list, because they may come back.
    """
    picks = _lines(folder / PICKS)
    rejects = [path for path in _lines(folder / REJECTS) if path not in set(picks)]
    return Choices(picks=picks, rejects=rejects)


def choose(folder: Path, path: str, choice: Choice) -> Choices:
    """Save the choice for ``path``, each list written atomically; returns all choices.

    A picture that was already picked keeps its place among the picks. Raises ``FileError`` if a
    list cannot be written.
    """
    before = choices_of(folder)
    after = Choices(
        picks=_changed(before.picks, path, choice == "pick"),
        rejects=_changed(before.rejects, path, choice == "reject"),
    )
    for name, old, new in (
        (REJECTS, before.rejects, after.rejects),
        (PICKS, before.picks, after.picks),
    ):
        if list(old) != list(new):
            _write(folder / name, new)
    return after


def _changed(paths: Sequence[str], path: str, wanted: bool) -> Sequence[str]:
    if wanted:
        return paths if path in paths else [*paths, path]
    return [one for one in paths if one != path]


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileError(f"cannot read {str(file)!r}: {error.strerror or error}") from error
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return list(dict.fromkeys(line for line in lines if line.strip()))


def _write(file: Path, paths: Sequence[str]) -> None:
    """Write names as bytes: a file name need not be valid text."""
    data = "".join(f"{path}\n" for path in paths).encode("utf-8", "surrogateescape")
    write_whole(file, data, exists="overwrite")
