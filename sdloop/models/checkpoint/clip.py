"""Find a CLIP on disk, without loading it: the model that rates how well a picture fits a text."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.addresses import local_path
from sdloop.models.checkpoint.folder import Incomplete, check_vocabulary, read_json
from sdloop.models.checkpoint.hash_cache import file_sha256
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.repository import Repository
from sdloop.models.checkpoint.weight_files import weight_files
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_losses import clip_of

MINI_CLIP = Path(__file__).parent.parent.parent / "mini_clip"

_SMALL = ("config.json", "preprocessor_config.json", "vocab.json", "merges.txt")
_SETTINGS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_WEIGHTS = ("model.safetensors", "model-?????-of-?????.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How to prepare pictures for a CLIP: resize the shorter side to ``shortest_edge`` pixels with
    Pillow's filter ``resample``, crop the middle square of ``side``, subtract ``mean`` and divide
    by ``std`` (channels in 0..1)."""

    shortest_edge: int
    side: int
    resample: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipCheckpoint:
    """A CLIP's folder; ``name`` is as the user gave it, ``revision`` is the hub's commit."""

    name: str
    path: Path
    config: Mapping[str, Any]
    view: View
    weights: tuple[Path, ...]
    revision: str | None = None


# What CLIPs were trained with: transformers' defaults.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def usual_view(side: int) -> View:
    """How CLIPs that look at ``side`` pixels are shown pictures, unless their folder says other."""
    return View(shortest_edge=side, side=side, resample=3, mean=_MEAN, std=_STD)


def find_clip(model: str = "mini", *, may_fetch: bool = True) -> ClipCheckpoint:
    """Find a CLIP: the embedded "mini", a folder in Hugging Face's format, or a hub id.

    A hub model that is not in the cache is downloaded if ``may_fetch``. Raises ``ModelError`` for a
    model that is missing, incomplete, damaged or not a CLIP.
    """
    path = MINI_CLIP if model == "mini" else local_path(model)
    if path is not None and not path.is_dir():
        raise ModelError(f"{path} is a file, but a CLIP is a folder with a config.json")
    if path is not None:
        return _read(model, path, None)
    path = _snapshot(model, may_fetch=may_fetch)
    return _read(model, path, path.name)


def clip_hashes(recipe: Recipe, *, may_fetch: bool = True) -> dict[str, str]:
    """The sha256 of the CLIP that a Recipe's losses use, as ``resolve`` takes it.

    For several files it is the hash of their hashes; without a CLIP there is none.
    """
    name = clip_of(recipe)
    if name is None:
        return {}
    hashes = [file_sha256(file) for file in find_clip(name, may_fetch=may_fetch).weights]
    whole = hashlib.sha256(" ".join(hashes).encode()).hexdigest()
    return {"loss_clip": hashes[0] if len(hashes) == 1 else whole}


def _snapshot(model: str, *, may_fetch: bool) -> Path:
    """The folder of a hub model; weights are downloaded after checking that it is a CLIP."""

    def check(found: hub.Snapshot) -> None:
        _read(model, found.folder, None)

    need = hub.Need(check=check, fetch=_fetch, files=(*_SMALL, *_SETTINGS, *_WEIGHTS[:1]))
    return hub.snapshot_for(need, model, None, None, may_fetch=may_fetch).folder


def _fetch(repository: Repository) -> None:
    repository.fetch(repository.matching((*_SMALL, *_SETTINGS)), whole=False)
    try:
        _config(repository.model, repository.folder)
    except Incomplete as error:
        raise ModelError(f"{error}, also on the hub") from error
    whole = repository.matching(_WEIGHTS[:1])
    repository.fetch(whole or repository.matching(_WEIGHTS))


def _read(name: str, folder: Path, revision: str | None) -> ClipCheckpoint:
    config = _config(name, folder)
    image_size = config["vision_config"].get("image_size", 224)
    if not isinstance(image_size, int):
        raise ModelError(f"{folder} has a config whose image_size is {image_size!r}")
    view = _view(folder, image_size)
    check_vocabulary(folder)
    weights = weight_files(folder, "", "model", None, pickles=False)
    for file in weights:
        read_header(file)
    return ClipCheckpoint(
        name=name, path=folder, config=config, view=view, weights=weights, revision=revision
    )


def _config(name: str, folder: Path) -> Mapping[str, Any]:
    if (folder / "model_index.json").exists():
        raise ModelError(f"{name} is a model that makes pictures, not a CLIP, which rates them")
    config = read_json(folder, "config.json")
    kind = config.get("model_type")
    if kind != "clip":
        raise ModelError(f"{name} must be a CLIP, got a model of the type {kind!r}")
    parts = ("text_config", "vision_config")
    found = {part: config.get(part) or {} for part in parts}
    for part, value in found.items():
        if not isinstance(value, dict):
            raise ModelError(f"{name} has a config whose {part} is {value!r}, not an object")
    return {**config, **found}


def _view(folder: Path, image_size: int) -> View:
    """The values in ``preprocessor_config.json``, with transformers' defaults."""
    config = read_json(folder, "preprocessor_config.json")
    try:
        view = View(
            shortest_edge=_side(config.get("size", 224), "shortest_edge"),
            side=_side(config.get("crop_size", 224), "height"),
            resample=int(config.get("resample", 3)),
            mean=_three(config.get("image_mean", _MEAN)),
            std=_three(config.get("image_std", _STD)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'preprocessor_config.json'} does not suit a CLIP") from error
    if view.side != image_size or view.shortest_edge < view.side:
        raise ModelError(
            f"{folder}: the preprocessor crops pictures to {view.side} pixels, from "
            f"{view.shortest_edge}, but the model takes {image_size}"
        )
    return view


def _side(size: Any, name: str) -> int:
    """A side in pixels; old files hold a number, later ones an object with names."""
    return int(size[name] if isinstance(size, Mapping) else size)


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
