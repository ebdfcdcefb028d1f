"""Where the loop starts: at pure noise, or at a picture under as much noise as is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from sdloop.components import Components
from sdloop.image import Encoded, encode, scale, to_pixels
from sdloop.inputs import ALPHA, Canvas, OpenImage, canvas, check_sha256
from sdloop.latents import latent_size, noise, varied
from sdloop.mask import Kept, blank, latent_mask
from sdloop.recipe import IMAGE_FIELDS, Recipe
from sdloop.schedule import Scheduler


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a batch starts from.

    ``latents`` are where the UNet is, as noisy as the first timestep. ``kept`` is what the loop
    puts back at every step, and ``channels`` what an inpainting UNet sees beside the latents: its
    mask, and the latents of the pictures without what the mask covers.
    """

    latents: Tensor
    kept: Kept | None = None
    channels: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A picture that was brought, as the VAE sees it.

    ``blanked`` is the picture in grey wherever it is painted, for UNets that see it so.
    """

    canvas: Canvas
    encoded: Encoded
    blanked: Encoded | None = None


Look = Callable[[Recipe], Seen]


def start(
    components: Components,
    batch: Sequence[Recipe],
    scheduler: Scheduler,
    timesteps: Tensor,
    generators: Sequence[Generator],
    *,
    look: Look,
) -> Start:
    """What the loop starts from; ``set_steps`` must have run for ``timesteps``.

    Each picture draws from its own generator, and in diffusers' order: the latents of the picture
    that it starts from, if it does, then the noise, then the latents of that picture less what is
    painted.
    """
    recipe = batch[0]  # they all start in the same way
    channels = components.vae.config.latent_channels
    size = latent_size(*recipe.size, components.vae_factor)
    draw = partial(noise, generators, channels, *size)
    if recipe.image is None:
        return Start(
            latents=_varied(draw(), batch).to(components.device) * scheduler.init_noise_sigma
        )
    seen = [look(one) for one in batch]
    # Where a mask is painted over from the first step on, nothing of the picture is under it.
    from_noise = recipe.mask is not None and recipe.schedule[1] == 0
    clean = None if from_noise and components.paints else _clean(components, seen, generators)
    if clean is not None and recipe.mask is not None:
        clean = clean.contiguous()  # as in diffusers, or convolutions round in another order
    drawn = _varied(draw(), batch).to(components.device)
    latents = drawn * scheduler.init_noise_sigma
    if not from_noise:
        latents = scheduler.add_noise(clean, drawn, timesteps[:1].repeat(len(batch)))
    if recipe.mask is None:
        return Start(latents=latents)
    if components.paints:
        return Start(latents=latents, channels=_beside(components, seen, generators))
    draw()  # diffusers encodes the rest of the picture here, for whatever UNet
    assert clean is not None
    masks = [latent_mask(_mask(one), components.vae_factor) for one in seen]
    kept = Kept(clean=clean, noise=drawn, mask=torch.cat(masks).to(components.device))
    return Start(latents=latents, kept=kept)


def _varied(noise: Tensor, batch: Sequence[Recipe]) -> Tensor:
    """``noise`` with that of the Recipes' variation seeds in it."""
    rows = []
    for place, one in enumerate(batch):
        row = noise[place : place + 1]
        if one.variation_seed is not None and one.variation_strength:
            row = varied(row, one.variation_seed, one.variation_strength)
        rows.append(row)
    return torch.cat(rows)


def _clean(components: Components, seen: Sequence[Seen], generators: Sequence[Generator]) -> Tensor:
    """The latents of the pictures."""
    vae = components.vae
    pairs = zip(seen, generators, strict=True)
    return torch.cat([scale(vae, one.encoded.draw(generator)) for one, generator in pairs])


def _beside(
    components: Components, seen: Sequence[Seen], generators: Sequence[Generator]
) -> Tensor:
    """What an inpainting UNet sees: where it paints, and the latents of what is not painted.

    Of a mask in grey it sees only black and white: it was trained with nothing else.
    """
    rows = []
    for one, generator in zip(seen, generators, strict=True):
        assert one.blanked is not None
        rest = scale(components.vae, one.blanked.draw(generator))
        mask = latent_mask(_mask(one), components.vae_factor).to(rest.device)
        rows.append(torch.cat([(mask >= 0.5).float(), rest], dim=1))
    return torch.cat(rows)


def _mask(seen: Seen) -> Image:
    assert seen.canvas.mask is not None
    return seen.canvas.mask


def looking(components: Components, open_image: OpenImage) -> Look:
    """How the pictures that Recipes name are read and encoded: each once, while it is in use.

    Raises ``FileError`` when a picture or a mask is not what its Recipe was resolved with.
    """

    @lru_cache(maxsize=16)
    def seen(recipe: Recipe) -> Seen:
        canvas = canvas_of(recipe, open_image)
        pixels = to_pixels(canvas.image)
        blanked = None
        if canvas.mask is not None and components.paints:
            blanked = encode(components.vae, blank(pixels, canvas.mask))
        return Seen(canvas=canvas, encoded=encode(components.vae, pixels), blanked=blanked)

    return lambda recipe: seen(_only_pictures(recipe))


def _only_pictures(recipe: Recipe) -> Recipe:
    """``recipe`` with nothing in it that makes no difference to how its picture is seen."""
    fields = {name: getattr(recipe, name) for name in (*IMAGE_FIELDS, "width", "height")}
    start = {"strength": None, "exact_steps": False, "start_step": None}
    return Recipe(prompt="", seed=0, **(fields | start))


def canvas_of(recipe: Recipe, open_image: OpenImage) -> Canvas:
    """The picture that a resolved Recipe starts from, and its mask, as it is worked on."""
    assert recipe.image and recipe.resize and recipe.background  # resolved
    picture = open_image(recipe.image)
    check_sha256(picture.name, recipe.image_sha256, picture.sha256)
    drawn = None
    if recipe.mask not in (None, ALPHA):
        drawn = open_image(str(recipe.mask))
        check_sha256(drawn.name, recipe.mask_sha256, drawn.sha256, what="mask")
    return canvas(
        picture,
        drawn,
        recipe.size,
        resize=recipe.resize,
        background=recipe.background,
        masked=recipe.mask is not None,
        blur=recipe.mask_blur,
        invert=recipe.invert_mask,
        margin=recipe.mask_margin,
    )
