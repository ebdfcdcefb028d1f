"""Resolve image prompts: the models that they suit, the hashes of pictures, masks and adapter."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from sdloop.errors import SettingError
from sdloop.images.input.read import check_sha256
from sdloop.recipe.image_prompts import FIELD, ImagePrompt, parse_image_prompt
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.recorded_hashes import check_hashes
from sdloop.recipe.resolve_regions import placed_mask_sha256
from sdloop.rules import Size

_ADAPTER = {"ip_adapter": "IP-Adapter", "image_encoder": "image encoder"}


class Shown(NamedTuple):
    """An image prompt, and the sha256 of its picture and mask; None before they are resolved."""

    prompt: ImagePrompt
    sha256: str | None
    mask_sha256: str | None


def image_prompts_of(recipe: Recipe) -> list[Shown]:
    """The image prompts in their order."""
    hashes = iter(recipe.image_prompts_sha256 or ())
    named = map(parse_image_prompt, recipe.image_prompts or ())
    return [
        Shown(one, next(hashes, None), None if one.file is None else next(hashes, None))
        for one in named
    ]


def shown_in(recipe: Recipe) -> list[Shown]:
    """Those that change the picture: first those that are seen together, then those with a place.

    The order of those that are seen together changes nothing but rounding, and is kept.
    """
    shown = [one for one in image_prompts_of(recipe) if one.prompt.scale]
    return sorted(shown, key=lambda one: one.prompt.placed)


def picture_key(image: str) -> str:
    """The name of the hash of an image prompt's picture."""
    return f"{FIELD} {image}"


def with_image_prompts(
    recipe: Recipe, model: Defaults, hashes: Mapping[str, str], whole: Size
) -> Recipe:
    """``recipe`` with the hashes of its image prompts, their masks, the adapter and its encoder.

    ``hashes`` has the sha256 of each ``picture_key``, of "ip_adapter" and of "image_encoder", and
    ``whole`` is the size of the picture that masks are for. Raises ``SettingError`` with a model or
    a task that they do not suit, and ``FileError`` for a file that is not the one that the Recipe
    was made with.
    """
    if recipe.image_prompts is None:
        return recipe
    shown = image_prompts_of(recipe)
    _check_suits(recipe, model, placed=any(one.prompt.placed for one in shown))
    for key in (*_ADAPTER, *(picture_key(one.prompt.image) for one in shown)):
        if key not in hashes:
            raise SettingError.of(FIELD, f"must be found before they are resolved, got {key}")
    files, found = [], []
    for one, _, _ in shown:
        files.append(one.image)
        found.append(hashes[picture_key(one.image)])
        if one.file is not None:
            files.append(one.file)
            found.append(placed_mask_sha256(one.file, whole, of="an image prompt"))
    check_hashes("image_prompts_sha256", files, recipe.image_prompts_sha256, found)
    for name, what in _ADAPTER.items():
        source = repr(getattr(recipe, name) or recipe.ip_adapter)
        check_sha256(source, getattr(recipe, f"{name}_sha256"), hashes[name], what=what)
    return dataclasses.replace(
        recipe,
        image_prompts_sha256=tuple(found),
        ip_adapter_sha256=hashes["ip_adapter"],
        image_encoder_sha256=hashes["image_encoder"],
    )


def _check_suits(recipe: Recipe, model: Defaults, *, placed: bool) -> None:
    for there, what in (
        (model.max_noise_level is not None, f"upscalers, and {recipe.model} is one"),
        (model.edits, f"InstructPix2Pix models, and {recipe.model} is one"),
    ):
        if there:
            raise SettingError.of(FIELD, f"are not supported by {what}")
    if placed and recipe.growth is not None:
        raise SettingError.of(FIELD, "must have no place with outpainting, whose windows move")
