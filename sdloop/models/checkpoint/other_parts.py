"""Where a part that is no part of the model is, as another VAE, and which variants are read."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.addresses import ENDINGS, CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.folder import read_json
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.hub_single import single_file
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.checkpoint.weight_files import Absent, absent_here, weight_files
from sdloop.models.checkpoint.weight_names import ALL_STEMS, STEMS, variant_of

_KINDS = {
    "vae": "VAE",
    "unet": "UNet",
    "safety_checker": "safety checker of",
    "controlnet": "ControlNet",
    "t2i_adapter": "T2I-Adapter",
    "segmenter": "CLIPSeg",
    "depth_estimator": "depth model",
    "pose_estimator": "pose model",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PartPlace:
    """The folder or the file of one part, and the variant to read if the part has it.

    ``absent`` says which files a folder of the hub's cache is known not to have.
    """

    name: str
    part: str
    path: Path
    variant: str | None = None
    absent: Absent = absent_here


def part_place(part: str, name: str, variant: str | None, *, may_fetch: bool) -> PartPlace:
    """Find the part that ``name`` means, and download it if it is not here."""
    single = part in ("controlnet", "t2i_adapter")
    place = address_of(name, endings=ENDINGS) if single else address_of(name)
    absent: Absent = absent_here
    if isinstance(place, CivitaiAddress):
        path = civitai_file(place, may_fetch=may_fetch)
    elif isinstance(place, HubAddress) and place.file is not None:
        path = single_file(place.model, place.revision, place.file, may_fetch=may_fetch)
    elif isinstance(place, HubAddress):
        found = hub.part_snapshot(place.model, part, place.revision, variant, may_fetch=may_fetch)
        path, absent = found.folder, found.absent
    else:
        path = place
    return PartPlace(name=name, part=part, path=path, variant=variant, absent=absent)


def read_part_folder(place: PartPlace) -> tuple[Mapping[str, Any], tuple[Path, ...]]:
    """The config and the weight files of a part: in its own folder, or in a model's."""
    home = "" if (place.path / "config.json").exists() else f"{place.part}/"
    config = read_json(place.path, f"{home}config.json")
    stem = ALL_STEMS[place.part]
    files = weight_files(place.path, home, stem, place.variant, absent=place.absent)
    for file in files:
        read_header(file)
    only = variant_of(files[0].name, "", stem)
    if place.variant is None and only is not None:
        _tell(f"the {_KINDS[place.part]} {place.name} exists", only)
    return config, files


def tell_variants(found: Checkpoint, asked: str | None) -> None:
    """Warn of parts that exist only as a variant that nobody asked for."""
    variants: dict[str, list[str]] = {}
    for part, variant in _variants(found).items():
        if asked is None and variant is not None:
            variants.setdefault(variant, []).append(part)
    for variant, parts in variants.items():
        whole = len(parts) == len(found.weights)
        _tell(f"{found.name} {'exists' if whole else 'has ' + ', '.join(parts)}", variant)


def uses_variant(found: Checkpoint, variant: str) -> bool:
    """Whether a part is read in this variant."""
    return variant in _variants(found).values()


def _variants(found: Checkpoint) -> dict[str, str | None]:
    """Part → the variant that it is read in; None also for a part of a single file."""
    return {
        part: None if files[0] == found.path else variant_of(files[0].name, "", STEMS[part])
        for part, files in found.weights.items()
    }


def _tell(what: str, variant: str) -> None:
    warnings.warn(f"{what} only as the variant {variant!r}: using it", stacklevel=3)
