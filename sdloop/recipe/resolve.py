"""Resolve a Recipe: fill in what its model and its input picture decide."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from sdloop.errors import SettingError
from sdloop.images.input.read import InputFacts, check_sha256
from sdloop.prompt.learned.facts import FindEmbedding, embedding_facts
from sdloop.recipe.check import PROMPTS
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_controls import with_controls
from sdloop.recipe.resolve_edit import with_edit
from sdloop.recipe.resolve_enlarge import with_tile, with_upscaler
from sdloop.recipe.resolve_image_prompts import with_image_prompts
from sdloop.recipe.resolve_losses import with_losses
from sdloop.recipe.resolve_mask import with_mask_words
from sdloop.recipe.resolve_refiner import with_refiner
from sdloop.recipe.resolve_regions import with_regions
from sdloop.recipe.resolve_scheduler import with_scheduler
from sdloop.recipe.resolve_seamless import check_seamless
from sdloop.recipe.resolve_size import size_from_image, size_from_noise
from sdloop.recipe.resolve_usual import with_usual
from sdloop.recipe.resolve_words import with_learned
from sdloop.recipe.task import check_task
from sdloop.rules import check_multiple, check_whole


def resolve(
    recipe: Recipe,
    model: Defaults,
    picture: InputFacts | None = None,
    *,
    hashes: Mapping[str, str] = MappingProxyType({}),
    find_embedding: FindEmbedding = embedding_facts,
) -> Recipe:
    """``recipe`` with the defaults of the model and the picture filled in, checked against both.

    ``picture`` are the facts of ``recipe.image``, if there is one. ``hashes`` has the sha256 of
    each name in ``recipe.loras``, of "upscaler", of "loss_clip" (see ``checkpoint.clip_hashes``),
    of "mask_model" (see ``mask_model_of``), of the ControlNets, the T2I-Adapters and their pictures
    (see ``with_controls``), and of image prompts and their adapter (see ``with_image_prompts``).
    ``find_embedding`` reads the facts of an embedding, by default of a file on disk.

    Raises ``SettingError`` for a size that is not a multiple of the VAE's factor (with the nearest
    valid sizes), for settings that the model does not support, and for a strength with which no
    step would run. Raises ``FileError`` for a picture, LoRA or embedding file that is not the one
    that the Recipe was made with.
    """
    check_task(recipe, model)
    recipe = with_edit(with_usual(recipe, model), model, picture)
    if picture is None:
        recipe = size_from_noise(recipe, model)
    else:
        recipe = size_from_image(recipe, model, picture)
    recipe = with_refiner(with_scheduler(recipe, model), model)
    recipe = with_mask_words(recipe, hashes.get("mask_model"))
    whole = recipe.final_size if picture is None else picture.size
    recipe = with_image_prompts(with_regions(recipe, whole), model, hashes, whole)
    recipe = with_learned(recipe, model, find_embedding)
    recipe = with_losses(recipe, hashes.get("loss_clip"))
    recipe = with_upscaler(recipe, hashes.get("upscaler"))
    _check_model(recipe, model)
    recipe = with_controls(with_tile(recipe, model), model, hashes)
    check_seamless(recipe, model)
    return _with_lora_hashes(recipe, hashes)


def _check_model(recipe: Recipe, model: Defaults) -> None:
    texts = [(name, getattr(recipe, name) or "") for name in PROMPTS]
    for name, text in (*texts, *(("regions", region) for region in recipe.regions or ())):
        if "<lora:" in text:
            # The text encoder would read the tag as text, and no LoRA would be added.
            raise SettingError.of(
                name,
                "must not contain <lora:…> here: use loras, or a prompt on the command line, "
                f"got {text!r}",
            )
    for name in ("width", "height") if recipe.growth is None else ():
        check_multiple(name, getattr(recipe, name), model.size_multiple)
    check_whole("clip_skip", recipe.clip_skip, 1, model.text_layers)
    for name in ("prompt_2", "negative_prompt_2"):
        if getattr(recipe, name) is not None and not model.reads_twice:
            raise SettingError.of(
                name, f"needs a model with two text encoders (SDXL), and {recipe.model} has one"
            )
    sizes = ("original_size", "crop_top_left", "target_size")
    given = [name for name in sizes if getattr(recipe, name)]
    if given and not model.takes_sizes:
        raise SettingError(
            f"{given[0]} needs an SDXL model, and {recipe.model} is not one",
            field=given[0],
        )


def _with_lora_hashes(recipe: Recipe, hashes: Mapping[str, str]) -> Recipe:
    """``recipe`` with the sha256 of its LoRAs; ``hashes`` is name → sha256 of the file.

    Raises ``SettingError`` for a LoRA that is missing in ``hashes``, and ``FileError`` for one that
    is not the file that the Recipe was made with.
    """
    for lora in recipe.loras:
        if lora.name not in hashes:
            raise SettingError.of(
                "loras", f"must be found before the recipe is resolved, got {lora.name!r}"
            )
        check_sha256(repr(lora.name), lora.sha256, hashes[lora.name], what="LoRA")
    known = tuple(dataclasses.replace(lora, sha256=hashes[lora.name]) for lora in recipe.loras)
    return dataclasses.replace(recipe, loras=known)
