"""Keep the file names of a plan of any length unique."""

import hashlib
import os
import sqlite3
from pathlib import Path

from sdloop.metadata.names import numbered


class Taken:
    """The names of the pictures planned so far.

    They are in a temporary database, which moves to disk if there are many: a plan of a million
    needs no more memory than one of a thousand.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA cache_size = -8192")  # 8 MiB
        self._db.execute("CREATE TABLE asked (id INTEGER PRIMARY KEY)")
        self._db.execute(
            "CREATE TABLE names (id INTEGER PRIMARY KEY, next INTEGER, number INTEGER)"
        )
        self._db.execute("BEGIN")
        self._pictures = 0

    def number(self, path: Path) -> int | None:
        """The number of the picture with this name, counted from 1."""
        row = self._db.execute("SELECT number FROM names WHERE id = ?", (_id(path),)).fetchone()
        return None if row is None else int(row[0])

    def free(self, path: Path, key: str) -> Path | None:
        """``path``, or the next free one of name-2, name-3 …; None if the picture is planned twice.

        ``key`` is the picture's content key; without one it is always another picture. If the
        64-bit hashes of two names are equal (a chance of one in 30 million for a million names), a
        picture gets an unnecessary number.
        """
        self._pictures += 1
        if key and not self._is_new(path, key):
            return None
        first = _id(path)
        number = self._next(first) or 1
        found = path
        while number > 1 and self._next(_id(found := numbered(path, number))) is not None:
            number += 1
        if number > 1:
            self._db.execute("UPDATE names SET next = ? WHERE id = ?", (number + 1, first))
        self._db.execute("INSERT INTO names VALUES (?, 2, ?)", (_id(found), self._pictures))
        return found

    def _is_new(self, path: Path, key: str) -> bool:
        asked = self._db.execute("INSERT OR IGNORE INTO asked VALUES (?)", (_id(path, key),))
        return asked.rowcount == 1

    def _next(self, name: int) -> int | None:
        """The first number that may be free for this name; None if the name itself is free."""
        row = self._db.execute("SELECT next FROM names WHERE id = ?", (name,)).fetchone()
        return None if row is None else int(row[0])


def _id(path: Path, key: str = "") -> int:
    digest = hashlib.blake2b(os.fsencode(path) + b"\0" + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
