"""Resolve regions: the hashes of their masks."""

import dataclasses

from sdloop.errors import FileError, SettingError
from sdloop.images.input.mask import check_proportions, grey_mask
from sdloop.images.input.read import bytes_of, read_image
from sdloop.recipe.limits import REGION_ALONE
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.recorded_hashes import check_hashes
from sdloop.recipe.regions import Region, parse_region
from sdloop.rules import Size
from sdloop.schedulers.names import SCHEDULERS


def masks_of(recipe: Recipe) -> list[tuple[Region, str | None]]:
    """The regions, each with the sha256 of its mask if it has one, and the Recipe is resolved."""
    hashes = iter(recipe.regions_sha256 or ())
    named = [parse_region(text) for text in recipe.regions or ()]
    return [(one, next(hashes, None) if one.file is not None else None) for one in named]


def regions_of(recipe: Recipe) -> list[tuple[Region, str | None]]:
    """The same, but only the regions that change the picture: those with a weight."""
    return [(one, sha256) for one, sha256 in masks_of(recipe) if one.weight]


def with_regions(recipe: Recipe, whole: Size) -> Recipe:
    """``recipe`` with the hashes of its masks; ``whole`` is the size of the picture they are for.

    Raises ``FileError`` for a mask that is not a picture, is black, has other proportions than the
    picture, or is not the one that the Recipe was made with.
    """
    if recipe.regions is None:
        return recipe
    if recipe.growth is not None:
        raise SettingError.of("regions", "cannot be combined with outpainting")
    files = [one.file for one in map(parse_region, recipe.regions) if one.file is not None]
    hashes = tuple(placed_mask_sha256(file, whole, of="a region") for file in files)
    check_hashes("regions_sha256", files, recipe.regions_sha256, hashes, what="mask")
    edm = recipe.scheduler is not None and "edm" in SCHEDULERS[recipe.scheduler].knows
    if edm and recipe.region_alone:
        raise SettingError.of(
            "region_alone", f"must be 0 with EDM schedulers, got {recipe.region_alone:g}"
        )
    usual = 0.0 if edm else REGION_ALONE
    alone = usual if recipe.region_alone is None else recipe.region_alone
    return dataclasses.replace(recipe, regions_sha256=hashes or None, region_alone=alone)


def placed_mask_sha256(file: str, whole: Size, *, of: str) -> str:
    """The sha256 of a mask for a picture of the size ``whole``, after a check that it is one.

    ``of`` says what it belongs to, for messages.
    """
    mask = read_image(bytes_of(file), repr(file))
    check_proportions(mask.name, mask.image.size, "the picture", whole, f"{of}'s mask")
    if grey_mask(mask, mask.image.size, tell=True).getbbox() is None:
        raise FileError(f"{mask.name} is completely black: as a mask it marks no region")
    return mask.sha256
