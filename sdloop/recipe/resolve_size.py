"""Resolve the size of a picture, from noise or from an input picture, and its first step."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.images.input.canvas import surroundings
from sdloop.images.input.frame import BACK, output_size
from sdloop.images.input.read import InputFacts, MaskFacts, check_sha256
from sdloop.recipe.fields_image import MASK
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_enlarge import with_factor, with_hires
from sdloop.recipe.resolve_outpaint import with_growth
from sdloop.recipe.strength import (
    DEFAULT_STRENGTH,
    check_spaced,
    check_strength,
    least_strength,
)
from sdloop.recipe.task import (
    HIRES_FIELDS,
    IMAGE_FIELDS,
    refuse,
    usual_size,
    with_noise_level,
)
from sdloop.rules import check_whole
from sdloop.schedulers.names import BY_STRENGTH


def size_from_noise(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with its sizes, for a picture from noise."""
    if recipe.image is not None:
        raise SettingError.of(
            "image", f"must be opened before the recipe is resolved, got {recipe.image!r}"
        )
    hires = recipe.hires is not None
    follows = bool(recipe.controls or recipe.t2i_adapters)
    recipe = _with_fit(recipe) if follows else recipe
    fits = ("resize",) if follows else ()
    others = [name for name in IMAGE_FIELDS if name not in (*HIRES_FIELDS, *fits)]
    refuse(recipe, others, "for pictures that start from an image, and no image is given")
    if not hires:
        what = "for pictures that start from an image, and neither image nor hires is given"
        refuse(recipe, HIRES_FIELDS, what)
    width, height = model.native_size
    recipe = dataclasses.replace(
        recipe,
        width=width if recipe.width is None else recipe.width,
        height=height if recipe.height is None else recipe.height,
    )
    return _with_start(with_hires(recipe, model), model) if hires else recipe


def _with_fit(recipe: Recipe) -> Recipe:
    """``recipe`` with the way in which the pictures that it follows get its size."""
    resize = "crop" if recipe.resize is None else recipe.resize
    if resize in ("fit", BACK):
        raise SettingError.of(
            "resize", f"must be crop, pad or stretch without an input picture, got {resize!r}"
        )
    return dataclasses.replace(recipe, resize=resize)


def size_from_image(recipe: Recipe, model: Defaults, picture: InputFacts) -> Recipe:
    """``recipe`` with its sizes, and with resize, for a picture from another picture."""
    check_sha256(repr(recipe.image), recipe.image_sha256, picture.sha256)
    if recipe.growth is not None:
        return with_growth(recipe, recipe.growth, model, picture)
    if recipe.overlap is not None:
        raise SettingError.of(
            "overlap", f"needs left, right, up or down, got overlap {recipe.overlap}"
        )
    recipe = _masked(recipe, picture.mask)
    recipe = with_factor(recipe, model, picture)
    seen = picture.size
    if recipe.resize == BACK and picture.mask is not None:
        left, top, right, bottom = surroundings(picture.mask.box, seen, recipe.mask_margin)
        seen = right - left, bottom - top
    width, height = output_size(
        seen,
        native=usual_size(model, seen),
        multiple=model.size_multiple,
        width=recipe.width,
        height=recipe.height,
        resize=None if recipe.resize == BACK else recipe.resize,
    )
    recipe = dataclasses.replace(
        recipe,
        width=width,
        height=height,
        image_sha256=picture.sha256,
        # The size has the picture's proportions by now, so "fit" cuts off almost nothing.
        resize="crop" if recipe.resize in (None, "fit") else recipe.resize,
        background="#ffffff" if recipe.background is None else recipe.background,
    )
    return with_noise_level(_with_start(recipe, model), model)


def _masked(recipe: Recipe, mask: MaskFacts | None) -> Recipe:
    """``recipe`` with its mask; without a size of its own, it is painted at the picture's size."""
    if mask is None:
        refuse(recipe, MASK, "for inpainting, and no mask is given")
        if recipe.resize == BACK:
            raise SettingError.of("resize", f"{BACK!r} needs a mask, and no mask is given")
        return recipe
    check_sha256(repr(recipe.mask), recipe.mask_sha256, mask.sha256, what="mask")
    resize = recipe.resize
    if resize is None and (recipe.mask_margin is not None or not (recipe.width or recipe.height)):
        resize = BACK
    if recipe.mask_margin is not None and resize != BACK:
        raise SettingError.of("mask_margin", f"needs resize {BACK!r}, got resize {resize!r}")
    return dataclasses.replace(recipe, mask_sha256=mask.sha256, resize=resize)


def _with_start(recipe: Recipe, model: Defaults) -> Recipe:
    """``recipe`` with a default strength, if it has no start_step; at least one step must run."""
    if model.max_noise_level is not None or model.edits:  # they start from noise
        return recipe
    if recipe.start_step is not None:
        check_whole("start_step", recipe.start_step, 0, recipe.steps - 1)
        return recipe
    if recipe.timestep_spacing == BY_STRENGTH:
        return _with_spaced_start(recipe, model)
    usual = DEFAULT_STRENGTH if recipe.mask is None else 1.0
    if recipe.enlarge is not None:  # at least one step must run, even with few steps
        least = least_strength(recipe.steps, exact=recipe.exact_steps)
        usual = max(model.upscale_strength, least)
    strength = usual if recipe.strength is None else recipe.strength
    check_strength(recipe.steps, strength, exact=recipe.exact_steps)
    return dataclasses.replace(recipe, strength=strength)


def _with_spaced_start(recipe: Recipe, model: Defaults) -> Recipe:
    usual = DEFAULT_STRENGTH if recipe.enlarge is None else model.upscale_strength
    strength = usual if recipe.strength is None else recipe.strength
    trained = model.scheduler_config.get("original_inference_steps", 50)  # diffusers' default
    check_spaced(recipe.steps, strength, trained)
    return dataclasses.replace(recipe, strength=strength)
