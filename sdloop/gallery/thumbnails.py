"""Small pictures for the grid: each made once, when it is first seen, and kept in the user's cache.

A kept one is found by the picture's place, time and size, so that a changed picture gets a new one.
Those that nobody has made in a season are removed: they are made again when they are wanted.
"""

import hashlib
import io
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from sdloop.errors import FileError
from sdloop.gallery.folder import Seen, content_of
from sdloop.images.input.frame import opaque
from sdloop.images.input.read import read_image
from sdloop.metadata.atomic import write_whole

SIDE = 384  # pixels: a cell of the grid on a screen with two for one
KEPT_DAYS = 90

_SMALL = 2**17  # bytes that a picture of at most ``SIDE`` may have to be shown as it is


def cache_folder() -> Path:
    """Where this user's programs keep what can be made again."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        base = Path(named)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path.home() / ".cache"
    return base / "sdloop" / "thumbnails"


def thumbnail(root: Path, seen: Seen, cache: Path) -> tuple[bytes, str]:
    """A picture of at most ``SIDE`` pixels, and its content type; a small one is shown as it is.

    Raises ``FileError`` when it cannot be read, or is no picture. A cache that cannot be written to
    costs time and nothing else.
    """
    kept = cache / f"{_name(root, seen)}.jpg"
    with suppress(OSError):
        return kept.read_bytes(), "image/jpeg"
    data = content_of(root, seen.path)
    if len(data) <= _SMALL and _is_small(data):
        return data, seen.content_type
    made = _made(data, seen.path)
    with suppress(FileError):
        write_whole(kept, made, exists="overwrite")
    return made, "image/jpeg"


def forget_old(cache: Path, *, days: float = KEPT_DAYS) -> None:
    """Remove what was made longer ago than that."""
    limit = time.time() - days * 24 * 3600
    with suppress(OSError):
        for entry in os.scandir(cache):
            with suppress(OSError):
                if entry.name.endswith((".jpg", ".part")) and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink()


def _name(root: Path, seen: Seen) -> str:
    text = os.fsencode(f"{root / seen.path}\n{seen.version}\n{SIDE}")
    return hashlib.sha256(text).hexdigest()


def _is_small(data: bytes) -> bool:
    from PIL import Image

    with suppress(OSError, ValueError, SyntaxError), Image.open(io.BytesIO(data)) as image:
        return max(image.size) <= SIDE
    return False


def _made(data: bytes, name: str) -> bytes:
    from PIL import Image

    image = opaque(read_image(data, repr(name)).image, "white")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
