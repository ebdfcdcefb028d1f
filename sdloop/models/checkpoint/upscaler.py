"""Find upscalers of one step (ESRGAN and others), and hash them, before a model is loaded."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.addresses import address_of
from sdloop.models.checkpoint.file_at import file_at
from sdloop.models.checkpoint.hashes import sha256_of

ENDINGS = (".pth", ".safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpscalerFile:
    """The file of an upscaler on disk; ``name`` is as the user gave it."""

    name: str
    path: Path
    sha256: str


def find_upscaler(name: str, *, may_fetch: bool = True) -> UpscalerFile:
    """The upscaler that ``name`` means: a file, ``owner/name/FILE`` of the hub, or a web address.

    It is downloaded if it is not here, and read only later. Raises ``ModelError`` for a file that
    is missing, and ``SettingError`` without the library that runs upscalers.
    """
    if importlib.util.find_spec("spandrel") is None:
        raise SettingError.of("upscaler", "needs spandrel: pip install 'sdloop[upscalers]'")
    path = file_at(address_of(name, endings=ENDINGS), may_fetch=may_fetch)
    if path is None:
        raise ModelError(f"upscaler must name a file that exists, got {name}")
    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        raise ModelError(f"upscaler must name a file with {' or '.join(ENDINGS)}, got {name}")
    return UpscalerFile(name=name, path=path, sha256=sha256_of(path))
