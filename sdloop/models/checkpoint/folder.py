"""A model folder in diffusers' layout: its JSON files, weight files and vocabularies.

No file of a model can name a path outside of its folder: a downloaded model may be malicious.
Symbolic links are followed, because users share text encoders between models that way. In the
Hugging Face cache, links may only point to the cache's blobs.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.families import (
    PAINTING,
    check_index,
    class_name,
    family_of_configs,
)
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.legacy import settled_scheduler, settled_unet, settled_vae

# The names of each part's weight files, without variant and suffix.
STEMS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "depth_estimator": "model",
}

# transformers' name for a text encoder's weights in a pickle; diffusers has one name for both kinds
_PICKLED_STEMS = {"model": "pytorch_model"}

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".msgpack")

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
    name: str, folder: Path, *, unet: Mapping[str, Any] = _AS_READ, refines: bool = False
) -> tuple[Configs, Mapping[str, Any]]:
    """The configs of the parts by name, and the index; ``name`` is for messages.

    ``unet`` has values that replace those in the UNet's config. ``refines``: whether the model may
    be an SDXL refiner.

    Raises ``ModelError`` for a model of an unsupported family, before its weights are checked.
    """
    if not (folder / "model_index.json").exists():
        _explain_no_index(name, folder)
    index = read_json(folder, "model_index.json")
    parts = check_index(name, index, refines=refines)
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


def read_weights(
    folder: Path, configs: Configs, variant: str | None
) -> dict[str, tuple[Path, ...]]:
    """Part → its weight files, complete according to their headers."""
    parts = [part for part in STEMS if part in configs]
    there = sorted(
        {
            variant
            for part in parts
            for ending in (".safetensors", ".bin")
            for variant in variants(folder, f"{part}/", STEMS[part], ending)
        }
    )
    if variant is not None and not re.fullmatch(r"[\w.-]+", variant):
        raise SettingError(f"variant must be a word like fp16, got {variant!r}")
    # Some parts may lack the variant, as in diffusers; if all do, it is mistyped.
    if variant is not None and variant not in there:
        names = ", ".join(map(repr, there)) or "none"
        raise Incomplete(f"{folder} has no variant {variant!r} (it has {names})")
    weights = {part: weight_files(folder, f"{part}/", STEMS[part], variant) for part in parts}
    for files in weights.values():
        for file in files:
            read_header(file)
    return weights


def weight_files(
    folder: Path, home: str, stem: str, variant: str | None, *, pickles: bool = True
) -> tuple[Path, ...]:
    """The files of ``variant``, or the plain ones if the part has no such variant.

    ``home`` is the part's subfolder ("unet/"). A ``.bin`` file is a pickle, and is used only where
    no .safetensors file is. Raises ``Incomplete`` if there are none.
    """
    files = own_files(folder, home, stem, variant) or own_files(folder, home, stem, None)
    if not files and pickles and not variants(folder, home, stem):
        files = own_files(folder, home, stem, variant, ".bin")
        files = files or own_files(folder, home, stem, None, ".bin")
    if not files:
        raise Incomplete(_explain_missing(folder, home, stem))
    return files


def own_files(
    folder: Path, home: str, stem: str, variant: str | None, ending: str = ".safetensors"
) -> tuple[Path, ...]:
    """Only the files of ``variant``: one, or the shards of an index, or none."""
    dotted, stem = f".{variant}" if variant else "", stem_of(stem, ending)
    whole = inside(folder, f"{home}{stem}{dotted}{ending}")
    if whole.is_file():
        return (whole,)
    index = f"{home}{stem}{ending}.index{dotted}.json"
    return _shards(folder, home, index, ending) if inside(folder, index).is_file() else ()


def stem_of(stem: str, ending: str) -> str:
    """The stem of a weight file's name, which for a text encoder depends on the format."""
    return _PICKLED_STEMS.get(stem, stem) if ending == ".bin" else stem


def _shards(folder: Path, home: str, index: str, ending: str) -> tuple[Path, ...]:
    names = read_json(folder, index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelError(f"{folder / index} has no weight_map of tensor names to files")
    shards = [inside(folder, f"{home}{name}") for name in sorted(set(names.values()))]
    for shard in shards:
        if shard.suffix != ending:
            raise ModelError(f"{shard} is not a {ending} file")
        if not shard.is_file():
            raise Incomplete(f"{folder} is not a complete model: {home}{shard.name} is missing")
    return tuple(shards)


def _explain_missing(folder: Path, home: str, stem: str) -> str:
    missing = f"{folder} is not a complete model: {home}{stem}.safetensors is missing"
    there = variants(folder, home, stem)
    if there:
        return f"{missing}, but the variant {there[0]!r} exists (--variant {there[0]})"
    place = folder / home
    pickles = [p for p in sorted(place.glob("*")) if p.suffix in _PICKLES]
    if pickles:
        return (
            f"{missing}; {home}{pickles[0].name} is a pickle, which may run code when it is "
            "loaded: convert the model to safetensors"
        )
    return missing


def variants(folder: Path, home: str, stem: str, ending: str = ".safetensors") -> list[str]:
    """The variants for which there are weight files ("fp16")."""
    place, stem = folder / home, stem_of(stem, ending)
    whole = {p.name[len(stem) + 1 : -len(ending)] for p in place.glob(f"{stem}.*{ending}")}
    index = f"{stem}{ending}.index."
    sharded = {p.name[len(index) : -len(".json")] for p in place.glob(f"{index}*.json")}
    return sorted(whole | sharded)


def tokenizer_folders(folder: Path, configs: Configs) -> dict[str, Path]:
    """Part → the folder of its vocabulary, after a check of its files."""
    names = [p.replace("text_encoder", "tokenizer") for p in STEMS if p in configs and "text" in p]
    for name in names:
        place = inside(folder, name)
        for file in place.glob("*"):
            inside(folder, f"{name}/{file.name}")
        whole = (place / "tokenizer.json").is_file()
        if not whole and not all((place / f).is_file() for f in ("vocab.json", "merges.txt")):
            raise Incomplete(
                f"{folder} is not a complete model: {name}/vocab.json or {name}/merges.txt "
                "is missing"
            )
    return {name: folder / name for name in names}
