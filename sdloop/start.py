"""Where the loop starts: at pure noise, or at a picture under as much noise as is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from sdloop.beside import Beside, around_masks, small_pictures
from sdloop.components import Components
from sdloop.conditioning import Conditioning
from sdloop.image import Encoded, encode, scale, to_pixels
from sdloop.inputs import ALPHA, Canvas, OpenImage, canvas, check_sha256, scaled_size
from sdloop.latents import enlarge, latent_size, noise
from sdloop.mask import Kept, blank, latent_mask
from sdloop.recipe import IMAGE_FIELDS, Recipe
from sdloop.schedule import Scheduler


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a batch starts from.

    ``latents`` are where the UNet is, as noisy as the first timestep. ``kept`` is what the loop
    puts back at every step, and ``beside`` what an inpainting UNet or an upscaler sees beside the
    latents.
    """

    latents: Tensor
    kept: Kept | None = None
    beside: Beside | None = None

    def seen_with(self, conditioning: Conditioning) -> Conditioning:
        """``conditioning`` with what the UNet sees beside the latents."""
        if self.beside is None:
            return conditioning
        channels, class_labels = self.beside.channels, self.beside.class_labels
        return replace(conditioning, channels=channels, class_labels=class_labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A picture that was brought, as the VAE sees it.

    ``blanked`` is the picture in grey wherever it is painted, for UNets that see it so. An upscaler
    sees the picture itself, and the VAE never does.
    """

    canvas: Canvas
    encoded: Encoded | None = None
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
    painted. An upscaler starts from noise, after the noise of the picture that it sees beside it.
    """
    recipe = batch[0]  # they all start in the same way
    channels = components.vae.config.latent_channels
    size = latent_size(*recipe.size, components.vae_factor)
    draw = partial(noise, generators, channels, *size)
    if recipe.image is None:
        return Start(latents=draw().to(components.device) * scheduler.init_noise_sigma)
    seen = [look(one) for one in batch]
    if components.max_noise_level is not None:
        beside = _small(components, batch, seen, generators)
        latents = draw().to(components.device) * scheduler.init_noise_sigma
        return Start(latents=latents, beside=beside)
    # Where a mask is painted over from the first step on, nothing of the picture is under it.
    from_noise = recipe.mask is not None and recipe.schedule[1] == 0
    clean = None if from_noise and components.paints else _clean(components, seen, generators)
    if recipe.enlarge == "latent":
        assert clean is not None  # for it has no mask
        clean = enlarge(clean, *size)
    if clean is not None and recipe.mask is not None:
        clean = clean.contiguous()  # as in diffusers, or convolutions round in another order
    drawn = draw().to(components.device)
    latents = drawn * scheduler.init_noise_sigma
    if not from_noise:
        latents = scheduler.add_noise(clean, drawn, timesteps[:1].repeat(len(batch)))
    if recipe.mask is None:
        return Start(latents=latents)
    if components.paints:
        return Start(latents=latents, beside=_around(components, seen, generators))
    draw()  # diffusers encodes the rest of the picture here, for whatever UNet
    assert clean is not None
    masks = [latent_mask(_mask(one), components.vae_factor) for one in seen]
    kept = Kept(clean=clean, noise=drawn, mask=torch.cat(masks).to(components.device))
    return Start(latents=latents, kept=kept)


def _clean(components: Components, seen: Sequence[Seen], generators: Sequence[Generator]) -> Tensor:
    """The latents of the pictures."""
    rows = []
    for one, generator in zip(seen, generators, strict=True):
        assert one.encoded is not None
        rows.append(scale(components.vae, one.encoded.draw(generator)))
    return torch.cat(rows)


def _around(
    components: Components, seen: Sequence[Seen], generators: Sequence[Generator]
) -> Beside:
    masks = [latent_mask(_mask(one), components.vae_factor) for one in seen]
    rests = [one.blanked for one in seen if one.blanked is not None]
    return around_masks(components, masks, rests, generators)


def _small(
    components: Components,
    batch: Sequence[Recipe],
    seen: Sequence[Seen],
    generators: Sequence[Generator],
) -> Beside:
    pictures = [to_pixels(one.canvas.image) for one in seen]
    levels = [one.noise_level for one in batch if one.noise_level is not None]  # all: resolved
    return small_pictures(components, pictures, levels, generators)


def _mask(seen: Seen) -> Image:
    assert seen.canvas.mask is not None
    return seen.canvas.mask


def looking(components: Components, open_image: OpenImage) -> Look:
    """How the pictures that Recipes name are read and encoded: each once, while it is in use.

    Raises ``FileError`` when a picture or a mask is not what its Recipe was resolved with.
    """

    @lru_cache(maxsize=16)
    def seen(recipe: Recipe) -> Seen:
        if components.max_noise_level is not None:
            return Seen(canvas=canvas_of(_small_size(recipe, components.vae_factor), open_image))
        if recipe.enlarge == "latent":
            recipe = _at_own_size(recipe, open_image, components.size_multiple)
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
    start = {"strength": None, "exact_steps": False, "start_step": None, "noise_level": None}
    return Recipe(prompt="", seed=0, **(fields | start))


def _small_size(recipe: Recipe, factor: int) -> Recipe:
    """At the size of the picture that an upscaler enlarges: a pixel for each latent."""
    width, height = recipe.size
    return replace(recipe, width=width // factor, height=height // factor)


def _at_own_size(recipe: Recipe, open_image: OpenImage, multiple: int) -> Recipe:
    """For a picture whose latents are enlarged: it is encoded as small as it came."""
    assert recipe.image is not None
    width, height = scaled_size(open_image(recipe.image).image.size, 1, multiple)
    return replace(recipe, width=width, height=height)


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
