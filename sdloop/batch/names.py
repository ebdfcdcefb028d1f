"""Which file each picture becomes."""

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sdloop.errors import SettingError
from sdloop.metadata.names import DEFAULT_NAME, ENLARGED_NAME, check_inside, expand_name, numbered
from sdloop.metadata.picture import format_of
from sdloop.recipe.fields import ROWS
from sdloop.recipe.kinds import Number
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How a command names its pictures: by a file name or template, in a folder, of a format.

    Where nobody chose a name, it tells the ``swept`` settings too.
    """

    output: str | None = None
    outdir: str | None = None
    format: str | None = None
    swept: tuple[str, ...] = ()


def path_of(
    recipe: Recipe,
    index: int,
    naming: Naming,
    *,
    own: str | None,
    usual: str | None = None,
    file: str | None = None,
) -> Path:
    """The file of a resolved Recipe, the ``index``-th; ``own`` is the name in its prompt's line.

    ``usual`` is a template for where nobody chose a name, and ``file`` the picture that this one is
    made after, if it is.

    Raises ``SettingError`` for a template that is broken, that names a folder or a file outside,
    or contradicts the format.
    """
    folder = home(naming.outdir) if naming.outdir is not None else Path()
    chosen = own if own is not None else naming.output
    if chosen is None:
        template = _usual(recipe, naming.swept) if usual is None else usual
        path = folder / expand_name(template, recipe, index=index, file=file)
        return path if naming.format is None else path.with_suffix(f".{naming.format}")
    name = expand_name(chosen, recipe, index=index, file=file)
    # Path.is_dir() would raise for a name that is too long.
    if name.endswith("/") or os.path.isdir(name):  # noqa: PTH112
        raise SettingError(f"output must name a file, got the folder {name!r}: use --outdir for it")
    if own is not None or naming.outdir is not None:
        check_inside(name)
    return folder / _suffixed(home(name), None if own is not None else naming.format)


def _usual(recipe: Recipe, swept: tuple[str, ...]) -> str:
    template = DEFAULT_NAME
    if recipe.image is not None:
        template = ENLARGED_NAME if recipe.factor else f"{{image:.40}}-{DEFAULT_NAME}"
    stem, dot, suffix = template.rpartition(".")
    for name in swept:
        if f"{{{name}" not in template:
            number = isinstance(ROWS[name].kind, Number) and getattr(recipe, name) is not None
            stem += f"-{{{name}:g}}" if number else f"-{{{name}}}"
    return stem + dot + suffix


def _suffixed(path: Path, format: str | None) -> Path:
    """``path`` with the suffix of the format, where it has none of its own."""
    if not path.suffix:
        return path.with_name(f"{path.name}.{format or 'png'}")
    if format is not None and format_of(path) != format_of(Path(f"x.{format}")):
        raise SettingError(f"output must agree with format {format}, got {str(path)!r}")
    return path


def home(name: str) -> Path:
    """Shells know what ``~/`` is, but nobody asks them about the names in a settings file."""
    return Path(name).expanduser() if name.startswith("~/") else Path(name)


class Taken:
    """The names that the pictures of a plan have so far.

    They lie in a temporary database, which goes to the disk when there are many: a plan of a
    million needs no more memory than one of a thousand.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA cache_size = -8192")  # 8 MiB
        self._db.execute("CREATE TABLE asked (id INTEGER PRIMARY KEY)")
        self._db.execute("CREATE TABLE names (id INTEGER PRIMARY KEY, next INTEGER)")
        self._db.execute("BEGIN")

    def free(self, path: Path, key: str) -> Path | None:
        """``path``, or the next free one of name-2, name-3 …; None if it is this picture's already.

        ``key`` is the content key of the picture. Where the hashes of two names agree in 64 bits,
        for a million of them one chance in 30 million, a picture is numbered for nothing.
        """
        asked = self._db.execute("INSERT OR IGNORE INTO asked VALUES (?)", (_id(path, key),))
        if asked.rowcount == 0:
            return None
        first = _id(path)
        number = self._next(first) or 1
        found = path
        while number > 1 and self._next(_id(found := numbered(path, number))) is not None:
            number += 1
        if number > 1:
            self._db.execute("UPDATE names SET next = ? WHERE id = ?", (number + 1, first))
        self._db.execute("INSERT INTO names VALUES (?, 2)", (_id(found),))
        return found

    def _next(self, name: int) -> int | None:
        """The first number that may be free for pictures of this name; None while it is free."""
        row = self._db.execute("SELECT next FROM names WHERE id = ?", (name,)).fetchone()
        return None if row is None else int(row[0])


def _id(path: Path, key: str = "") -> int:
    digest = hashlib.blake2b(os.fsencode(path) + b"\0" + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
