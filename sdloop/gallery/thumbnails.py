"""Thumbnails for the grid: each is made once, when it is first shown, and kept in the user's cache.

The cache key has the picture's path, time and size, so a changed picture gets a new thumbnail. Old
thumbnails are removed after ``KEPT_DAYS``, and made again when they are needed.
"""

import hashlib
import io
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from sdloop.errors import FileError
from sdloop.gallery.folder import PictureFile, content_of
from sdloop.images.input.frame import opaque
from sdloop.images.input.read import read_image
from sdloop.metadata.atomic import write_whole

SIDE = 384  # pixels: a cell of the grid on a screen with a pixel ratio of 2
KEPT_DAYS = 90

_SMALL = 2**17  # bytes: a picture of at most ``SIDE`` pixels and this size needs no thumbnail


def cache_folder() -> Path:
    """The folder for thumbnails in the user's cache folder."""
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


def thumbnail(root: Path, seen: PictureFile, cache: Path) -> tuple[bytes, str]:
    """A picture of at most ``SIDE`` pixels, and its content type; a small one is left as it is.

    Raises ``FileError`` if it cannot be read, or is not a picture. If the cache cannot be written,
    the thumbnail is made again each time.
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
    """Remove thumbnails that are older than ``days``."""
    limit = time.time() - days * 24 * 3600
    with suppress(OSError):
        for entry in os.scandir(cache):
            with suppress(OSError):
                if entry.name.endswith((".jpg", ".part")) and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink()


def _name(root: Path, seen: PictureFile) -> str:
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
