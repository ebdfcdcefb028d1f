"""Check that a picture can be seamless."""

from sdloop.errors import SettingError
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_multiple


def check_seamless(recipe: Recipe, model: Defaults) -> None:
    """Raise ``SettingError`` for sides or settings with which it would not be; all is resolved."""
    if recipe.seamless is None:
        return
    for there, what in (
        (model.max_noise_level is not None, f"upscalers, and {recipe.model} is one"),
        (recipe.growth is not None, "outpainting, whose windows have edges"),
        (recipe.mask_margin is not None, "mask_margin, which cuts out a part of the picture"),
        (recipe.upscaler is not None, "upscaler, which sees the edges of a picture as edges"),
        (recipe.tile, f"tile, whose windows have edges, got tile {recipe.tile}"),
    ):
        if there:
            raise SettingError.of("seamless", f"cannot be combined with {what}")
    multiple = max(_multiple(one) for one in (model, model.refiner) if one is not None)
    for axis, name, side in zip("xy", ("width", "height"), recipe.size, strict=True):
        if axis in recipe.seamless:
            check_multiple(name, side, multiple, why="for a seamless picture of this model")
            if round(side * (recipe.hires or 1)) % multiple:
                raise SettingError.of(
                    "hires",
                    f"must make sides that are multiples of {multiple} for a seamless picture, "
                    f"got {recipe.hires:g}, which makes the {name} {side * (recipe.hires or 1):g}",
                )


def _multiple(model: Defaults) -> int:
    """The pixels for each place in the UNet's deepest level.

    Elsewhere the halves of an odd number of places would not meet at the edges.
    """
    levels = len(model.unet_config["block_out_channels"])
    return int(model.size_multiple * 2 ** (levels - 1))
