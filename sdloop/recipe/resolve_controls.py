"""Resolve ControlNets and T2I-Adapters: the models that they suit, their files' hashes."""

import dataclasses
from collections.abc import Mapping

from sdloop.errors import SettingError
from sdloop.images.input.read import check_sha256
from sdloop.recipe.controls import Control, Kind
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.preprocess import MODELS
from sdloop.recipe.recipe import Recipe

_NAMES = {"controls": "ControlNet", "t2i_adapters": "T2I-Adapter"}


def with_controls(recipe: Recipe, model: Defaults, hashes: Mapping[str, str]) -> Recipe:
    """``recipe`` with the hashes of its ControlNets and T2I-Adapters, and of their pictures.

    ``hashes`` has the sha256 of each ``model_key`` and ``image_key``. The tile is resolved.
    Raises ``SettingError`` with a model or a task that they do not suit, and ``FileError`` for a
    file that is not the one that the Recipe was made with.
    """
    if not recipe.controls and not recipe.t2i_adapters:
        return recipe
    for one in (*recipe.controls, *recipe.t2i_adapters):
        _check_suits(one.field, recipe, model)
    if recipe.tile and recipe.t2i_adapters:
        raise SettingError.of(
            "t2i_adapters",
            f"see the whole picture, and cannot be combined with tile, got tile {recipe.tile}",
        )
    _, name = map_model_of(recipe)
    if name is not None:
        if "preprocess_model" not in hashes:
            raise SettingError.of(
                "preprocess_model", f"must be found before the recipe is resolved, got {name!r}"
            )
        sha256 = hashes["preprocess_model"]
        check_sha256(repr(name), recipe.preprocess_model_sha256, sha256, what="preprocess_model")
        recipe = dataclasses.replace(recipe, preprocess_model=name, preprocess_model_sha256=sha256)
    return dataclasses.replace(
        recipe,
        controls=tuple(_hashed(one, hashes) for one in recipe.controls),
        t2i_adapters=tuple(_hashed(one, hashes) for one in recipe.t2i_adapters),
    )


def map_model_of(recipe: Recipe) -> tuple[str, str | None]:
    """The model that makes maps of pictures to follow: its part and name; no name without any."""
    kinds = {one.preprocess for one in (*recipe.controls, *recipe.t2i_adapters)}
    for kind, (part, usual) in MODELS.items():
        if kind in kinds | {recipe.preprocess}:
            return part, usual if recipe.preprocess_model is None else recipe.preprocess_model
    return "", None


def _check_suits(field: str, recipe: Recipe, model: Defaults) -> None:
    for there, what in (
        (model.max_noise_level is not None, f"upscalers, and {recipe.model} is one"),
        (model.edits, f"InstructPix2Pix models, and {recipe.model} is one"),
        (recipe.growth is not None, "outpainting"),
    ):
        if there:
            raise SettingError.of(field, f"are not supported by {what}")


def model_key(control: Control) -> str:
    """The name of a ControlNet's hash."""
    return f"{control.field}.model {control.model}"


def image_key(control: Control) -> str:
    """The name of the hash of a ControlNet's picture."""
    return f"{control.field}.image {control.image}"


def _hashed(one: Kind, hashes: Mapping[str, str]) -> Kind:
    for key in (model_key(one), image_key(one)):
        if key not in hashes:
            raise SettingError.of(one.field, f"must be found before they are resolved, got {one}")
    model, image = hashes[model_key(one)], hashes[image_key(one)]
    check_sha256(repr(one.model), one.model_sha256, model, what=_NAMES[one.field])
    check_sha256(repr(one.image), one.image_sha256, image, what="control picture")
    return dataclasses.replace(one, model_sha256=model, image_sha256=image)
