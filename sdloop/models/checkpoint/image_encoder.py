"""Find the image encoder of an IP-Adapter: a CLIP's half for pictures.

Published adapters share a repository with their encoders: ``models/image_encoder`` is beside
``models/ip-adapter_sd15.safetensors``, and ``sdxl_models/image_encoder`` is another, larger one.
Some adapters for SDXL were trained with the first, some for SD 1 with the second. So the encoder is
the first whose output has the width that the adapter takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sdloop.errors import ModelError
from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.addresses import Address, HubAddress, local_path
from sdloop.models.checkpoint.clip import View, usual_view
from sdloop.models.checkpoint.folder import Incomplete, inside, read_json
from sdloop.models.checkpoint.hashes import folder_sha256
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.repository import Repository
from sdloop.models.checkpoint.weight_files import absent_here, weight_files

_STEM = "model"
_HOMES = ("image_encoder/", "models/image_encoder/", "sdxl_models/image_encoder/")


class Takes(NamedTuple):
    """What an adapter takes: vectors of this width, one for the picture or one for each patch."""

    width: int
    patches: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageEncoderFile:
    """An image encoder on disk; ``sha256`` is a hash of its config and weights."""

    name: str
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    sha256: str

    @property
    def view(self) -> View:
        return usual_view(self.config.get("image_size", 224))


def encoder_beside(
    name: str, adapter: Path, place: Address, takes: Takes, *, may_fetch: bool
) -> ImageEncoderFile:
    """The encoder of the adapter ``name``, in its folder or its repository."""
    if isinstance(place, HubAddress):
        assert place.file is not None
        folder, _, _ = place.file.rpartition("/")
        homes = (f"{folder}/{_HOMES[0]}".lstrip("/"), *_HOMES)
        return _on_hub(name, place.model, place.revision, homes, takes, may_fetch=may_fetch)
    whole = adapter.absolute().parent
    homes = (f"{whole.name}/{_HOMES[0]}", *_HOMES)
    return _in_folder(name, whole.parent, homes, takes)


def named_encoder(name: str, takes: Takes, *, may_fetch: bool) -> ImageEncoderFile:
    """The encoder that the user names: a folder, a hub id, or a folder in a repository.

    Raises ``ModelError`` for one that is missing, or does not give what the adapter takes.
    """
    parts = name.split("/")
    remote = len(parts) > 2 and not name.startswith((".", "/", "~")) and not Path(name).exists()
    path = None if remote else local_path(name)
    if path is not None:
        return _in_folder(name, path, ("", *_HOMES), takes)
    model, home = "/".join(parts[:2]), "/".join(parts[2:])
    homes = (f"{home}/",) if home else ("", *_HOMES)
    return _on_hub(name, model, None, homes, takes, may_fetch=may_fetch)


def _in_folder(name: str, folder: Path, homes: Sequence[str], takes: Takes) -> ImageEncoderFile:
    try:
        return _fitting(name, homes, takes, hub.Snapshot(folder, absent_here))
    except Incomplete as error:
        raise ModelError(str(error)) from error


def _on_hub(
    name: str,
    model: str,
    revision: str | None,
    homes: Sequence[str],
    takes: Takes,
    *,
    may_fetch: bool,
) -> ImageEncoderFile:
    """The same in a repository of the hub, of which only this encoder is downloaded."""

    def check(found: hub.Snapshot) -> None:
        _fitting(name, homes, takes, found)

    files = (f"{homes[0]}config.json", f"{homes[0]}{_STEM}.safetensors")
    need = hub.Need(check=check, fetch=partial(_fetch, homes, takes), files=files)
    found = hub.snapshot_for(need, model, revision, None, may_fetch=may_fetch)
    return _fitting(name, homes, takes, found)


def _fetch(homes: Sequence[str], takes: Takes, repository: Repository) -> None:
    there = [home for home in dict.fromkeys(homes) if f"{home}config.json" in repository.names]
    repository.fetch([f"{home}config.json" for home in there], whole=False)
    for home in there:
        if _width(_config(repository.folder, home), takes) == takes.width:
            repository.fetch(hub.chosen_weights(repository, home, _STEM, None))
            return


def _fitting(
    name: str, homes: Sequence[str], takes: Takes, found: hub.Snapshot
) -> ImageEncoderFile:
    """The first encoder that suits the adapter; raises ``Incomplete`` if there is none."""
    others = []
    for home, config in _configs(homes, found):
        if (width := _width(config, takes)) != takes.width:
            others.append(f"{home or name} gives {width}")
            continue
        files = weight_files(found.folder, home, _STEM, None, absent=found.absent)
        for file in files:
            read_header(file)
        sha256 = folder_sha256(config, files)
        return ImageEncoderFile(name=name, config=config, files=files, sha256=sha256)
    what = "embeddings of patches" if takes.patches else "an embedding"
    why = f"; {', '.join(others)}" if others else ""
    raise Incomplete(
        f"{name} needs an image encoder that gives {what} of {takes.width} numbers, and none is in "
        f"{', '.join(home or '.' for home in dict.fromkeys(homes))}{why}: name one with "
        "--image-encoder"
    )


def _configs(homes: Sequence[str], found: hub.Snapshot) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for home in dict.fromkeys(homes):
        if inside(found.folder, f"{home}config.json").is_file():
            yield home, _config(found.folder, home)


def _config(folder: Path, home: str) -> Mapping[str, Any]:
    """The config of a CLIP's vision half, also where the folder holds a whole CLIP."""
    config = read_json(folder, f"{home}config.json")
    if config.get("model_type") == "clip":
        vision = config.get("vision_config")
        width = {"projection_dim": config.get("projection_dim", 512)}
        config = {**(vision if isinstance(vision, dict) else {}), **width}
    elif config.get("model_type") != "clip_vision_model":
        kind = config.get("model_type") or "none that is named"
        raise ModelError(f"{folder / home} must be a CLIP that sees pictures, got {kind!r}")
    return config


def _width(config: Mapping[str, Any], takes: Takes) -> Any:
    return config.get("hidden_size", 768) if takes.patches else config.get("projection_dim", 512)
