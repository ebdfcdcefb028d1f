"""Compare the model in a Recipe with the loaded one, and write the loaded one into it."""

from dataclasses import replace
from typing import Any

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.value import Checkpoint, ModelNames
from sdloop.recipe.recipe import Recipe

# The model name in Recipes whose components have no checkpoint: no file has this name.
BY_HAND = "(components put together by hand)"

_NAMES = ("model", "revision", "variant", "vae")
_UNNAMED: ModelNames = ("mini", None, None, None)  # the Recipe's defaults


def model_of(recipe: Recipe) -> ModelNames:
    """The Recipe's model, revision, variant and vae: equal names are the same model to load."""
    return recipe.model, recipe.revision, recipe.variant, recipe.vae


def with_model(recipe: Recipe, checkpoint: Checkpoint | None) -> Recipe:
    """``recipe`` with the names of the model that makes its picture.

    A Recipe without a model name ("mini", the default, counts as none) gets the loaded model's. If
    it names the loaded model in another way, it keeps its own name. Components that were put
    together by hand have no name, so the Recipe's name is used.

    Raises ``SettingError`` for a Recipe of another model than the loaded one.
    """
    asked = model_of(recipe)
    if checkpoint is None:
        return replace(recipe, model=BY_HAND) if recipe.model == _UNNAMED[0] else recipe
    if asked == checkpoint.names:
        return recipe
    if all(a in (n, u) for a, n, u in zip(asked, checkpoint.names, _UNNAMED, strict=True)):
        names: dict[str, Any] = dict(zip(_NAMES, checkpoint.names, strict=True))
        return replace(recipe, **names)
    if not _is(checkpoint, asked):
        named = {name: value for name, value in zip(_NAMES, asked, strict=True) if value}
        raise SettingError(
            f"model must be the loaded one, {checkpoint.name!r}, got {named}: load that model, or "
            "leave its name out of the Recipe"
        )
    return recipe


def _is(checkpoint: Checkpoint, names: ModelNames) -> bool:
    """Whether these names also lead to the files of ``checkpoint``."""
    model, revision, variant, vae = names
    try:
        found = find_checkpoint(model, revision=revision, variant=variant, vae=vae, may_fetch=False)
    except (ModelError, SettingError):
        return False
    files, own = ([p.resolve() for part in c.weights.values() for p in part]
                  for c in (found, checkpoint))  # fmt: skip
    return files == own
