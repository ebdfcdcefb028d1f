"""Load an IP-Adapter and its image encoder, and turn pictures into tokens with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import init_empty_weights
from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
from PIL.Image import Image
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.clip import View
from sdloop.models.checkpoint.image_adapter import SECTIONS, ImageAdapterFile, check_image_adapter
from sdloop.models.checkpoint.image_encoder import ImageEncoderFile
from sdloop.models.clip.score import seen_as
from sdloop.models.components.image_projection import image_projection, projection_names
from sdloop.models.components.load import Components
from sdloop.models.components.offload import Offload, offload
from sdloop.models.components.picture_attention import KeysAndValues, cross_attentions
from sdloop.models.components.weights import (
    BAD_CONFIG,
    Module,
    empty_module,
    fill,
    read_tensors,
    reason_of,
)


class PictureTokens(NamedTuple):
    """What a UNet is told of pictures, and what stands for none: (1, tokens of all, width)."""

    seen: Tensor
    nothing: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageAdapter:
    """A loaded IP-Adapter; ``layers`` has its keys and values for each layer of the UNet.

    With ``patches`` it takes what the encoder sees in each patch of a picture, else its embedding.
    """

    encoder: Module
    projection: Module
    layers: Module
    view: View
    patches: bool
    device: torch.device
    dtype: torch.dtype

    @property
    def count(self) -> int:
        """The tokens of one picture: a few, or one for each patch and one for the whole."""
        if isinstance(self.projection, ImageProjection):
            return int(self.projection.num_image_text_embeds)
        if isinstance(self.projection, IPAdapterPlusImageProjection):
            return int(self.projection.latents.shape[1])
        config = self.encoder.config
        return int((config.image_size // config.patch_size) ** 2 + 1)

    @torch.no_grad()
    def tokens(self, groups: Sequence[Sequence[Image]], *, guided: bool) -> PictureTokens:
        """The tokens of pictures in RGB; those of a group go through the networks together.

        With ``guided`` also what stands for no picture: tokens of an embedding of zeros, or for
        patches those of a picture of zeros, which is what the adapters were trained with.
        """
        parts = [self._tokens(group, guided=guided) for group in groups if group]
        seen, nothing = zip(*parts, strict=True)
        return PictureTokens(torch.cat(seen, dim=1), torch.cat(nothing, dim=1) if guided else None)

    def _tokens(self, pictures: Sequence[Image], *, guided: bool) -> tuple[Tensor, Tensor | None]:
        pixels = torch.stack([seen_as(picture, self.view) for picture in pictures])
        seen, nothing = self.tokens_of(pixels.to(self.device, self.dtype), guided=guided)
        return seen.flatten(1, 2), None if nothing is None else nothing.flatten(1, 2)

    def tokens_of(self, pixels: Tensor, *, guided: bool) -> tuple[Tensor, Tensor | None]:
        """The same for pictures (pictures, 3, side, side) as the encoder sees them."""
        given = self._embeds(pixels)
        if guided:
            zeros = torch.zeros_like
            nothing = self._embeds(zeros(pixels)) if self.patches else zeros(given)
            given = torch.cat([nothing, given])  # one pass, as in diffusers
        halves = self.projection(given).split(len(pixels))
        return halves[-1][None], halves[0][None] if guided else None

    def _embeds(self, pixels: Tensor) -> Tensor:
        output = self.encoder(pixels, output_hidden_states=self.patches)
        embeds: Tensor = output.hidden_states[-2] if self.patches else output.image_embeds
        return embeds


# The last ones that were loaded, and what for: a worker's next call often needs the same.
_held: dict[tuple[object, ...], ImageAdapter] = {}


def image_adapters_for(
    components: Components, files: Sequence[ImageAdapterFile]
) -> list[ImageAdapter]:
    """The IP-Adapters in ``files``, on the UNet's device and in its precision.

    Where the model's weights are offloaded, its keys and values come and go with the UNet's, and
    its encoder layer by layer, as a text encoder. Raises ``ModelError`` for one of another family
    than the UNet, and for one with a tensor that is missing, extra or not finite.
    """
    name = "the model" if components.checkpoint is None else components.checkpoint.name
    for file in files:
        check_image_adapter(file, components.unet.config, name)
    # To predict memory, they are neither kept nor taken from what is kept.
    if components.device.type == "meta":
        return [_loaded(components, file) for file in files]
    how = components.device, components.dtype, components.memory
    shapes = tuple(one.to_k.weight.shape for one in cross_attentions(components.unet))
    # With offloading, the keys and values are bound to this UNet.
    bound = id(components.unet) if components.memory != "full" else None
    wanted = [(file.sha256, file.encoder.sha256, shapes, bound, *how) for file in files]
    for other in _held.keys() - set(wanted):
        del _held[other]
    for key, file in zip(wanted, files, strict=True):
        if key not in _held:
            _held[key] = _loaded(components, file)
    return [_held[key] for key in wanted]


def forget_image_adapters() -> None:
    """Drop those that are kept."""
    _held.clear()


def _loaded(components: Components, file: ImageAdapterFile) -> ImageAdapter:
    waits = components.memory != "full"
    place = torch.device("cpu") if waits else components.device
    source = f"the IP-Adapter in {file.path}"
    projection, layers = _empty(components.unet, file, source)
    tensors = read_tensors((file.path,), place, components.dtype)
    sections = [
        {name.removeprefix(one): t for name, t in tensors.items() if name.startswith(one)}
        for one in SECTIONS
    ]
    fill(projection, projection_names(file.kind, sections[0]), source, place)
    fill(layers, sections[1], source, place)
    encoder = _encoder(file.encoder, place, components.dtype)
    if waits:
        offload(encoder, Offload(components.device))
        offload(projection, Offload(components.device))
        offload(layers, Offload(components.device))
    return ImageAdapter(
        encoder=encoder,
        projection=projection,
        layers=layers,
        view=file.encoder.view,
        patches=file.kind != "base",
        device=components.device,
        dtype=components.dtype,
    )


def _empty(unet: Module, file: ImageAdapterFile, source: str) -> tuple[Module, Module]:
    """The modules of an adapter for this UNet, without weights."""
    try:
        with init_empty_weights():
            projection = image_projection(file.kind, file.tensors)
            layers = torch.nn.ModuleDict(
                # Numbered as diffusers' attn_processors, where self-attention is every other one.
                {
                    str(2 * index + 1): KeysAndValues(*reversed(attention.to_k.weight.shape))
                    for index, attention in enumerate(cross_attentions(unet))
                }
            )
    except BAD_CONFIG as error:
        raise ModelError(f"{source} has invalid sizes: {reason_of(error)}") from error
    return projection.eval().requires_grad_(False), layers.requires_grad_(False)


def _encoder(file: ImageEncoderFile, place: torch.device, dtype: torch.dtype) -> Any:
    source = f"the image encoder in {file.files[0].parent}"
    module = empty_module("image_encoder", file.config, source)
    # A whole CLIP has its text half and a temperature too.
    tensors = read_tensors(file.files, place, dtype, ("vision_model.", "visual_projection."))
    # Position ids (0, 1, 2 …), which transformers saved until 4.31.
    kept = {n: t for n, t in tensors.items() if not n.endswith("embeddings.position_ids")}
    fill(module, kept, source, place)
    return module
