"""A model with another VAE or UNet, from a folder or a file of its own."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.advice import Advice, read_advice
from sdloop.models.checkpoint.families import check_vae, family_of_configs
from sdloop.models.checkpoint.few_steps import few_steps_of, predicts_clean
from sdloop.models.checkpoint.folder import Configs
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.ldm import parts_of_file, with_notes
from sdloop.models.checkpoint.legacy import settled_scheduler, settled_unet
from sdloop.models.checkpoint.other_parts import PartPlace, read_part_folder
from sdloop.models.checkpoint.unet_file import family_of_unet, unet_config
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.recipe.model_facts import PAINTING, vae_factor


def with_vae(found: Checkpoint, vae: str, place: PartPlace) -> Checkpoint:
    """``found`` with another VAE, which must have latents of the same size and scale."""
    path = place.path
    if path.is_dir():
        config, files = read_part_folder(place)
    else:
        # A single file has no scaling factor: use the model's.
        config, files = found.configs["vae"], (path,)
        if "vae" not in parts_of_file(read_header(path)):
            raise ModelError(f"{path} holds no VAE")
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
    return dataclasses.replace(
        found,
        configs={**found.configs, "vae": config},
        weights={**found.weights, "vae": files},
        vae=vae,
        vae_path=path,
    )


def with_unet(found: Checkpoint, unet: str, place: PartPlace) -> Checkpoint:
    """``found`` with another UNet of its family, which may be one for inpainting.

    A file may hold the UNet alone or a whole model. It has no config, so the model's is used with
    what the tensors tell. What the file says about its training changes the scheduler.
    """
    scheduler, path = found.scheduler_config, place.path
    if path.is_dir():
        config, files = read_part_folder(place)
        config = settled_unet(config, found.family)
    else:
        header = read_header(path)
        config, files = unet_config(header, found.configs["unet"]), (path,)
        scheduler = with_notes(scheduler, header)
    if predicts_clean(unet) or predicts_clean(path.name):
        scheduler = {**scheduler, "prediction_type": "sample"}
    theirs = family_of_unet(config)
    if theirs != found.family:
        raise ModelError(
            f"the UNet {unet} is of another family than {found.name}: {theirs}, not {found.family}"
        )
    _check_width(f"the UNet {unet}", config, found.configs["unet"])
    configs: Configs = {**found.configs, "unet": config}
    family_of_configs(f"{found.name} with the UNet {unet}", configs)
    if config.get("in_channels") == PAINTING:  # diffusers' inpainting pipeline has own rules
        scheduler = settled_scheduler(found.name, scheduler, found.family, paints=True)
    configs = {**configs, "scheduler": scheduler}
    return dataclasses.replace(
        found,
        configs=configs,
        advice=_advice(found, (unet, path.name), configs),
        weights={**found.weights, "unet": files},
        unet=unet,
        unet_path=path,
    )


def _advice(found: Checkpoint, unet: tuple[str, ...], configs: Configs) -> Advice:
    """The advice for a model with another UNet: the UNet decides whether it needs few steps."""
    recorded = configs["unet"].get("_name_or_path")
    names = (*unet, recorded) if isinstance(recorded, str) else unet
    few_steps = few_steps_of(names, found.family, configs)
    if few_steps is None and found.advice.few_steps is None:
        return found.advice
    return read_advice(found.name, found.family, {}, few_steps)


def _check_width(source: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise ``ModelError`` for a UNet that reads texts of another width than the model's."""
    width, needed = (config.get("cross_attention_dim", 1280) for config in (theirs, ours))
    if width != needed:
        raise ModelError(f"{source} reads texts of width {width}, but the model's have {needed}")
