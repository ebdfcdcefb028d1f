"""Find a model and detect what it is, without loading it: standard library only, milliseconds.

A model is the embedded ``mini``, a hub id, a folder in diffusers' layout, or a single file in
CompVis's layout. Unusable models are refused here, before torch is imported.
"""

import dataclasses
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.addresses import Address, CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.advice import read_advice
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.families import family_of_configs, max_noise_level
from sdloop.models.checkpoint.few_steps import few_steps_of, predicts_clean
from sdloop.models.checkpoint.folder import read_configs, tokenizer_folders
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.hub_single import single_file
from sdloop.models.checkpoint.ldm import (
    TITLE,
    is_named_as_sdxl,
    layout_of_file,
    parts_of_file,
    unet_facts,
    with_notes,
)
from sdloop.models.checkpoint.other_parts import part_place, tell_variants, uses_variant
from sdloop.models.checkpoint.refiner import checked_refiner
from sdloop.models.checkpoint.replaced import with_unet, with_vae
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.checkpoint.weight_files import Absent, absent_here, read_weights
from sdloop.models.checkpoint.weight_names import STEMS

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
    """Find ``model``, and download it if it is on the hub or on Civitai and not in the cache.

    Without ``may_fetch`` nothing is downloaded, and such a model counts as missing.
    ``vae`` and ``unet`` (a folder, a single file, a hub id or an address) replace the model's own.
    ``refiner`` is the model of SDXL's second stage, in the same ``variant`` if it is not a file.
    ``layout`` is a folder of configs for a single file of an unusual shape.

    Raises ``ModelError`` for a model that is missing, incomplete, damaged or of another family, and
    ``SettingError`` for a revision or variant that would be ignored.
    """
    place = MINI if model == "mini" else address_of(model)
    single = _is_single(place)
    if single and variant is not None and vae is None and unet is None:
        raise SettingError(f"variant is only for folders, not for the file {model}: {variant!r}")
    found = _found(model, place, revision, variant, layout, may_fetch=may_fetch)
    tell_variants(found, variant)
    if vae is not None:
        found = with_vae(found, vae, part_place("vae", vae, variant, may_fetch=may_fetch))
    if unet is not None:
        found = with_unet(found, unet, part_place("unet", unet, variant, may_fetch=may_fetch))
    if single and variant is not None and not uses_variant(found, variant):
        raise SettingError(f"variant is only for folders, not for the file {model}: {variant!r}")
    if "vae" not in found.weights:
        raise ModelError(f"{model} holds no VAE: give one with --vae")
    if refiner is not None:
        second = _found(refiner, address_of(refiner), None, variant, may_fetch=may_fetch)
        tell_variants(second, variant)
        found = dataclasses.replace(found, refiner=checked_refiner(found, second))
    return found


def _is_single(place: Address) -> bool:
    """Whether it is one file and not a folder of parts."""
    if isinstance(place, HubAddress):
        return place.file is not None
    return isinstance(place, CivitaiAddress) or place.is_file()


def _found(
    name: str,
    place: Address,
    revision: str | None,
    variant: str | None,
    layout: Path | None = None,
    *,
    may_fetch: bool,
) -> Checkpoint:
    if isinstance(place, HubAddress):
        at = _one_revision(name, place, revision)
        if place.file is None:
            snap = hub.snapshot(place.model, at, variant, may_fetch=may_fetch)
            folder = snap.folder
            found = read_folder(name, folder, variant, snap.absent)
        else:
            path = single_file(place.model, at, place.file, may_fetch=may_fetch)
            folder = path.parents[place.file.count("/")]
            found = read_file(name, path, layout)
        return dataclasses.replace(found, revision=folder.name, asked_revision=revision)
    if revision is not None:
        raise SettingError(f"revision is only for hub models, which {name} is not: {revision!r}")
    path = place if isinstance(place, Path) else civitai_file(place, may_fetch=may_fetch)
    if path.is_dir():
        return read_folder(name, path, variant)
    return read_file(name, path, layout)


def _one_revision(name: str, place: HubAddress, revision: str | None) -> str | None:
    if revision is not None and place.revision not in (None, revision):
        raise SettingError(
            f"revision must be that of the address {name}, {place.revision!r}, got {revision!r}"
        )
    return revision or place.revision


def read_folder(
    name: str,
    folder: Path,
    variant: str | None,
    absent: Absent = absent_here,
) -> Checkpoint:
    """The model in a folder; raises ``Incomplete`` if files of the ``variant`` are missing."""
    configs, index = read_configs(name, folder)
    family = family_of_configs(name, configs)
    xl = "text_encoder_2" in configs
    recorded = (index.get("_name_or_path"), configs["unet"].get("_name_or_path"))
    names = [name, *(text for text in recorded if isinstance(text, str))]
    return Checkpoint(
        name=name,
        path=folder,
        variant=variant,
        family=family,
        configs=configs,
        weights=read_weights(folder, configs, variant, absent),
        tokenizers=tokenizer_folders(folder, configs),
        # diffusers' default
        force_zeros_for_empty_prompt=xl and bool(index.get("force_zeros_for_empty_prompt", True)),
        advice=read_advice(name, family, index, few_steps_of(names, family, configs)),
        max_noise_level=max_noise_level(name, index, configs) if family == "upscaler" else None,
        scores=bool(index.get("requires_aesthetics_score")),
    )


def read_file(name: str, path: Path, layout: Path | None = None) -> Checkpoint:
    """The model in a single file; it may lack a VAE."""
    if path.suffix.lower() not in _ENDINGS:
        raise ModelError(f"{path} is neither a folder nor a .safetensors or .ckpt file")
    header = read_header(path)
    known = layout_of_file(header)
    facts = unet_facts(header) if layout is None else {}
    layout = LAYOUTS / known if layout is None else layout
    configs, index = read_configs(name, layout, unet=facts)
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
    if predicts_clean(path.name):
        scheduler = {**scheduler, "prediction_type": "sample"}
    configs = {**configs, "scheduler": scheduler}
    names = (name, path.name, header.notes.get(TITLE, ""))
    few_steps = few_steps_of(names, family, configs, as_sdxl=is_named_as_sdxl(header))
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
