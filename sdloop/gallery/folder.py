"""The pictures in a folder and its subfolders, and nothing outside of it.

The page names a picture by an id that was made here, never by a path: so no request can name a
path outside of the folder. Links are never followed, in any part of a path.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdloop.errors import FileError, reading
from sdloop.places.path import StorePath

# The formats that every browser shows, and their content types.
CONTENT_TYPES = {
    ".png": "image/png",
    ".apng": "image/apng",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFile:
    """A picture file, as one scan of the folder found it.

    ``path`` is relative to the folder, with slashes; ``changed_ns`` is when its content changed, in
    nanoseconds since 1970; ``size`` is in bytes.
    """

    path: str
    changed_ns: int
    size: int

    @property
    def id(self) -> str:
        """The ``id_of`` the path."""
        return id_of(self.path)

    @property
    def version(self) -> str:
        """Changes whenever the content does, so that a browser may cache each version."""
        return f"{self.changed_ns:x}-{self.size:x}"

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[os.path.splitext(self.path)[1].lower()]  # noqa: PTH122


def id_of(path: str) -> str:
    """The id by which a browser names the picture at a relative path.

    >>> id_of("frogs/4.png")
    'b428d34940902155'
    """
    return hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()


def scan(root: Path) -> Iterator[PictureFile]:
    """Every picture below ``root``, in no particular order, without hidden files and links.

    Files that vanish during the scan or cannot be read are skipped. Raises ``FileError`` if
    ``root`` itself cannot be read.
    """
    if isinstance(root, StorePath):
        yield from _stored(root)
        return
    with reading(root):
        entries = list(os.scandir(root))
    yield from _scanned(entries, "")


def _scanned(entries: list[os.DirEntry[str]], above: str) -> Iterator[PictureFile]:
    for entry in entries:
        # The lists of picks have one path per line: they cannot hold a name with a line break.
        if entry.name.startswith(".") or "\n" in entry.name or "\r" in entry.name:
            continue
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                yield from _scanned(list(os.scandir(entry.path)), f"{above}{entry.name}/")
            elif _is_shown(entry):
                found = entry.stat(follow_symlinks=False)
                path = f"{above}{entry.name}"
                yield PictureFile(path=path, changed_ns=found.st_mtime_ns, size=found.st_size)


def _stored(root: StorePath) -> Iterator[PictureFile]:
    with reading(root):
        for at, one in root.visible():
            path = str(at.relative_to(root))
            if at.suffix.lower() in CONTENT_TYPES and len(path.splitlines()) == 1:
                yield PictureFile(path=path, changed_ns=int(one.changed * 1e9), size=one.size)


def _is_shown(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
    return suffix in CONTENT_TYPES and entry.is_file(follow_symlinks=False)


def content_of(root: Path, path: str) -> bytes:
    """The bytes of the file ``path`` below ``root``, which is absolute and contains no link.

    Raises ``FileError`` if it is missing, or is now a link or anything else but a file.
    """
    full = root / path
    try:
        if full.resolve() != full:
            raise FileError(f"cannot read {path!r}: it points outside the folder")
        if isinstance(full, StorePath):
            return full.read_bytes()
        handle = os.open(full, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FileError(f"cannot read {path!r}: it is not a file")
            return file.read()
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path!r}: {getattr(error, 'strerror', error)}") from error
