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
        self._db.execute(
            "CREATE TABLE names"
            " (id INTEGER PRIMARY KEY, asked INTEGER, number INTEGER, next INTEGER DEFAULT 2)"
        )
        self._db.execute("CREATE TABLE numbered (asked INTEGER PRIMARY KEY)")
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
        asked = _id(path, key) if key else None
        if self._took(path, asked):
            return path
        first = _id(path)
        query = "SELECT asked, next FROM names WHERE id = ?"
        before, number = self._db.execute(query, (first,)).fetchone()
        if asked is not None and (asked == before or not self._is_new(asked)):
            return None
        while not self._took(found := numbered(path, number)):
            number += 1
        self._db.execute("UPDATE names SET next = ? WHERE id = ?", (number + 1, first))
        return found

    def _took(self, path: Path, asked: int | None = None) -> bool:
        """Take a name if it is free; ``asked`` is the picture that asks for this very name."""
        row = (_id(path), asked, self._pictures)
        query = "INSERT OR IGNORE INTO names (id, asked, number) VALUES (?, ?, ?)"
        return self._db.execute(query, row).rowcount == 1

    def _is_new(self, asked: int) -> bool:
        """Whether the picture has not asked for this name before and got one with a number."""
        return self._db.execute("INSERT OR IGNORE INTO numbered VALUES (?)", (asked,)).rowcount == 1


def _id(path: Path, key: str = "") -> int:
    digest = hashlib.blake2b(os.fsencode(path) + b"\0" + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
