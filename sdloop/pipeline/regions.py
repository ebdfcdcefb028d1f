"""From the regions of Recipes to those of the loop: where each prompt counts."""

from collections.abc import Callable
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.errors import SettingError
from sdloop.images.input.mask import grey_mask
from sdloop.images.input.read import check_sha256, open_image
from sdloop.latents.noise import noise, seeded_generators
from sdloop.latents.regions import Regions, region_shares
from sdloop.latents.vae import encode, scale
from sdloop.models.components.load import Components
from sdloop.pipeline.input_images import EncodeInput
from sdloop.pipeline.stage import Stage
from sdloop.recipe.image_prompts import ImagePrompt
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.regions import Box, Region
from sdloop.recipe.resolve_regions import regions_of
from sdloop.rules import Size


def regions_in(stage: Stage, encode_input: EncodeInput) -> Regions | None:
    """The regions of a batch, on the UNet's device; None without any.

    Raises ``FileError`` for a mask that has changed since its Recipe was resolved, and
    ``SettingError`` for a region that is nowhere in the part of the picture that the loop works on.
    """
    components, batch = stage.components, stage.batch
    rows = [_shares(components, recipe, encode_input) for recipe in batch if regions_of(recipe)]
    if not rows:
        return None
    shares = torch.cat(rows, dim=1).to(components.device)
    generators = seeded_generators([one.seed for one in batch], batch[0].rng)
    drawn = noise(generators, components.vae.config.latent_channels, *shares.shape[-2:])
    return Regions(
        shares=shares,
        inside=shares[1:] > 0,
        empty=_empty(components).to(components.device),
        noise=drawn.to(components.device),
        alone_above=_alone_above(stage),
    )


@torch.no_grad()
def _empty(components: Components) -> Tensor:
    """A plain light grey as latents, (1, channels, 1, 1): the mean of a small picture of it."""
    side = 16 * components.vae_factor
    pixels = torch.full((1, 3, side, side), 0.85)
    mean = encode(components.vae, pixels).mean
    return scale(components.vae, mean).mean(dim=(-2, -1), keepdim=True).float()


def _alone_above(stage: Stage) -> float:
    """The noise level down to which each region is alone: that of the first step without it."""
    share = stage.batch[0].region_alone
    assert share is not None  # resolved
    pairs = zip(stage.places, stage.sigmas, strict=True)
    return max((sigma for place, sigma in pairs if place >= share), default=0.0)


def only_seen(
    conditioning: Conditioning, regions: Regions | None
) -> tuple[Conditioning, Regions | None]:
    """Both without the main prompt if regions cover each picture: the UNet need not run on it."""
    if regions is None or regions.shares[0].any():
        return conditioning, regions
    return conditioning.of_regions_alone(), regions.alone()


def _shares(components: Components, recipe: Recipe, encode_input: EncodeInput) -> Tensor:
    named = regions_of(recipe)
    masks = [mask_in("regions", one, sha256, recipe, encode_input) for one, sha256 in named]
    return region_shares(masks, [one.weight for one, _ in named], components.vae_factor)


def mask_in(
    field: str,
    placed: Region | ImagePrompt,
    sha256: str | None,
    recipe: Recipe,
    encode_input: EncodeInput,
) -> Image.Image:
    """The mask of what is placed, at the size of the output; ``sha256`` is that of its file.

    With an input picture, it is placed as the picture is. Raises ``FileError`` for a file that has
    changed, and ``SettingError``, about ``field``, for a mask of nothing in the part that is made.
    """
    drawn = _drawn(placed.file, placed.box, sha256)
    if recipe.image is None:
        mask = drawn(recipe.size)
    else:
        canvas = encode_input(recipe).canvas
        mask = canvas.placed_like(drawn(canvas.source), recipe.size)
    if mask.getbbox() is None:
        raise SettingError.of(
            field, f"must be in the part of the picture that is made, got {str(placed)!r}"
        )
    return mask


def _drawn(file: str | None, box: Box | None, sha256: str | None) -> Callable[[Size], Image.Image]:
    """A function that gives a mask at the size of the whole picture."""
    if file is not None:
        mask = open_image(file)
        check_sha256(mask.name, sha256, mask.sha256, what="mask")
        return lambda size: grey_mask(mask, size)
    assert box is not None
    return partial(_box, box)


def _box(box: Box, size: Size) -> Image.Image:
    """The mask of a box, whose corners are rounded to whole pixels."""
    (left, top, width, height), (across, down) = box, size
    corner = round(left * across), round(top * down)
    opposite = round((left + width) * across), round((top + height) * down)
    mask = Image.new("L", size, 0)
    mask.paste(255, (*corner, *opposite))
    return mask
