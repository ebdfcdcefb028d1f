"""The few operations on object stores that pictures need, done by obstore.

Every error becomes an ``OSError`` with a short text of ours. The answers of a store may quote the
request that it refused, with parts of the credentials, and must not appear in a message or a log.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sdloop.errors import SettingError

SCHEMES = ("s3", "gs", "az")
# The name of the attribute that holds a picture's content key. Azure allows no hyphen in it.
KEY = "sdloopkey"

# Where obstore looks for credentials and end points. A warm worker has those of each call.
_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """What a store says about an object: its name, size in bytes, and time in seconds since 1970.

    ``name`` is without the bucket. ``key`` is the content key of a picture, where it was asked for.
    """

    name: str
    size: int
    changed: float
    key: str | None = None


def put(root: str, name: str, data: bytes, *, key: str | None = None, replace: bool) -> None:
    """Write an object in one step. Raises ``FileExistsError`` unless it is new or ``replace``."""
    attributes: dict[Any, str] = {} if key is None else {KEY: key}
    with _errors() as obstore:
        obstore.put(
            store_at(root),
            name,
            data,
            attributes=attributes,
            mode="overwrite" if replace else "create",
        )


def get(root: str, name: str) -> bytes:
    """The content of an object; raises ``FileNotFoundError``."""
    with _errors() as obstore:
        return bytes(obstore.get(store_at(root), name).bytes())


def head(root: str, name: str) -> StoredObject:
    """An object with its key, without its content; raises ``FileNotFoundError``."""
    with _errors() as obstore:
        found = obstore.get(store_at(root), name, options={"head": True})
        return _stored(found.meta, key=found.attributes.get(KEY))


def remove(root: str, name: str) -> None:
    with _errors() as obstore:
        obstore.delete(store_at(root), name)


def every(root: str, prefix: str) -> Iterator[StoredObject]:
    """All objects below ``prefix``, at any depth, in the order of their names."""
    with _errors() as obstore:
        for some in obstore.list(store_at(root), prefix):
            yield from map(_stored, some)


def level(root: str, prefix: str) -> tuple[list[str], list[StoredObject]]:
    """The folders and the objects directly below ``prefix``."""
    with _errors() as obstore:
        found = obstore.list_with_delimiter(store_at(root), prefix)
        return list(found["common_prefixes"]), list(map(_stored, found["objects"]))


def check_extra() -> None:
    """Raise ``SettingError`` if obstore is not installed; connects to nothing."""
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise SettingError(
            "an address in a bucket needs obstore: pip install 'sdloop[cluster]'"
        ) from error


def store_at(root: str) -> Any:
    """The store at an address such as ``s3://bucket``, with the credentials of the environment."""
    kept = ((n, v) for n, v in os.environ.items() if n.startswith(_VARIABLES))
    return _opened(root, tuple(sorted(kept)))


@lru_cache(maxsize=8)
def _opened(root: str, variables: tuple[tuple[str, str], ...]) -> Any:
    from obstore.store import from_url

    return from_url(root)


def _stored(found: Mapping[str, Any], key: str | None = None) -> StoredObject:
    changed = found["last_modified"].timestamp()
    return StoredObject(name=found["path"], size=found["size"], changed=changed, key=key)


@contextmanager
def _errors() -> Iterator[Any]:
    """obstore, whose errors become an ``OSError`` with a text of ours."""
    check_extra()
    import obstore
    from obstore import exceptions

    try:
        yield obstore
    except exceptions.AlreadyExistsError as error:
        raise FileExistsError(errno.EEXIST, "it exists in the store") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "it is not in the store") from error
    except exceptions.InvalidPathError as error:
        raise OSError(errno.EINVAL, "the store allows no such name") from error
    except (exceptions.BaseError, OSError, ValueError) as error:
        denied = exceptions.PermissionDeniedError, exceptions.UnauthenticatedError
        # For lists, obstore has no class for a refusal.
        if isinstance(error, denied) or re.search(r"status code: 40[13] ", str(error)):
            reason = "the store refuses the access: check the credentials in the environment"
            raise PermissionError(errno.EACCES, reason) from error
        reason = "the store does not answer: check its address, region and credentials"
        raise OSError(errno.EIO, reason) from error
