"""Paths of pictures: on this computer, or in the bucket of an object store."""

import io
import os
import re
import stat
from collections.abc import Generator, Iterator
from pathlib import Path, PosixPath
from typing import Any, Self
from urllib.parse import unquote

from sdloop.errors import SettingError
from sdloop.places import store

_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


class StorePath(PosixPath):
    """An address such as ``s3://bucket/frogs/4.png``, with the methods of a ``Path`` for reading.

    A store has no folders: a folder exists while an object's name begins with its name and a slash.

    >>> path = StorePath("s3://bucket/frogs/4.png")
    >>> str(path.with_name("5.png")), path.root_address, path.object_name
    ('s3://bucket/frogs/5.png', 's3://bucket', 'frogs/4.png')
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, *rest = self.parts if self.parts else ("",)
        if scheme.removesuffix(":") not in store.SCHEMES:
            return super().__str__()  # a part of an address, as from relative_to()
        return f"{scheme}//{'/'.join(rest)}"

    @property
    def root_address(self) -> str:
        """The bucket's address."""
        return f"{self.parts[0]}//{self.parts[1]}"

    @property
    def object_name(self) -> str:
        """The name within the bucket."""
        return "/".join(self.parts[2:])

    def put(self, data: bytes, *, key: str | None, replace: bool) -> None:
        """Write it in one step; see ``store.put``."""
        store.put(self.root_address, self.object_name, data, key=key, replace=replace)

    def head(self) -> store.StoredObject:
        """Its size, time and key; raises ``FileNotFoundError``."""
        return store.head(self.root_address, self.object_name)

    def every(self) -> "Iterator[tuple[StorePath, store.StoredObject]]":
        """All objects below it, at any depth, with their paths."""
        bucket = StorePath(self.root_address)
        for one in store.every(self.root_address, self.object_name):
            yield bucket / one.name, one

    def visible(self) -> "Iterator[tuple[StorePath, store.StoredObject]]":
        """Those of ``every`` that are not hidden, nor in a hidden folder below it."""
        for path, one in self.every():
            if not any(part.startswith(".") for part in path.relative_to(self).parts):
                yield path, one

    def read_bytes(self) -> bytes:
        return store.get(self.root_address, self.object_name)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """The content in memory; ``mode`` must be "rb"."""
        assert mode == "rb", mode
        return io.BytesIO(self.read_bytes())

    def stat(self, **_: Any) -> os.stat_result:
        """Kind, size and times; raises ``FileNotFoundError``."""
        if not self.object_name:
            return _stat(stat.S_IFDIR, 0, 0)
        try:
            found = self.head()
        except FileNotFoundError:
            if not self.is_dir():
                raise
            return _stat(stat.S_IFDIR, 0, 0)
        return _stat(stat.S_IFREG, found.size, found.changed)

    def exists(self, **_: Any) -> bool:
        return self.is_file() or self.is_dir()

    def is_file(self, **_: Any) -> bool:
        if not self.object_name:
            return False
        try:
            self.head()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, **_: Any) -> bool:
        return next(self.every(), None) is not None

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Generator[Self, None, None]:
        folders, objects = store.level(self.root_address, self.object_name)
        for name in (*folders, *(one.name for one in objects)):
            yield type(self)(self.root_address) / name

    def unlink(self, missing_ok: bool = False) -> None:
        store.remove(self.root_address, self.object_name)

    def is_absolute(self) -> bool:
        return True

    def absolute(self) -> Self:
        return self

    def resolve(self, strict: bool = False) -> Self:
        return self

    def expanduser(self) -> Self:
        return self


def home(name: str) -> Path:
    """Expand ``~/``, which shells do not do for names in a settings file."""
    return Path(name).expanduser() if name.startswith("~/") else Path(name)


def location(name: str) -> Path:
    """The path for the name of a file or folder that may be in a store.

    ``file://`` names a path of this computer, and ``~/`` the home folder. Raises ``SettingError``
    for another scheme, for an address without a bucket, and without obstore for one of a bucket.
    Nothing is connected yet.

    >>> location("file:///tmp/frogs").as_posix(), str(location("s3://bucket/frogs/"))
    ('/tmp/frogs', 's3://bucket/frogs')
    """
    found = _ADDRESS.match(name)
    if found is None:
        return home(name)
    scheme, rest = found[1].lower(), name[found.end() :]
    if scheme == "file" and rest.startswith("/"):
        return Path(unquote(rest))
    if scheme not in store.SCHEMES:
        known = ", ".join(f"{one}://" for one in ("file", *store.SCHEMES))
        raise SettingError(f"an address must begin with {known}, got {name!r}")
    path = StorePath(f"{scheme}://{rest}")
    if len(path.parts) < 2 or rest.startswith("/") or {".", ".."} & set(path.parts):
        raise SettingError(f"an address must be like {scheme}://bucket/folder, got {name!r}")
    store.check_extra()
    return path


def _stat(kind: int, size: int, changed: float) -> os.stat_result:
    whole = int(changed)
    times = (whole, whole, whole, changed, changed, changed)
    nanoseconds = (int(changed * 1e9),) * 3
    return os.stat_result((kind | 0o644, 0, 0, 1, 0, 0, size, *times, *nanoseconds))
