"""The projections of IP-Adapters: what a CLIP sees in a picture becomes tokens like a prompt's."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from diffusers.models.embeddings import (
    ImageProjection,
    IPAdapterFullImageProjection,
    IPAdapterPlusImageProjection,
)
from torch import Tensor

from sdloop.models.checkpoint.image_adapter import Shapes

# The names of an adapter's authors → diffusers', by kind; a pattern must match a whole name's start
_RENAMED: Mapping[str, Mapping[str, str]] = {
    "base": {r"proj\.": "image_embeds."},
    "full": {r"proj\.0\.": "ff.net.0.proj.", r"proj\.2\.": "ff.net.2.", r"proj\.3\.": "norm."},
    "plus": {
        r"layers\.(\d+)\.0\.norm1\.": r"layers.\1.ln0.",
        r"layers\.(\d+)\.0\.norm2\.": r"layers.\1.ln1.",
        r"layers\.(\d+)\.0\.to_out\.": r"layers.\1.attn.to_out.0.",
        r"layers\.(\d+)\.0\.": r"layers.\1.attn.",
        r"layers\.(\d+)\.1\.0\.": r"layers.\1.ff.0.",
        r"layers\.(\d+)\.1\.1\.": r"layers.\1.ff.1.net.0.proj.",
        r"layers\.(\d+)\.1\.3\.": r"layers.\1.ff.1.net.2.",
    },
}
_HEAD = 64  # the width of a head in a resampler's attention


def image_projection(kind: str, shapes: Shapes) -> Any:
    """diffusers' module for an adapter of this kind, whose tensors have these shapes.

    Raises ``LookupError``, ``ValueError`` or ``ArithmeticError`` if they are those of no adapter.
    """
    return _MADE[kind](shapes)


def projection_names(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a projection with diffusers' names, whose keys and values are two tensors."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = _renamed(kind, name)
        if ".to_kv." in new:
            key, value = tensor.chunk(2)
            found |= {new.replace("to_kv", "to_k"): key, new.replace("to_kv", "to_v"): value}
        else:
            found[new] = tensor
    return found


def _renamed(kind: str, name: str) -> str:
    for old, new in _RENAMED[kind].items():
        if found := re.match(old, name):
            return found.expand(new) + name[found.end() :]
    return name


def _base(shapes: Shapes) -> Any:
    (out, seen), (width,) = shapes["proj.weight"], shapes["norm.weight"]
    return ImageProjection(
        image_embed_dim=seen, cross_attention_dim=width, num_image_text_embeds=out // width
    )


def _full(shapes: Shapes) -> Any:
    seen, width = shapes["proj.0.weight"][-1], shapes["proj.3.weight"][0]
    return IPAdapterFullImageProjection(image_embed_dim=seen, cross_attention_dim=width)


def _plus(shapes: Shapes) -> Any:
    _, queries, hidden = shapes["latents"]
    return IPAdapterPlusImageProjection(
        embed_dims=shapes["proj_in.weight"][1],
        output_dims=shapes["proj_out.weight"][0],
        hidden_dims=hidden,
        depth=1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("layers.")),
        dim_head=_HEAD,
        heads=shapes["layers.0.0.to_q.weight"][0] // _HEAD,
        num_queries=queries,
        ffn_ratio=shapes["layers.0.1.1.weight"][0] / hidden,
    )


_MADE: Mapping[str, Callable[[Shapes], Any]] = {"base": _base, "full": _full, "plus": _plus}
