"""A model folder in diffusers' layout: its JSON files, weight files and vocabularies.

No file of a model can name a path outside of its folder: a downloaded model may be malicious.
Symbolic links are followed, because users share text encoders between models that way. In the
Hugging Face cache, links may only point to the cache's blobs.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.families import (
    check_index,
    class_name,
    family_of_configs,
)
from sdloop.models.checkpoint.legacy import settled_scheduler, settled_unet, settled_vae
from sdloop.models.checkpoint.weight_names import STEMS
from sdloop.recipe.model_facts import PAINTING

Configs = Mapping[str, Mapping[str, Any]]
_AS_READ: Mapping[str, Any] = {}


class Incomplete(ModelError):
    """A file of the model is missing; for a hub model it may still be downloaded."""


def inside(folder: Path, relative: str) -> Path:
    """The path of ``relative`` in ``folder``; ``ModelError`` if it points outside.

    The name may point outside, and in the Hugging Face cache also a link.
    """
    path, name = folder / relative, PurePath(relative)
    leads_out = name.is_absolute() or ".." in name.parts
    home = folder.resolve()
    if home.parent.name == "snapshots":
        homes = (home, home.parent.parent / "blobs")
        leads_out |= not any(path.resolve().is_relative_to(allowed) for allowed in homes)
    if leads_out:
        raise ModelError(f"{path} points outside the model's folder, to {path.resolve()}")
    return path


def read_json(folder: Path, relative: str) -> dict[str, Any]:
    """The object in a JSON file of ``folder``; ``ModelError`` if it cannot be read."""
    path = inside(folder, relative)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Incomplete(f"{folder} is not a complete model: {relative} is missing") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values


def read_configs(
    name: str, folder: Path, *, unet: Mapping[str, Any] = _AS_READ
) -> tuple[Configs, Mapping[str, Any]]:
    """The configs of the parts by name, and the index; ``name`` is for messages.

    ``unet`` has values that replace those in the UNet's config.

    Raises ``ModelError`` for a model of an unsupported family, before its weights are checked.
    """
    if not (folder / "model_index.json").exists():
        _explain_no_index(name, folder)
    index = read_json(folder, "model_index.json")
    parts = check_index(name, index)
    configs: dict[str, Mapping[str, Any]] = {
        part: read_json(folder, f"{part}/config.json") for part in parts if part in STEMS
    }
    configs["unet"] = {**configs["unet"], **unet}
    if "low_res_scheduler" in parts:
        low_res = read_json(folder, "low_res_scheduler/scheduler_config.json")
        configs["low_res_scheduler"] = low_res
    family = family_of_configs(name, configs)
    configs["unet"] = settled_unet(configs["unet"], family)
    configs["vae"] = settled_vae(configs["vae"], family)
    scheduler = read_json(folder, "scheduler/scheduler_config.json")
    paints = configs["unet"].get("in_channels") == PAINTING
    configs["scheduler"] = settled_scheduler(name, scheduler, family, paints=paints)
    return configs, index


def _explain_no_index(name: str, folder: Path) -> None:
    """Raise ``ModelError`` with a hint, for a folder without an index."""
    if (folder / "config.json").exists():
        kind = class_name(read_json(folder, "config.json")) or "one part"
        raise ModelError(f"{name} is only {kind}, not a whole model with a model_index.json")
    files = sorted(folder.glob("*.safetensors"))
    if files:
        raise ModelError(f"{name} is not a model in diffusers' layout: did you mean {files[0]}?")


def tokenizer_folders(folder: Path, configs: Configs) -> dict[str, Path]:
    """Part → the folder of its vocabulary, after a check of its files."""
    names = [p.replace("text_encoder", "tokenizer") for p in STEMS if p in configs and "text" in p]
    for name in names:
        place = inside(folder, name)
        for file in place.glob("*"):
            inside(folder, f"{name}/{file.name}")
        check_vocabulary(folder, f"{name}/")
    return {name: folder / name for name in names}


def check_vocabulary(folder: Path, home: str = "") -> None:
    """Raise ``Incomplete`` if a tokenizer has no words: transformers would load it anyway."""
    whole = inside(folder, f"{home}tokenizer.json").is_file()
    parts = [f"{home}{name}" for name in ("vocab.json", "merges.txt")]
    if not whole and not all(inside(folder, part).is_file() for part in parts):
        raise Incomplete(f"{folder} is not a complete model: {' or '.join(parts)} is missing")
