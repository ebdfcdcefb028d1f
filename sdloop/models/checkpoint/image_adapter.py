"""Find, recognise and hash IP-Adapters on disk, before a model is loaded.

An IP-Adapter is one file: a projection of what a CLIP sees in a picture to tokens (``image_proj``),
and keys and values for them in each layer that attends to the prompt (``ip_adapter``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.addresses import address_of
from sdloop.models.checkpoint.file_at import file_at
from sdloop.models.checkpoint.hashes import sha256_of
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.image_encoder import (
    ImageEncoderFile,
    Takes,
    encoder_beside,
    named_encoder,
)
from sdloop.recipe.image_prompts import ENDINGS
from sdloop.recipe.limits import IP_ADAPTER

SECTIONS = ("image_proj.", "ip_adapter.")

Shapes = Mapping[str, tuple[int, ...]]

_FACES = "which sees faces with a network that sdloop does not have"
# What an adapter of another kind is called, by a tensor that only it has; the first match counts.
_UNKNOWN = {
    "perceiver_resampler.proj_in.weight": f"an IP-Adapter FaceID Plus, {_FACES}",
    "proj.2.weight": f"an IP-Adapter FaceID, {_FACES}",
}
# What a file is that is no IP-Adapter, by a part of any tensor's name; the first match counts.
_OTHERS = {
    "double_blocks": "an IP-Adapter for Flux",
    "lora_": "a LoRA (use it with --lora)",
    "control_model.": "a ControlNet (use it with --control)",
    "controlnet_cond_embedding.": "a ControlNet (use it with --control)",
    "down_blocks.0.resnets.0.conv1.weight": "a UNet",
    "model.diffusion_model.": "a whole model (use it with --model)",
    "vision_model.": "an image encoder (use it with --image-encoder)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageAdapterFile:
    """An IP-Adapter on disk, with its image encoder.

    ``name`` is as the user gave it. ``kind`` is "base" (the picture's embedding becomes a few
    tokens), "plus" (a resampler looks at all patches of the picture) or "full" (each patch becomes
    a token). ``tensors`` are the shapes by name, without the names of ``SECTIONS``.
    """

    name: str
    path: Path
    kind: str
    tensors: Shapes
    sha256: str
    encoder: ImageEncoderFile

    @property
    def width(self) -> int:
        """The width of the UNet's cross-attention."""
        return next(shape[-1] for name, shape in self.tensors.items() if "to_k_ip" in name)


FindImageAdapter = Callable[[str, str | None], ImageAdapterFile]


def find_image_adapter(
    name: str, encoder: str | None = None, *, may_fetch: bool = True
) -> ImageAdapterFile:
    """The IP-Adapter that ``name`` means, and its encoder; downloaded if they are not here.

    It may be a file, ``owner/name/FILE`` of the hub, or a web address. ``encoder`` is a folder or a
    hub id; by default it is found near the adapter. Raises ``ModelError`` for a file that is
    missing, damaged, or no IP-Adapter that sdloop supports.
    """
    place = address_of(name, endings=ENDINGS)
    path = file_at(place, may_fetch=may_fetch)
    if path is None:
        raise ModelError(f"ip_adapter must name a file, as in {IP_ADAPTER}, got {name}")
    if path.is_dir():
        raise ModelError(f"ip_adapter must name a file, as in {IP_ADAPTER}, got the folder {name}")
    tensors = {_bare(tensor): shape for tensor, shape in read_header(path).tensors.items()}
    kind, takes = _kind(path, tensors)
    if encoder is not None:
        found = named_encoder(encoder, takes, may_fetch=may_fetch)
    else:
        found = encoder_beside(name, path, place, takes, may_fetch=may_fetch)
    return ImageAdapterFile(
        name=name, path=path, kind=kind, tensors=tensors, sha256=sha256_of(path), encoder=found
    )


def check_image_adapter(file: ImageAdapterFile, unet: Mapping[str, Any], model: str) -> None:
    """Raise ``ModelError`` for an IP-Adapter that was not trained for such a UNet."""
    width = unet.get("cross_attention_dim", 1280)
    widths = set(width) if isinstance(width, list | tuple) else {width}
    if widths != {file.width}:
        raise ModelError(
            f"ip_adapter must be made for the model's family: {file.name} has the "
            f"cross_attention_dim {file.width}, and {model} has "
            f"{', '.join(map(str, sorted(widths)))}"
        )


def _bare(name: str) -> str:
    for section in SECTIONS:
        name = name.removeprefix(section)
    return name


def _kind(path: Path, tensors: Shapes) -> tuple[str, Takes]:
    """The kind of an adapter, and what it takes from its image encoder."""
    if not any(name.endswith(".to_k_ip.weight") for name in tensors):
        found = (what for piece, what in _OTHERS.items() if any(piece in one for one in tensors))
        what = next(found, "not an IP-Adapter: it has no keys for a picture's tokens")
        raise ModelError(f"{path} is {what}")
    if "proj.3.weight" in tensors:
        return "full", Takes(width=tensors["proj.0.weight"][-1], patches=True)
    for name, what in _UNKNOWN.items():
        if name in tensors:
            tokens = tensors[name][0] // tensors.get("norm.weight", (1,))[0]
            what = what.replace("FaceID,", "FaceID Portrait,") if tokens > 4 else what
            raise ModelError(f"{path} is {what}")
    if "proj.weight" in tensors and "norm.weight" in tensors:
        return "base", Takes(width=tensors["proj.weight"][-1], patches=False)
    if "latents" in tensors and "proj_in.weight" in tensors:
        width = tensors["proj_in.weight"][-1]
        if width == 512:  # as long as the embedding of a face
            raise ModelError(f"{path} is an InstantID, {_FACES}")
        return "plus", Takes(width=width, patches=True)
    raise ModelError(f"{path} is an IP-Adapter of a kind that sdloop does not support")
