"""Read the content key of a finished picture from its file."""

import json
from pathlib import Path

from sdloop.errors import FileError
from sdloop.metadata import chunks
from sdloop.places.path import StorePath


def key_of(path: Path) -> str | None:
    """The key in a picture's file; None if it is not a complete picture with a key.

    An object in a store usually has the key as an attribute too, and is not read then.
    """
    try:
        key = path.head().key if isinstance(path, StorePath) else None
        own = {} if key is not None else json.loads(chunks.read_texts(path).get("sdloop", "{}"))
    except (OSError, FileError, ValueError, RecursionError):
        return None
    made = own.get("made") if isinstance(own, dict) and "step" not in own else None
    key = made.get("key") if key is None and isinstance(made, dict) else key
    whole = isinstance(key, str) and len(key) == 64 and key.isascii() and key.isalnum()
    return key if whole else None
