"""From the regions of Recipes to the shares of their prompts at each place of the latents."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.errors import SettingError
from sdloop.images.input.mask import grey_mask
from sdloop.images.input.read import check_sha256, open_image
from sdloop.latents.regions import region_shares
from sdloop.models.components.load import Components
from sdloop.pipeline.input_images import EncodeInput
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.regions import Box, Region
from sdloop.recipe.resolve_regions import regions_of
from sdloop.rules import Size


def shares_of(
    components: Components, batch: Sequence[Recipe], encode_input: EncodeInput
) -> Tensor | None:
    """The shares of the prompts of a batch, (1 + regions, batch, 1, height, width).

    They are float32, on the UNet's device; None without regions. Raises ``FileError`` for a mask
    that has changed since its Recipe was resolved, and ``SettingError`` for a region that is
    nowhere in the part of the picture that the loop works on.
    """
    rows = [_shares(components, recipe, encode_input) for recipe in batch if regions_of(recipe)]
    return torch.cat(rows, dim=1).to(components.device) if rows else None


def only_seen(
    conditioning: Conditioning, shares: Tensor | None
) -> tuple[Conditioning, Tensor | None]:
    """Both without the main prompt if regions cover each picture: the UNet need not run on it."""
    if shares is None or shares[0].any():
        return conditioning, shares
    return conditioning.of_regions_alone(), shares[1:]


def _shares(components: Components, recipe: Recipe, encode_input: EncodeInput) -> Tensor:
    named = regions_of(recipe)
    masks = [_framed(_drawn(one, sha256), recipe, encode_input) for one, sha256 in named]
    for mask, (one, _) in zip(masks, named, strict=True):
        if mask.getbbox() is None:
            raise SettingError.of(
                "regions", f"must be in the part of the picture that is made, got {str(one)!r}"
            )
    return region_shares(masks, [one.weight for one, _ in named], components.vae_factor)


def _framed(
    drawn: Callable[[Size], Image.Image], recipe: Recipe, encode_input: EncodeInput
) -> Image.Image:
    """A mask at the size of the output; an input picture's mask is placed as the picture is."""
    if recipe.image is None:
        return drawn(recipe.size)
    canvas = encode_input(recipe).canvas
    return canvas.placed_like(drawn(canvas.source), recipe.size)


def _drawn(region: Region, sha256: str | None) -> Callable[[Size], Image.Image]:
    """A function that gives the region's mask at the size of the whole picture."""
    if region.file is not None:
        mask = open_image(region.file)
        check_sha256(mask.name, sha256, mask.sha256, what="mask")
        return lambda size: grey_mask(mask, size)
    assert region.box is not None
    return partial(_box, region.box)


def _box(box: Box, size: Size) -> Image.Image:
    """The mask of a box, whose corners are rounded to whole pixels."""
    (left, top, width, height), (across, down) = box, size
    corner = round(left * across), round(top * down)
    opposite = round((left + width) * across), round((top + height) * down)
    mask = Image.new("L", size, 0)
    mask.paste(255, (*corner, *opposite))
    return mask
