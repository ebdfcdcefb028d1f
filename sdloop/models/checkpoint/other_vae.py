"""A VAE that replaces a model's own."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.addresses import CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.families import check_vae
from sdloop.models.checkpoint.folder import read_json
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.hub_single import single_file
from sdloop.models.checkpoint.ldm import parts_of_file
from sdloop.models.checkpoint.value import Checkpoint, vae_factor
from sdloop.models.checkpoint.weight_files import Absent, absent_here, weight_files
from sdloop.models.checkpoint.weight_names import STEMS, variant_of

Config = Mapping[str, Any]


def with_vae(
    found: Checkpoint, vae: str, variant: str | None, *, must_have: bool, may_fetch: bool
) -> Checkpoint:
    """``found`` with another VAE, which must have latents of the same size and scale.

    It is read in the ``variant``, if it has that; ``must_have`` says that nothing else can have it.
    """
    path, absent = _place(vae, variant, may_fetch=may_fetch)
    if path.is_dir():
        config, files = _in_folder(vae, path, variant, absent)
    else:
        # A single file has no scaling factor: use the model's.
        config, files = found.configs["vae"], (path,)
        if "vae" not in parts_of_file(read_header(path)):
            raise ModelError(f"{path} holds no VAE")
    if must_have and variant is not None and not any(_is_of(file, variant) for file in files):
        raise SettingError(
            f"variant is for folders: neither the file {found.name} nor the VAE {vae} has a "
            f"variant {variant!r}"
        )
    _check_fits(found, vae, config)
    return dataclasses.replace(
        found,
        configs={**found.configs, "vae": config},
        weights={**found.weights, "vae": files},
        vae=vae,
        vae_path=path,
    )


def _place(vae: str, variant: str | None, *, may_fetch: bool) -> tuple[Path, Absent]:
    place = address_of(vae)
    if isinstance(place, HubAddress) and place.file is None:
        found = hub.vae_snapshot(place.model, place.revision, variant, may_fetch=may_fetch)
        return found.folder, found.absent
    if isinstance(place, HubAddress):
        file = str(place.file)
        return single_file(place.model, place.revision, file, may_fetch=may_fetch), absent_here
    if isinstance(place, CivitaiAddress):
        return civitai_file(place, may_fetch=may_fetch), absent_here
    return place, absent_here


def _in_folder(
    vae: str, folder: Path, variant: str | None, absent: Absent
) -> tuple[Config, tuple[Path, ...]]:
    """The config and the weights of a VAE's folder, or of that in a model's folder."""
    home = "" if (folder / "config.json").exists() else "vae/"
    config = read_json(folder, f"{home}config.json")
    files = weight_files(folder, home, STEMS["vae"], variant, absent=absent)
    for file in files:
        read_header(file)
    if variant is None and (only := _variant(files[0])) is not None:
        warnings.warn(f"the VAE {vae} exists only as the variant {only!r}: using it", stacklevel=2)
    return config, files


def _check_fits(found: Checkpoint, vae: str, config: Config) -> None:
    check_vae(vae, config)
    if vae_factor(config) != found.size_multiple:
        raise ModelError(
            f"the VAE {vae} enlarges latents {vae_factor(config)} times, but {found.name} needs "
            f"{found.size_multiple} times"
        )
    theirs, ours = (c.get("scaling_factor", 0.18215) for c in (config, found.configs["vae"]))
    if theirs != ours:
        raise ModelError(
            f"the VAE {vae} is of another family than {found.name}: its scaling_factor is "
            f"{theirs}, not {ours}"
        )


def tell_variants(found: Checkpoint, asked: str | None) -> None:
    """Warn of parts that exist only as a variant that nobody asked for."""
    told: dict[str, list[str]] = {}
    for part, files in found.weights.items():
        only = variant_of(f"{part}/{files[0].name}", f"{part}/", STEMS[part])
        if asked is None and only is not None and files[0] != found.path:
            told.setdefault(only, []).append(part)
    for only, parts in told.items():
        whole = len(parts) == len(found.weights)
        exists = "exists" if whole else f"has {', '.join(parts)}"
        warnings.warn(f"{found.name} {exists} only as the variant {only!r}: using it", stacklevel=2)


def _variant(file: Path) -> str | None:
    return variant_of(file.name, "", STEMS["vae"])


def _is_of(file: Path, variant: str) -> bool:
    return _variant(file) == variant
