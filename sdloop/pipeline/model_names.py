"""Compare the model in a Recipe with the loaded one, and write the loaded one into it."""

from dataclasses import replace
from operator import attrgetter
from typing import Any

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.value import Checkpoint, ModelNames
from sdloop.recipe.recipe import Recipe

# The model name in Recipes whose components have no checkpoint: no file has this name.
BY_HAND = "(components put together by hand)"

_UNNAMED = ModelNames()  # the Recipe's defaults
_names = attrgetter(*ModelNames._fields)


def model_of(recipe: Recipe) -> ModelNames:
    """The Recipe's names of its model."""
    return ModelNames(*_names(recipe))


def with_model(recipe: Recipe, checkpoint: Checkpoint | None) -> Recipe:
    """``recipe`` with the names of the model that makes its picture.

    A Recipe without a model name ("mini", the default, counts as none) gets the loaded model's. If
    it names the loaded model in another way, it keeps its own name. Components that were put
    together by hand have no name, so the Recipe's name is used.

    Raises ``SettingError`` for a Recipe of another model than the loaded one.
    """
    asked = model_of(recipe)
    if checkpoint is None:
        return replace(recipe, model=BY_HAND) if recipe.model == _UNNAMED.model else recipe
    if asked == checkpoint.names:
        return recipe
    if all(a in (n, u) for a, n, u in zip(asked, checkpoint.names, _UNNAMED, strict=True)):
        names: dict[str, Any] = checkpoint.names._asdict()
        return replace(recipe, **names)
    if not _is(checkpoint, asked):
        named = {name: value for name, value in asked._asdict().items() if value}
        raise SettingError(
            f"model must be the loaded one, {checkpoint.name!r}, got {named}: load that model, or "
            "leave its name out of the Recipe"
        )
    return recipe


def _is(checkpoint: Checkpoint, names: ModelNames) -> bool:
    """Whether these names also lead to the files of ``checkpoint``."""
    try:
        found = find_checkpoint(**names._asdict(), may_fetch=False)
    except (ModelError, SettingError):
        return False
    files, own = ([p.resolve() for part in c.weights.values() for p in part]
                  for c in (found, checkpoint))  # fmt: skip
    return files == own
