"""Files that Recipes name, carried from the driver's computer to the others.

There they become copies in the user's cache folder, by their sha256, so that the processes of a
computer share them, and ``spelling.existing`` finds them by the names that the Recipes have. A copy
that nobody has used for a day is removed.
"""

import hashlib
import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

from sdloop.errors import SettingError
from sdloop.metadata.atomic import write_whole
from sdloop.models.checkpoint.hash_cache import cache_folder
from sdloop.models.checkpoint.value import ModelNames
from sdloop.places.path import StorePath, location
from sdloop.recipe.named_files import named_files
from sdloop.recipe.recipe import Recipe
from sdloop.spelling import COPIES, existing

_LARGEST = 100 * 2**20  # bytes; larger files must be on every computer
_KEPT = 86_400  # seconds
_models = attrgetter(
    *("model", "vae", "unet", "refiner", "ip_adapter", "image_encoder"),
    *("loss_clip", "mask_model", "preprocess_model"),
)


def carried_file(name: str) -> tuple[str, bytes] | None:
    """What to call the copy of the file ``name``, and its content.

    None for what every computer finds by itself: a web address, an object in a store, a name on the
    hub, a folder, or a large file.
    """
    path = _path_here(name)
    with suppress(OSError):  # it was removed meanwhile
        if path is not None and _is_small(path):
            data = path.read_bytes()
            return f"{hashlib.sha256(data).hexdigest()}/{path.name}", data
    return None


def staying(recipe: Recipe) -> Iterator[str]:
    """The names of what ``recipe`` needs from this computer's disks, and is not carried.

    These are models, folders and large files: other computers must have them at the same path.
    """
    carried = set(named_files(recipe))
    for name in sorted(carried.union(_models(recipe)) - {None, ModelNames().model}):
        path = _path_here(name)
        if path is not None and not (name in carried and _is_small(path)):
            yield name


def _path_here(name: str) -> Path | None:
    """The file or folder of this name on this computer's disks."""
    with suppress(SettingError, OSError, ValueError):
        path = existing(location(name))
        if not isinstance(path, StorePath) and path.exists():
            return path
    return None


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _LARGEST


def keep_copy(name: str, called: str, data: bytes) -> None:
    """Read this content where the file ``name`` is asked for; raises ``FileError``."""
    copies = cache_folder() / "carried"
    if not COPIES:
        _remove_unused(copies)
    copy = copies / called
    try:
        os.utime(copy)
    except OSError:
        write_whole(copy, data, exists="overwrite")
    COPIES[location(name)] = copy


def forget_copies(but: Collection[str]) -> None:
    """Forget all names but these."""
    kept = {location(name) for name in but}
    for path in COPIES.keys() - kept:
        del COPIES[path]


def _remove_unused(copies: Path) -> None:
    for copy in copies.glob("*/*"):
        with suppress(OSError):  # another process removes it, too
            if copy.stat().st_mtime < time.time() - _KEPT:
                copy.unlink()
                copy.parent.rmdir()
