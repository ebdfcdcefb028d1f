"""Find a model and detect what it is, without loading it: standard library only, milliseconds.

A model is the embedded ``mini``, a hub id, a folder in diffusers' layout, or a single file in
CompVis's layout. Unusable models are refused here, before torch is imported.
"""

import dataclasses
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.advice import read_advice
from sdloop.models.checkpoint.families import family_of_configs, max_noise_level, refiner_text
from sdloop.models.checkpoint.few_steps import few_steps_of, predicts_clean
from sdloop.models.checkpoint.folder import (
    STEMS,
    read_configs,
    read_weights,
    tokenizer_folders,
)
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.ldm import (
    REFINER,
    TITLE,
    layout_of_file,
    parts_of_file,
    unet_facts,
    with_notes,
)
from sdloop.models.checkpoint.refiner import checked_refiner
from sdloop.models.checkpoint.replaced import with_unet, with_vae
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.spelling import existing, is_there

MINI = Path(__file__).parent.parent.parent / "mini"
LAYOUTS = Path(__file__).parent.parent.parent / "layouts"

# CLIP's tokenizer, which all families use and no single file contains.
VOCABULARY = LAYOUTS / "clip_tokenizer"

_ENDINGS = (".safetensors", ".ckpt")


def find_checkpoint(
    model: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    vae: str | None = None,
    unet: str | None = None,
    refiner: str | None = None,
    layout: Path | None = None,
    may_fetch: bool = True,
) -> Checkpoint:
    """Find ``model``, and download it if it is a hub id that is not in the cache.

    Without ``may_fetch`` nothing is downloaded, and such a model counts as missing.
    ``vae`` and ``unet`` (a folder, a single file or a hub id) replace the model's own.
    ``refiner`` is the model of SDXL's second stage, in the same ``variant`` if it is not a file.
    ``layout`` is a folder of configs for a single file of an unusual shape.

    Raises ``ModelError`` for a model that is missing, incomplete, damaged or of another family, and
    ``SettingError`` for a revision or variant that would be ignored.
    """
    found = _found(model, revision, variant, layout, may_fetch=may_fetch)
    if vae is not None:
        found = with_vae(found, vae, _part_path("vae", vae, may_fetch=may_fetch))
    if unet is not None:
        found = with_unet(found, unet, _part_path("unet", unet, may_fetch=may_fetch))
    if "vae" not in found.weights:
        raise ModelError(f"{model} holds no VAE: give one with --vae")
    if refiner is not None:
        second = _found_refiner(refiner, variant, may_fetch=may_fetch)
        found = dataclasses.replace(found, refiner=checked_refiner(found, second))
    return found


def _found(
    model: str,
    revision: str | None,
    variant: str | None,
    layout: Path | None = None,
    *,
    may_fetch: bool,
    refines: bool = False,
) -> Checkpoint:
    """The model as it is; ``refines``: whether it may be an SDXL refiner."""
    path = MINI if model == "mini" else local_path(model)
    if path is None:
        path = hub.snapshot(model, revision, variant, may_fetch=may_fetch, refines=refines)
        found = read_folder(model, path, variant, refines=refines)
        return dataclasses.replace(found, revision=path.name, asked_revision=revision)
    if revision is not None:
        raise SettingError(f"revision is only for hub models, which {model} is not: {revision!r}")
    if path.is_dir() or model == "mini":
        return read_folder(model, path, variant, refines=refines)
    if variant is not None:
        raise SettingError(f"variant is only for folders, not for the file {model}: {variant!r}")
    return _read_file(model, path, layout, refines=refines)


def _found_refiner(name: str, variant: str | None, *, may_fetch: bool) -> Checkpoint:
    path = local_path(name)
    variant = None if path is not None and path.is_file() else variant
    return _found(name, None, variant, may_fetch=may_fetch, refines=True)


def local_path(model: str) -> Path | None:
    """The path that ``model`` means, or None for a hub id.

    A mistyped path must not be sent to the hub, so anything that looks like a path must exist. It
    may be spelled as on another system: see ``spelling``.
    """
    path = Path(model)
    if model.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError as error:
            raise ModelError(f"{model} names the home folder of an unknown user") from error
    path = existing(path)
    if is_there(path):
        return path
    if model.lower().endswith(_ENDINGS):
        raise ModelError(f"there is no file {path}")
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model:
        raise ModelError(f"there is no folder {path}")
    return None


def read_folder(
    name: str, folder: Path, variant: str | None, *, refines: bool = False
) -> Checkpoint:
    """The model in a folder; raises ``Incomplete`` if files of the ``variant`` are missing."""
    configs, index = read_configs(name, folder, refines=refines)
    family = family_of_configs(name, configs)
    xl = "text_encoder_2" in configs
    told = (index.get("_name_or_path"), configs["unet"].get("_name_or_path"))
    names = [name, *(text for text in told if isinstance(text, str))]
    return Checkpoint(
        name=name,
        path=folder,
        variant=variant,
        family=family,
        configs=configs,
        weights=read_weights(folder, configs, variant),
        tokenizers=tokenizer_folders(folder, configs),
        # diffusers' default
        force_zeros_for_empty_prompt=xl and bool(index.get("force_zeros_for_empty_prompt", True)),
        advice=read_advice(name, family, index, few_steps_of(names, family, configs)),
        max_noise_level=max_noise_level(name, index, configs) if family == "upscaler" else None,
        scores=bool(index.get("requires_aesthetics_score")),
    )


def _read_file(name: str, path: Path, layout: Path | None, *, refines: bool) -> Checkpoint:
    if path.suffix.lower() not in _ENDINGS:
        raise ModelError(f"{path} is neither a folder nor a .safetensors or .ckpt file")
    header = read_header(path)
    known = layout_of_file(header)
    if known == REFINER and not refines:
        raise ModelError(refiner_text(str(path)))
    told = unet_facts(header) if layout is None else {}
    layout = LAYOUTS / known if layout is None else layout
    configs, index = read_configs(name, layout, unet=told, refines=refines)
    family = family_of_configs(name, configs)
    parts = [part for part in STEMS if part in configs]
    there = parts_of_file(header)
    for part in parts:
        if part not in there and part != "vae":
            raise ModelError(f"{path} holds no {part}")
    if any(layout.glob("tokenizer*")):
        tokenizers = tokenizer_folders(layout, configs)
    else:
        tokenizers = {
            p.replace("text_encoder", "tokenizer"): VOCABULARY for p in parts if "text" in p
        }
    scheduler = with_notes(configs["scheduler"], header)
    if predicts_clean(name):
        scheduler = {**scheduler, "prediction_type": "sample"}
    configs = {**configs, "scheduler": scheduler}
    few_steps = few_steps_of((name, header.notes.get(TITLE, "")), family, configs)
    return Checkpoint(
        name=name,
        path=path,
        family=family,
        configs=configs,
        weights={part: (path,) for part in parts if part in there},
        tokenizers=tokenizers,
        force_zeros_for_empty_prompt=bool(index.get("force_zeros_for_empty_prompt", False)),
        advice=read_advice(name, family, index, few_steps),
        scores=bool(index.get("requires_aesthetics_score")),
    )


def _part_path(part: str, name: str, *, may_fetch: bool) -> Path:
    """The folder or file of a part that replaces the model's own."""
    path = local_path(name)
    return hub.part_snapshot(name, part, may_fetch=may_fetch) if path is None else path
