"""The list of a folder's pictures, kept up to date while pictures appear, change and vanish.

Every change gets the next number; a page sends the last number that it knows and gets the newer
changes. So a page of thousands of pictures can ask every second and gets a short answer.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdloop.gallery.facts import brief
from sdloop.gallery.folder import PictureFile, scan
from sdloop.places.path import StorePath

# Seconds between two scans of the folder, however many pages ask; a store takes money for each.
_EVERY, _STORE_EVERY = 0.5, 30.0
_AT_ONCE = 0.2  # seconds of reading files per answer


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """The changes after some number: ``number`` is the one to ask with next time.

    ``gone`` are the ids of removed pictures; ``unread`` is how many pictures are not read yet.
    """

    number: int
    pictures: list[Mapping[str, Any]]
    gone: list[str]
    unread: int


class Index:
    """The pictures of ``root`` by their ids. Several threads may ask at once.

    ``scores`` are the pictures' CLIP scores, by path: the page gets them as the setting "clip".
    """

    def __init__(self, root: Path, *, scores: Mapping[str, float] = MappingProxyType({})) -> None:
        self._root = root
        self._every = _STORE_EVERY if isinstance(root, StorePath) else _EVERY
        self._scores = scores
        self._lock = threading.Lock()
        self._seen: dict[str, PictureFile] = {}
        self._facts: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._gone: dict[str, int] = {}
        self._unread: list[PictureFile] = []
        self._number = 0
        self._looked = -_STORE_EVERY

    def picture(self, id: str) -> PictureFile | None:
        """The picture with this id, or None."""
        return self._seen.get(id)

    def news(self, after: int) -> News:
        """The changes after number ``after``; 0 asks for all. Raises ``FileError`` as ``scan``."""
        with self._lock:
            if not self._unread and time.monotonic() - self._looked >= self._every:
                self._look()
            self._read()
            return News(
                number=self._number,
                pictures=[facts for number, facts in self._facts.values() if number > after],
                gone=[id for id, number in self._gone.items() if number > after],
                unread=len(self._unread),
            )

    def read_all(self) -> list[Mapping[str, Any]]:
        """All pictures at once, the newest first."""
        while self.news(self._number).unread:
            pass
        pictures = [facts for _, facts in self._facts.values()]
        return sorted(pictures, key=lambda facts: -facts["time"])

    def _look(self) -> None:
        found = {seen.id: seen for seen in scan(self._root)}
        for id in self._seen.keys() - found.keys():
            self._number += 1
            self._gone[id] = self._number
            self._facts.pop(id, None)
        changed = [seen for id, seen in found.items() if self._seen.get(id) != seen]
        # The list is read from its end.
        self._unread = sorted(changed, key=lambda seen: seen.changed_ns)
        self._seen = found
        self._looked = time.monotonic()

    def _read(self) -> None:
        until = time.monotonic() + _AT_ONCE
        while self._unread and time.monotonic() < until:
            seen = self._unread.pop()
            self._number += 1
            facts = brief(self._root, seen)
            if seen.path in self._scores:
                facts["settings"]["clip"] = round(self._scores[seen.path], 6)
            self._facts[seen.id] = self._number, facts
            self._gone.pop(seen.id, None)
