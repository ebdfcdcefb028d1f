"""Find upscalers of one step (ESRGAN and others), and hash them, before a model is loaded."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.addresses import CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.hashes import sha256_of
from sdloop.models.checkpoint.hub_single import single_file

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
    place = address_of(name, endings=ENDINGS)
    if isinstance(place, CivitaiAddress):
        path = civitai_file(place, may_fetch=may_fetch)
    elif isinstance(place, HubAddress):
        if place.file is None:
            raise ModelError(f"upscaler must name a file that exists, got {name}")
        path = single_file(place.model, place.revision, place.file, may_fetch=may_fetch)
    else:
        path = place
    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        raise ModelError(f"upscaler must name a file with {' or '.join(ENDINGS)}, got {name}")
    return UpscalerFile(name=name, path=path, sha256=sha256_of(path))
