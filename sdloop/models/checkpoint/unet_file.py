"""What a file tells about its UNet, which may be alone in it, in any of three layouts.

These are diffusers' (``down_blocks.``), and CompVis's with and without its prefix
(``model.diffusion_model.input_blocks.``). All the same facts are in the shapes of the tensors.
"""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.families import UPSCALING
from sdloop.models.checkpoint.headers import Header
from sdloop.models.checkpoint.ldm import UNET

Shape = tuple[int, ...]

# The names of the tensors that tell a UNet's inputs, in diffusers' layout and in CompVis's.
_CONV_IN = ("conv_in.weight", "input_blocks.0.0.weight")
_SIZES = ("add_embedding.linear_1.weight", "label_emb.0.0.weight")
_GUIDANCE = ("time_embedding.cond_proj.weight", "time_embed.cond_proj.weight")
_CLASSES = ("class_embedding.weight", "label_emb.weight")


def unet_prefix(header: Header) -> str | None:
    """How the names of the UNet's tensors begin; None if the file holds no UNet."""
    for prefix in (UNET, ""):
        if any(f"{prefix}{name}" in header.tensors for name in _CONV_IN):
            return prefix
    return None


def unet_config(header: Header, base: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the UNet in a file: that of ``base``, with what the tensors tell.

    Raises ``ModelError`` for a file without a UNet.
    """
    prefix = unet_prefix(header)
    if prefix is None:
        raise ModelError(f"{header.path} holds no UNet")
    tensors = {n.removeprefix(prefix): s for n, s in header.tensors.items() if n.startswith(prefix)}
    found: dict[str, Any] = {
        "in_channels": _columns(tensors, _CONV_IN),
        "cross_attention_dim": _last(tensors, "attn2.to_k.weight"),
        "use_linear_projection": len(_shape(tensors, "proj_in.weight")) == 2,
        "addition_embed_type": "text_time" if _columns(tensors, _SIZES) else None,
        "time_cond_proj_dim": _columns(tensors, _GUIDANCE),
        "num_class_embeds": 1 if _columns(tensors, _CLASSES) else None,
    }
    usual = {"use_linear_projection": False}
    return {**base, **{k: v for k, v in found.items() if v != base.get(k, usual.get(k))}}


def family_of_unet(config: Mapping[str, Any]) -> str:
    """The family that a UNet is made for, from its config."""
    if config.get("addition_embed_type") == "text_time":
        return "sdxl"
    if config.get("in_channels") == UPSCALING:
        return "upscaler"
    return "sd2" if config.get("use_linear_projection") else "sd1"


def _columns(tensors: Mapping[str, Shape], names: tuple[str, ...]) -> int | None:
    """The inputs of a layer by one of its names; None if there is none."""
    shapes = [tensors[name] for name in names if name in tensors]
    return shapes[0][1] if shapes and len(shapes[0]) > 1 else None


def _last(tensors: Mapping[str, Shape], ending: str) -> int | None:
    shape = _shape(tensors, ending)
    return shape[-1] if shape else None


def _shape(tensors: Mapping[str, Shape], ending: str) -> Shape:
    """The shape of the first tensor whose name ends so."""
    return next((shape for name, shape in tensors.items() if name.endswith(ending)), ())
