"""A Recipe meets its model, and the picture that it starts from: what it left open is decided."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdloop.errors import SettingError
from sdloop.images.input.canvas import surroundings
from sdloop.images.input.frame import BACK, output_size
from sdloop.images.input.mask import look
from sdloop.images.input.read import InputFacts, MaskFacts, OpenImage, check_sha256
from sdloop.recipe.check import PROMPTS, check_scheduler
from sdloop.recipe.enlarge import with_hires, with_scale, with_tile
from sdloop.recipe.guidance import check_guidance, with_guidance
from sdloop.recipe.loras import with_hashes
from sdloop.recipe.losses import with_guides
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.outpaint import with_growth
from sdloop.recipe.steps import check_trained, with_descent
from sdloop.recipe.strength import DEFAULT_STRENGTH, check_strength, least_strength
from sdloop.recipe.task import (
    HIRES_FIELDS,
    IMAGE_FIELDS,
    MASK_FIELDS,
    check_task,
    refuse,
    usual_size,
    with_noise_level,
)
from sdloop.recipe.words import with_learned
from sdloop.rules import check_multiple, check_whole
from sdloop.schedulers.names import (
    check_packages,
    check_suits,
    class_of,
    known_to,
    name_of,
    sigmas_of,
)

if TYPE_CHECKING:
    from sdloop.recipe.recipe import Recipe


def resolve(
    recipe: "Recipe", model: Defaults, picture: InputFacts | None, hashes: Mapping[str, str]
) -> "Recipe":
    """``recipe`` with the choices of the model and the picture written in, checked against both.

    Raises ``SettingError`` for a size that is no multiple of the VAE's factor (naming the nearest
    that are), for settings that the model could not follow or would ignore, and for a strength
    with which no step would run; ``FileError`` for another picture, LoRA or file of learned words
    than the Recipe was made with.
    """
    check_task(recipe, model)
    recipe = _with_size(recipe, model) if picture is None else _framed(recipe, model, picture)
    recipe = _with_scheduler(recipe, model)
    recipe = with_guides(with_learned(recipe, model), hashes.get("guide_clip"))
    _check_model(recipe, model)
    return with_hashes(with_tile(recipe, model), hashes)


def facts_of(recipe: "Recipe", open_image: OpenImage) -> InputFacts | None:
    """What ``recipe`` takes from the picture and the mask that it names, if it does."""
    if recipe.image is None:
        return None
    return look(
        open_image,
        recipe.image,
        mask=recipe.mask,
        blur=recipe.mask_blur,
        invert=recipe.invert_mask,
    )


def _with_size(recipe: "Recipe", model: Defaults) -> "Recipe":
    """The sizes of a Recipe that starts from noise."""
    if recipe.image is not None:
        raise SettingError(f"image must be opened to resolve the recipe, got {recipe.image!r}")
    hires = recipe.hires is not None
    others = [name for name in IMAGE_FIELDS if name not in HIRES_FIELDS]
    refuse(recipe, others, "for pictures that are made from another, and no image is given")
    if not hires:
        what = "for pictures that are made from another, and neither image nor hires is given"
        refuse(recipe, HIRES_FIELDS, what)
    width, height = model.native_size
    recipe = dataclasses.replace(
        recipe,
        width=width if recipe.width is None else recipe.width,
        height=height if recipe.height is None else recipe.height,
    )
    return _with_start(with_hires(recipe, model), model) if hires else recipe


def _framed(recipe: "Recipe", model: Defaults, picture: InputFacts) -> "Recipe":
    """The sizes of a Recipe that starts from a picture, and how the picture gets to them."""
    check_sha256(repr(recipe.image), recipe.image_sha256, picture.sha256)
    if recipe.growth is not None:
        return with_growth(recipe, recipe.growth, model, picture)
    if recipe.overlap is not None:
        raise SettingError("overlap is for pictures that grow: left, right, up or down is missing")
    recipe = _masked(recipe, picture.mask)
    recipe = with_scale(recipe, model, picture)
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
        # The size follows the picture by now, so that "fit" leaves next to nothing to cut off.
        resize="crop" if recipe.resize in (None, "fit") else recipe.resize,
        background="#ffffff" if recipe.background is None else recipe.background,
    )
    return with_noise_level(_with_start(recipe, model), model)


def _masked(recipe: "Recipe", mask: MaskFacts | None) -> "Recipe":
    """What is painted, and whether at the picture's own size: without a size of its own, it is."""
    if mask is None:
        refuse(recipe, MASK_FIELDS, "for pictures that are painted in part, and no mask is given")
        if recipe.resize == BACK:
            raise SettingError(f"resize {BACK!r} is for masks, and no mask is given")
        return recipe
    check_sha256(repr(recipe.mask), recipe.mask_sha256, mask.sha256, what="mask")
    resize = recipe.resize
    if resize is None and (recipe.mask_margin is not None or not (recipe.width or recipe.height)):
        resize = BACK
    if recipe.mask_margin is not None and resize != BACK:
        raise SettingError(
            f"mask_margin needs resize {BACK!r}, which puts the part back, got resize {resize!r}"
        )
    return dataclasses.replace(recipe, mask_sha256=mask.sha256, resize=resize)


