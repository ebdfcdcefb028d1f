"""Where the second stage of ``hires`` starts: at the enlarged picture of the first one."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from sdloop.images.input.frame import placed
from sdloop.latents.noise import enlarge, latent_size, noise
from sdloop.latents.vae import decode_images, encode, scale, to_pixels
from sdloop.models.components.load import Components
from sdloop.models.components.offload import release
from sdloop.pipeline.initial_latents import Draws, Start
from sdloop.pipeline.upscaler import upscaled
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
        down, across = repeats = _repeats(batch[0])
        sheet = enlarge(latents.repeat(1, 1, *repeats), size[0] * down, size[1] * across)
        clean = _middle(sheet, size, repeats)
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
    """The latents of the pictures after enlarging them with Lanczos, or first with an upscaler."""
    release(components.unet)  # the VAE may need its memory
    vae, rows = components.vae, []
    images = decode_images(components.last_vae, latents)
    (width, height), repeats = recipe.size, _repeats(recipe)
    for image, generator in zip(images, generators, strict=True):
        image = upscaled(recipe, image, components.device)
        sheet = Image.fromarray(np.tile(np.array(image), (*repeats, 1)))
        size = width * repeats[1], height * repeats[0]
        large = to_pixels(placed(sheet, size, resize="crop", around="white"))
        large = _middle(large, (height, width), repeats)
        rows.append(scale(vae, encode(vae, large).draw(generator)))
    return torch.cat(rows)


def _repeats(recipe: Recipe) -> tuple[int, int]:
    """How often a picture stands below and beside itself while it is enlarged.

    The edges of a seamless one are enlarged with what is on their other side.
    """
    down, across = (3 if axis in (recipe.seamless or "") else 1 for axis in "yx")
    return down, across


def _middle(sheet: Tensor, size: tuple[int, int], repeats: tuple[int, int]) -> Tensor:
    (height, width), (top, left) = size, (one // 2 for one in repeats)
    return sheet[..., height * top : height * (top + 1), width * left : width * (left + 1)]
