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


class Seer(NamedTuple):
    """An IP-Adapter, and the sha256 of it and its image encoder; None before they are resolved."""

    name: str
    sha256: str | None
    encoder_sha256: str | None


class Shown(NamedTuple):
    """An image prompt, what sees it, and the sha256 of its picture and mask."""

    prompt: ImagePrompt
    sha256: str | None
    mask_sha256: str | None
    seer: Seer


def image_prompts_of(recipe: Recipe) -> list[Shown]:
    """The image prompts in their order."""
    hashes = iter(recipe.image_prompts_sha256 or ())
    shown = []
    for one in map(parse_image_prompt, recipe.image_prompts or ()):
        sha256 = next(hashes, None)
        mask = None if one.file is None else next(hashes, None)
        if one.adapter is not None:
            seer = Seer(one.adapter, next(hashes, None), next(hashes, None))
        else:
            assert recipe.ip_adapter is not None  # the Recipe was checked
            seer = Seer(recipe.ip_adapter, recipe.ip_adapter_sha256, recipe.image_encoder_sha256)
        shown.append(Shown(one, sha256, mask, seer))
    return shown


def shown_in(recipe: Recipe) -> list[Shown]:
    """Those that change the picture, adapter by adapter in the order of their first pictures.

    Of each first those that are seen together, then those with a place. The order of those that are
    seen together changes nothing but rounding, and is kept.
    """
    shown = [one for one in image_prompts_of(recipe) if one.prompt.scale]
    names = [one.seer.name for one in shown]
    return sorted(shown, key=lambda one: (names.index(one.seer.name), one.prompt.placed))


def adapters_of(recipe: Recipe) -> list[str]:
    """The names of the IP-Adapters of a Recipe's image prompts."""
    return list(dict.fromkeys(one.seer.name for one in image_prompts_of(recipe)))


def picture_key(image: str) -> str:
    """The name of the hash of an image prompt's picture."""
    return f"{FIELD} {image}"


def adapter_keys(name: str) -> tuple[str, str]:
    """The names of the hashes of an IP-Adapter and its image encoder."""
    return f"ip_adapter {name}", f"image_encoder {name}"


def with_image_prompts(
    recipe: Recipe, model: Defaults, hashes: Mapping[str, str], whole: Size
) -> Recipe:
    """``recipe`` with the hashes of its image prompts, their masks, the adapter and its encoder.

    ``hashes`` has the sha256 of each ``picture_key`` and of the ``adapter_keys``, and ``whole`` is
    the size of the picture that masks are for. Raises ``SettingError`` with a model or
    a task that they do not suit, and ``FileError`` for a file that is not the one that the Recipe
    was made with.
    """
    if recipe.image_prompts is None:
        return recipe
    shown = image_prompts_of(recipe)
    _check_suits(recipe, model, placed=any(one.prompt.placed for one in shown))
    for key in (
        *(key for one in shown for key in adapter_keys(one.seer.name)),
        *(picture_key(one.prompt.image) for one in shown),
    ):
        if key not in hashes:
            raise SettingError.of(FIELD, f"must be found before they are resolved, got {key}")
    files, found = [], []
    for one, *_ in shown:
        files.append(one.image)
        found.append(hashes[picture_key(one.image)])
        if one.file is not None:
            files.append(one.file)
            found.append(placed_mask_sha256(one.file, whole, of="an image prompt"))
        if one.adapter is not None:
            files += [one.adapter, recipe.image_encoder or one.adapter]
            found += [hashes[key] for key in adapter_keys(one.adapter)]
    check_hashes("image_prompts_sha256", files, recipe.image_prompts_sha256, found)
    recipe = dataclasses.replace(recipe, image_prompts_sha256=tuple(found))
    if recipe.ip_adapter is None:
        return recipe
    found = [hashes[key] for key in adapter_keys(recipe.ip_adapter)]
    for (name, what), sha256 in zip(_ADAPTER.items(), found, strict=True):
        source = repr(getattr(recipe, name) or recipe.ip_adapter)
        check_sha256(source, getattr(recipe, f"{name}_sha256"), sha256, what=what)
    return dataclasses.replace(recipe, ip_adapter_sha256=found[0], image_encoder_sha256=found[1])


def _check_suits(recipe: Recipe, model: Defaults, *, placed: bool) -> None:
    for there, what in (
        (model.max_noise_level is not None, f"upscalers, and {recipe.model} is one"),
        (model.edits, f"InstructPix2Pix models, and {recipe.model} is one"),
    ):
        if there:
            raise SettingError.of(FIELD, f"are not supported by {what}")
    if placed and recipe.growth is not None:
        raise SettingError.of(FIELD, "must have no place with outpainting, whose windows move")