def _with_start(recipe: "Recipe", model: Defaults) -> "Recipe":
    """With a strength, if no step is named; either way at least one step runs."""
    if model.max_noise_level is not None:  # an upscaler starts from noise
        return recipe
    if recipe.start_step is not None:
        check_whole("start_step", recipe.start_step, 0, recipe.steps - 1)
        return recipe
    usual = DEFAULT_STRENGTH if recipe.mask is None else 1.0
    if recipe.enlarge is not None:  # of few steps at least one
        least = least_strength(recipe.steps, exact=recipe.exact_steps)
        usual = max(model.upscale_strength, least)
    strength = usual if recipe.strength is None else recipe.strength
    check_strength(recipe.steps, strength, exact=recipe.exact_steps)
    return dataclasses.replace(recipe, strength=strength)


def _with_scheduler(recipe: "Recipe", model: Defaults) -> "Recipe":
    """The model's own scheduler and guidance, where none are named; they must suit each other."""
    config = model.scheduler_config
    scheduler = name_of(config) if recipe.scheduler is None else recipe.scheduler
    knows = known_to(scheduler, config)
    listed = recipe.timesteps is not None or recipe.sigmas_list is not None
    sigmas = sigmas_of(config) if "sigmas" in knows and not listed else None
    recipe = dataclasses.replace(
        recipe,
        scheduler=scheduler,
        sigmas=sigmas if recipe.sigmas is None else recipe.sigmas,
    )
    name = config["_class_name"] if scheduler is None else scheduler
    check_scheduler(name, knows, recipe.to_dict())
    check_suits(name, knows, config)
    check_trained(recipe, config)
    check_packages(class_of(scheduler, config), recipe.sigmas)
    check_guidance(recipe, name, knows)
    return with_guidance(with_descent(recipe), model)


def _check_model(recipe: "Recipe", model: Defaults) -> None:
    for name in PROMPTS:
        if "<lora:" in (getattr(recipe, name) or ""):
            # The text encoder would read it, and add nothing to the weights.
            raise SettingError(
                f"{name} calls a LoRA where none is looked up: name it in loras, or in a prompt on "
                f"the command line, got {getattr(recipe, name)!r}"
            )
    for name in ("width", "height") if recipe.growth is None else ():
        check_multiple(name, getattr(recipe, name), model.size_multiple)
    check_whole("clip_skip", recipe.clip_skip, 1, model.text_layers)
    for name in ("prompt_2", "negative_prompt_2"):
        if getattr(recipe, name) is not None and not model.reads_twice:
            raise SettingError(
                f"{name} is for models with two text encoders (SDXL), and {recipe.model} has one"
            )
    sizes = ("original_size", "crop_top_left", "target_size")
    told = [name for name in sizes if getattr(recipe, name)]
    if told and not model.takes_sizes:
        raise SettingError(
            f"{told[0]} is for models that are told sizes (SDXL), and {recipe.model} is not one"
        )
