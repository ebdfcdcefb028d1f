"""Resolve masks by words: the model that finds them, and what else it needs."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.images.input.mask import mask_words
from sdloop.images.input.read import check_sha256
from sdloop.recipe.limits import MASK_MODEL, MASK_THRESHOLD
from sdloop.recipe.recipe import Recipe


def mask_model_of(recipe: Recipe) -> str | None:
    """The CLIPSeg model that finds the words of a mask; None for other masks."""
    if mask_words(recipe.mask) is None:
        return None
    return MASK_MODEL if recipe.mask_model is None else recipe.mask_model


def with_mask_words(recipe: Recipe, model_sha256: str | None) -> Recipe:
    """``recipe`` with the defaults of a mask by words; ``model_sha256`` is of ``mask_model_of``.

    Raises ``FileError`` for another model than the one that the Recipe was made with.
    """
    model = mask_model_of(recipe)
    if model is None:
        return recipe
    if model_sha256 is None:
        raise SettingError.of(
            "mask_model", f"must be found before the recipe is resolved, got {model!r}"
        )
    check_sha256(repr(model), recipe.mask_model_sha256, model_sha256, what="mask_model")
    return dataclasses.replace(
        recipe,
        mask_model=model,
        mask_model_sha256=model_sha256,
        mask_threshold=threshold_of(recipe),
    )


def threshold_of(recipe: Recipe) -> float:
    return MASK_THRESHOLD if recipe.mask_threshold is None else recipe.mask_threshold
