"""Where the loop starts: at pure noise, or at a picture under as much noise as is asked for."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Generator, Tensor

from sdloop.components import Components
from sdloop.image import Encoded, encode, scale
from sdloop.inputs import OpenImage, check_sha256, framed
from sdloop.latents import latent_size, noise
from sdloop.recipe import Recipe
from sdloop.rules import Size
from sdloop.schedule import Scheduler

EncodeImage = Callable[[Recipe], Encoded]


def first_latents(
    components: Components,
    batch: Sequence[Recipe],
    scheduler: Scheduler,
    timesteps: Tensor,
    generators: Sequence[Generator],
    *,
    encode_image: EncodeImage,
) -> Tensor:
    """What the loop starts from, where the UNet is, as noisy as the first of ``timesteps``.

    ``set_steps`` must have run. Each picture draws from its own generator, in diffusers' order:
    the latents of the picture that it starts from, if it does, then the noise.
    """
    clean = [
        scale(components.vae, encode_image(recipe).draw(generator))
        for recipe, generator in zip(batch, generators, strict=True)
        if recipe.image is not None
    ]
    size = latent_size(*batch[0].size, components.vae_factor)
    drawn = noise(generators, components.vae.config.latent_channels, *size).to(components.device)
    if not clean:
        pure: Tensor = drawn * scheduler.init_noise_sigma
        return pure
    noisy: Tensor = scheduler.add_noise(
        torch.cat(clean), drawn, timesteps[:1].repeat(len(generators))
    )
    return noisy


def image_encoder(components: Components, open_image: OpenImage) -> EncodeImage:
    """How the pictures that Recipes name are encoded: each once, while its seeds follow each other.

    Raises ``FileError`` when a picture is not the one that its Recipe was resolved with.
    """

    @lru_cache(maxsize=16)
    def encoded(name: str, sha256: str, size: Size, resize: str, background: str) -> Encoded:
        picture = open_image(name)
        check_sha256(picture.name, sha256, picture.sha256)
        return encode(components.vae, framed(picture, size, resize=resize, background=background))

    def encode_image(recipe: Recipe) -> Encoded:
        name, sha256, size = recipe.image, recipe.image_sha256, recipe.size
        resize, background = recipe.resize, recipe.background
        assert name and sha256 and resize and background  # resolved
        return encoded(name, sha256, size, resize, background)

    return encode_image
