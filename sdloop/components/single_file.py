"""Single-file checkpoints in the layout of CompVis (LDM): their tensors under diffusers' names.

The conversion is diffusers' own; around it stands the check that it used every tensor of a part,
for it drops what it does not know.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from torch import Tensor

from sdloop.checkpoint.families import PREFIXES, SD1_TEXT, SD2_TEXT, VAE, XL_TEXT, XL_TEXT_2
from sdloop.components.weights import Module, quiet, read_tensors
from sdloop.errors import ModelError

# A VAE in a file of its own has no prefix, and the parts of its training loss beside it.
_VAE_STARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")

# What OpenCLIP keeps beside its text tower: the temperature of its training and the causal mask.
_OPEN_CLIP_ASIDE = ("logit_scale", "attn_mask")


def read_part(
    part: str, file: Path, module: Module, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """One part's tensors out of a single file, named as ``module`` names them."""
    starts = PREFIXES[part] + (_VAE_STARTS if part == "vae" else ())
    tensors = read_tensors((file,), device, dtype, starts)
    try:
        with quiet():
            if part == "unet":
                return _converted_unet(tensors, module, f"unet in {file}")
            if part == "vae":
                return _converted_vae(tensors, module, f"vae in {file}")
            return _converted_text_encoder(tensors, module)
    except KeyError as error:
        raise ModelError(f"{part} in {file}: {error.args[0]} is missing") from error


def _converted_unet(
    tensors: Mapping[str, Tensor], module: Module, source: str
) -> dict[str, Tensor]:
    converted: dict[str, Tensor] = convert_ldm_unet_checkpoint(tensors, config=module.config)
    _check_all_used(tensors, converted, source)
    return converted


def _converted_vae(tensors: Mapping[str, Tensor], module: Module, source: str) -> dict[str, Tensor]:
    bare: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for start in VAE:
            name = name.removeprefix(start)
        if name.startswith(_VAE_STARTS):
            bare[name] = tensor
    if any(".mid_block." in name for name in bare):
        return bare  # diffusers' names already
    converted: dict[str, Tensor] = convert_ldm_vae_checkpoint(bare, config=module.config)
    _check_all_used(bare, converted, source)
    return converted


def _converted_text_encoder(tensors: Mapping[str, Tensor], module: Module) -> dict[str, Tensor]:
    open_clip = next(
        (s for s in (SD2_TEXT, XL_TEXT_2) if any(n.startswith(s) for n in tensors)), None
    )
    if open_clip is None:
        return {name.removeprefix(SD1_TEXT).removeprefix(XL_TEXT): t for name, t in tensors.items()}
    converted: dict[str, Any] = convert_open_clip_checkpoint(module, tensors, prefix=open_clip)
    return converted


def _check_all_used(
    tensors: Mapping[str, Tensor], converted: Mapping[str, Tensor], source: str
) -> None:
    """The conversion moves tensors and at most drops their last, single-number dimensions."""
    used = {tensor.data_ptr() for tensor in converted.values()}
    extra = [name for name, tensor in tensors.items() if tensor.data_ptr() not in used]
    if extra:
        raise ModelError(f"{source}: {extra[0]} has no place in it")
