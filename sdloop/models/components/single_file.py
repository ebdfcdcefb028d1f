"""Read single-file checkpoints in CompVis's layout (LDM), with diffusers' tensor names.

The conversion is diffusers' own. It drops tensors that it does not know, so we check that it used
every tensor of a part.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.ldm import (
    COND_PROJ,
    MARKS,
    PREFIXES,
    SD1_TEXT,
    SD2_TEXT,
    SD2_TEXT_SGM,
    UNET,
    VAE,
    XL_TEXT,
    XL_TEXT_2,
)
from sdloop.models.checkpoint.unet_file import unet_prefix
from sdloop.models.components.harmless import OPEN_CLIP, VAE_STARTS
from sdloop.models.components.weights import Module, read_tensors
from sdloop.schedulers.library_messages import no_library_messages


def read_part(
    part: str, file: Path, module: Module, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """One part's tensors from a single file, with the names that ``module`` uses."""
    starts = PREFIXES[part] + (VAE_STARTS if part == "vae" else ())
    if part == "unet" and unet_prefix(read_header(file)) == "":
        starts = ("",)  # the UNet is alone in the file
    tensors = read_tensors((file,), device, dtype, starts)
    try:
        with no_library_messages():
            if part == "unet":
                return _converted_unet(tensors, module, f"unet in {file}")
            if part == "vae":
                return _converted_vae(tensors, module, f"vae in {file}")
            return _converted_text_encoder(tensors, module, f"{part} in {file}")
    except KeyError as error:
        raise ModelError(f"{part} in {file}: {error.args[0]} is missing") from error


def _converted_unet(
    tensors: Mapping[str, Tensor], module: Module, source: str
) -> dict[str, Tensor]:
    tensors = {name: tensor for name, tensor in tensors.items() if name not in MARKS}
    if any(name.startswith("down_blocks.") for name in tensors):
        return dict(tensors)  # diffusers' names already
    named = {UNET + name.removeprefix(UNET): tensor for name, tensor in tensors.items()}
    converted: dict[str, Tensor] = convert_ldm_unet_checkpoint(named, config=module.config)
    if UNET + COND_PROJ in named:  # diffusers drops it
        converted["time_embedding.cond_proj.weight"] = named[UNET + COND_PROJ]
    check_all_used(tensors, converted, source)
    return converted


def _converted_vae(tensors: Mapping[str, Tensor], module: Module, source: str) -> dict[str, Tensor]:
    bare: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for start in VAE:
            name = name.removeprefix(start)
        if name.startswith(VAE_STARTS):
            bare[name] = tensor
    if any(".mid_block." in name for name in bare):
        return bare  # diffusers' names already
    converted: dict[str, Tensor] = convert_ldm_vae_checkpoint(bare, config=module.config)
    check_all_used(bare, converted, source)
    return converted


def _converted_text_encoder(
    tensors: Mapping[str, Tensor], module: Module, source: str
) -> dict[str, Tensor]:
    for start in (SD1_TEXT, XL_TEXT):
        if any(name.startswith(start) for name in tensors):
            return {name.removeprefix(start): tensor for name, tensor in tensors.items()}
    # diffusers knows by their whole names which tensors of Stable Diffusion 2 to drop. The refiner
    # has the same names, and needs all of them.
    usual = XL_TEXT_2 if hasattr(module, "text_projection") else SD2_TEXT
    tensors = {_renamed(name, usual): tensor for name, tensor in tensors.items()}
    start = next((s for s in (SD2_TEXT, XL_TEXT_2) if any(n.startswith(s) for n in tensors)), "")
    for name in (name.removeprefix(start) for name in tensors):
        if not name.startswith("transformer.") and name not in OPEN_CLIP:
            raise ModelError(f"{source}: {start}{name} is not expected")
    converted: dict[str, Tensor] = convert_open_clip_checkpoint(module, tensors, prefix=start)
    return converted


def _renamed(name: str, usual: str) -> str:
    return usual + name.removeprefix(SD2_TEXT_SGM) if name.startswith(SD2_TEXT_SGM) else name


def check_all_used(
    tensors: Mapping[str, Tensor], converted: Mapping[str, Tensor], source: str
) -> None:
    """Raise ``ModelError`` for a tensor that was not used.

    The data of a used one must be unchanged, except for trailing dimensions of size 1.
    """
    used = {tensor.data_ptr() for tensor in converted.values()}
    extra = [name for name, tensor in tensors.items() if tensor.data_ptr() not in used]
    if extra:
        raise ModelError(f"{source}: {extra[0]} is not expected")
