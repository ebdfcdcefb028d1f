"""Training pictures, encoded: latents at the model's native size, also of the mirror images."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import ImageOps
from torch import Generator, Tensor

from sdloop.images.input.frame import framed
from sdloop.images.input.read import InputImage
from sdloop.latents.vae import Encoded, encode, scale, to_pixels
from sdloop.models.components.load import Components


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Encoded pictures: each unchanged and mirrored. ``sha256`` is the hash of all files."""

    plain: Sequence[Encoded]
    mirrored: Sequence[Encoded]
    sha256: str


def encoded_pictures(components: Components, images: Iterable[InputImage]) -> Pictures:
    """Encode each picture once, cropped to the size that the model was trained at."""
    plain, mirrored, together = [], [], hashlib.sha256()
    for image in images:
        picture = framed(image, components.native_size, resize="crop", background="#ffffff")
        plain.append(encode(components.vae, to_pixels(picture)))
        mirrored.append(encode(components.vae, to_pixels(ImageOps.mirror(picture))))
        together.update(bytes.fromhex(image.sha256))
    return Pictures(plain=plain, mirrored=mirrored, sha256=together.hexdigest())


def draw_latents(
    components: Components, pictures: Pictures, count: int, generator: Generator, *, flips: bool
) -> Tensor:
    """Draw the latents of ``count`` random pictures, (count, channels, height, width)."""
    chosen = torch.randint(len(pictures.plain), (count,), generator=generator).tolist()
    turned = torch.rand(count, generator=generator).tolist()
    drawn = [
        (pictures.mirrored if flips and turn < 0.5 else pictures.plain)[index].draw(generator)
        for index, turn in zip(chosen, turned, strict=True)
    ]
    return scale(components.vae, torch.cat(drawn))
