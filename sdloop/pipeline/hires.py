"""Where the second stage of ``hires`` starts: at the enlarged picture of the first one."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from sdloop.images.input.frame import placed
from sdloop.latents.noise import enlarge, latent_size, noise
from sdloop.latents.vae import decode_images, encode, scale, to_pixels
from sdloop.models.components.load import Components
from sdloop.models.components.offload import release
from sdloop.pipeline.initial_latents import Draws, Start
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import Scheduler


def enlarged_start(
    components: Components,
    batch: Sequence[Recipe],
    latents: Tensor,
    scheduler: Scheduler,
    timesteps: Tensor,
    generators: Sequence[Generator],
) -> Start:
    """The second stage's start: the enlarged pictures from the first stage's ``latents``.

    Noise is drawn as in img2img, so both stages together give the same as making the small picture
    first and then enlarging its file.
    """
    size = latent_size(*batch[0].size, components.vae_factor)
    if batch[0].enlarge == "latent":
        clean = enlarge(latents, *size)
    else:
        clean = _through_pixels(components, batch[0], latents, generators).to(latents.device)
    if batch[0].rng is None:
        drawn = noise(generators, components.vae.config.latent_channels, *size).to(clean.device)
    else:  # A1111 mixes the variation seed into this noise too
        drawn = Draws(components=components, batch=batch, generators=generators).noise()
    noisy = scheduler.add_noise(clean, drawn, timesteps[:1].repeat(len(batch)))
    return Start(latents=noisy)


def _through_pixels(
    components: Components, recipe: Recipe, latents: Tensor, generators: Sequence[Generator]
) -> Tensor:
    """The latents of the pictures after enlarging them with the Lanczos filter."""
    release(components.unet)  # the VAE may need its memory
    vae, rows = components.vae, []
    images = decode_images(components.last_vae, latents)
    for image, generator in zip(images, generators, strict=True):
        large = placed(image, recipe.size, resize="crop", around="white")
        rows.append(scale(vae, encode(vae, to_pixels(large)).draw(generator)))
    return torch.cat(rows)
