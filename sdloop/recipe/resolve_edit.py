"""Resolve the settings of depth models and of InstructPix2Pix, which change a given picture."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.images.input.read import InputFacts, check_sha256
from sdloop.prompt.compose import parts
from sdloop.recipe.fields_image import GROWTH, MASK
from sdloop.recipe.limits import IMAGE_GUIDANCE_SCALE
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.task import START_FIELDS, refuse

# What is made for two predictions, and not for the three of InstructPix2Pix.
_TWO_WAYS = ("guidance", "pag_scale", "slg_scale", "losses", "regions")


def with_edit(recipe: Recipe, model: Defaults, picture: InputFacts | None) -> Recipe:
    """``recipe`` with the depth map's hash, or with its default image_guidance_scale.

    Raises ``SettingError`` without an input picture, and for settings that such models do not
    support.
    """
    _check_only_there(recipe, model)
    if not model.sees_depth and not model.edits:
        return recipe
    what = "a depth model" if model.sees_depth else "an InstructPix2Pix model"
    if picture is None:
        raise SettingError.of(
            "image", f"must be given for {recipe.model}, which is {what}: use `sdloop img2img`"
        )
    supported = f"not supported by {what}, and {recipe.model} is one"
    refuse(recipe, (*MASK, *GROWTH), supported)
    return _with_depth(recipe, model, picture) if model.sees_depth else _edited(recipe, supported)


def _check_only_there(recipe: Recipe, model: Defaults) -> None:
    for name, able, what in (
        ("depth_map", model.sees_depth, "a depth model"),
        ("image_guidance_scale", model.edits, "an InstructPix2Pix model"),
    ):
        if getattr(recipe, name) is not None and not able:
            raise SettingError.of(name, f"needs {what}, and {recipe.model} is not one")


def _with_depth(recipe: Recipe, model: Defaults, picture: InputFacts) -> Recipe:
    if recipe.depth_map is None:
        if not model.estimates_depth:
            raise SettingError.of(
                "depth_map", f"must be given: {recipe.model} has no depth_estimator"
            )
        return recipe
    assert picture.depth_sha256 is not None
    check_sha256(
        repr(recipe.depth_map), recipe.depth_map_sha256, picture.depth_sha256, what="depth map"
    )
    return dataclasses.replace(recipe, depth_map_sha256=picture.depth_sha256)


def _edited(recipe: Recipe, supported: str) -> Recipe:
    """It starts from noise, so there is no strength."""
    refuse(recipe, (*START_FIELDS, *_TWO_WAYS, "factor", "enlarge"), supported)
    if recipe.emphasis != "none" and len(parts(recipe.prompt)) > 1:
        raise SettingError.of("prompt", f"must not combine prompts with AND: that is {supported}")
    scale = recipe.image_guidance_scale
    if scale is not None and recipe.guidance_scale == 1:
        raise SettingError.of(
            "image_guidance_scale",
            f"needs guidance, and guidance_scale 1 switches it off, got {scale:g}",
        )
    usual = IMAGE_GUIDANCE_SCALE if recipe.guidance_scale != 1 else None
    return dataclasses.replace(recipe, image_guidance_scale=usual if scale is None else scale)
