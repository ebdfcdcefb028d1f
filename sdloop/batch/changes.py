"""A Recipe out of a file, with changes: what depends on what is changed is decided anew."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sdloop.batch.settings import Settings
from sdloop.errors import SdloopError, SettingError
from sdloop.recipe.fields import ROWS
from sdloop.recipe.recipe import FIELDS, Recipe

Resolve = Callable[[Recipe], Recipe]

# What a model or a picture decides where nobody does, together where one follows from another.
_DECIDED = (
    ("factor", "width", "height", "resize"),
    ("width", "height", "resize"),
    ("width", "height"),
    ("scheduler", "sigmas"),
)
_SHA = "_sha256"
_HASHES = tuple(name for name in FIELDS if name.endswith(_SHA))


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What became of a Recipe, not resolved, and notices about it."""

    recipe: Recipe
    notices: tuple[str, ...] = ()


def changed(
    recipe: Recipe,
    changes: Mapping[str, Any],
    *,
    drop: Collection[str] = (),
    resolve: Resolve,
    same_model: bool = True,
) -> Changed:
    """``recipe``, out of a file, with ``changes``, and without the settings in ``drop``.

    Without either it is the Recipe as it stands there. Else it is taken back first to what
    somebody must have said for the model to make this Recipe of it: a width that was the model's
    own is that of another model then, and a height follows from the new width of an input image.
    What a change makes meaningless is left out, with a notice; unless it is essential: then the
    ``SettingError`` says so. With ``same_model`` false the model of the file is not there,
    and all that a model decides is decided by the new one.
    """
    if not changes and not drop:
        return Changed(recipe=recipe)
    base = shortest(recipe, resolve) if same_model else _without_decided(recipe)
    followers = _followers(recipe, changes)
    notices = [f"{_item(name, base)} gives way" for name in base if name in followers]
    base = {name: value for name, value in base.items() if name not in followers}
    found = with_changes(base, changes, drop=drop, resolve=resolve)
    if not same_model:
        notices.append(f"{recipe.model} is not here: what it decided is decided anew")
    return replace(found, notices=(*notices, *found.notices))


def with_changes(
    base: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    drop: Collection[str] = (),
    resolve: Resolve,
) -> Changed:
    """The Recipe of the settings in ``base``, as somebody said them, with changes."""
    base = {name: value for name, value in base.items() if name.removesuffix(_SHA) not in drop}
    merged = dict(Settings(recipe=changes).over(Settings(recipe=base)).recipe)
    notices = [f"{_item(name, base)} gives way" for name in _gone(base, merged)]
    return _fitted(merged, frozenset(changes), notices, resolve)


def _fitted(
    fields: dict[str, Any], asked: Collection[str], notices: list[str], resolve: Resolve
) -> Changed:
    """Leave out one by one what means nothing any more."""
    while True:
        try:
            recipe = Recipe.from_dict(fields)
            resolve(recipe)
        except SettingError as error:
            name = error.field
            if name is None or name not in fields or name in asked:
                raise
            if ROWS[name].essential:
                raise SettingError(
                    f"{error}; or leave it out: --drop {name}", field=name
                ) from error
            notices.append(f"left out {_item(name, fields)}: {error}")
            fields = {k: v for k, v in fields.items() if k.removesuffix(_SHA) != name}
        else:
            return Changed(recipe=recipe, notices=tuple(notices))


def shortest(recipe: Recipe, resolve: Resolve) -> dict[str, Any]:
    """The fewest settings that become ``recipe``, a resolved one, when they are resolved."""
    fields = recipe.to_dict()
    if not _becomes(fields, recipe, resolve):
        return fields  # what decided these things decides otherwise today
    alone = tuple((name,) for name in fields if name not in (*_HASHES, "prompt", "seed", "loras"))
    for names in _DECIDED + alone:
        fewer = {name: value for name, value in fields.items() if name not in names}
        if len(fewer) < len(fields) and _becomes(fewer, recipe, resolve):
            fields = fewer
    return fields


def _becomes(fields: Mapping[str, Any], recipe: Recipe, resolve: Resolve) -> bool:
    try:
        return resolve(Recipe.from_dict(fields)) == recipe
    except SdloopError:
        return False


def _without_decided(recipe: Recipe) -> dict[str, Any]:
    decided = {name for names in _DECIDED for name in names} | {"guidance_scale", "tile", "overlap"}
    return {name: value for name, value in recipe.to_dict().items() if name not in decided}


def _followers(recipe: Recipe, changes: Mapping[str, Any]) -> set[str]:
    """What is no longer true of a picture of another size."""
    if not changes.keys() & {"width", "height"}:
        return set()
    conditions = ("original_size", "target_size")
    same = {name for name in conditions if getattr(recipe, name) == (recipe.width, recipe.height)}
    return same | {"factor", "enlarge"} if recipe.factor is not None else same


def _gone(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in FIELDS if name in before and name not in after and name not in _HASHES]


def _item(name: str, fields: Mapping[str, Any]) -> str:
    value = fields[name]
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
