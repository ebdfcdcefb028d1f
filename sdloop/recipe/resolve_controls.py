"""Resolve ControlNets: the models that they suit, and the hashes of their files."""

import dataclasses
from collections.abc import Mapping

from sdloop.errors import SettingError
from sdloop.images.input.read import check_sha256
from sdloop.recipe.controls import Control
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe


def with_controls(recipe: Recipe, model: Defaults, hashes: Mapping[str, str]) -> Recipe:
    """``recipe`` with the hashes of its ControlNets and of their pictures.

    ``hashes`` has the sha256 of each ``model_key`` and ``image_key``. Raises ``SettingError`` with
    a model or a task that ControlNets do not suit, and ``FileError`` for a file that is not the one
    that the Recipe was made with.
    """
    if not recipe.controls:
        return recipe
    for there, what in (
        (model.max_noise_level is not None, f"upscalers, and {recipe.model} is one"),
        (model.edits, f"InstructPix2Pix models, and {recipe.model} is one"),
        (recipe.growth is not None, "outpainting"),
    ):
        if there:
            raise SettingError.of("controls", f"are not supported by {what}")
    known = tuple(_hashed(one, hashes) for one in recipe.controls)
    return dataclasses.replace(recipe, controls=known)


def model_key(control: Control) -> str:
    """The name of a ControlNet's hash."""
    return f"controls.model {control.model}"


def image_key(control: Control) -> str:
    """The name of the hash of a ControlNet's picture."""
    return f"controls.image {control.image}"


def _hashed(one: Control, hashes: Mapping[str, str]) -> Control:
    for key in (model_key(one), image_key(one)):
        if key not in hashes:
            raise SettingError.of("controls", f"must be found before they are resolved, got {one}")
    model, image = hashes[model_key(one)], hashes[image_key(one)]
    check_sha256(repr(one.model), one.model_sha256, model, what="ControlNet")
    check_sha256(repr(one.image), one.image_sha256, image, what="control picture")
    return dataclasses.replace(one, model_sha256=model, image_sha256=image)
