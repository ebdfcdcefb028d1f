"""Change a Recipe from a file: settings that depend on a change are chosen again."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sdloop.batch.settings import Settings
from sdloop.errors import SdloopError, SettingError
from sdloop.recipe.fields import ROWS
from sdloop.recipe.recipe import FIELDS, Recipe

Resolve = Callable[[Recipe], Recipe]

# Settings whose default comes from the model or the input picture, grouped by dependence.
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
    """A changed Recipe, not resolved, and notices about dropped settings."""

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

    Without either, the Recipe is returned unchanged. Otherwise it is first reduced to the settings
    that the user must have given: defaults of the model or the picture are removed and chosen again
    (the width of another model, the height that follows from a new width). Settings that no longer
    apply are dropped with a notice, but essential ones raise ``SettingError``. If ``same_model`` is
    false, the file's model is not available, and all its defaults are those of the new one.
    """
    if not changes and not drop:
        return Changed(recipe=recipe)
    base = shortest(recipe, resolve) if same_model else _without_decided(recipe)
    followers = _followers(recipe, changes)
    notices = [f"{_item(name, base)} is dropped" for name in base if name in followers]
    base = {name: value for name, value in base.items() if name.removesuffix(_SHA) not in followers}
    found = with_changes(base, changes, drop=drop, resolve=resolve)
    if not same_model:
        notices.append(f"{recipe.model} is not available: using the defaults of the new model")
    return replace(found, notices=(*notices, *found.notices))


def with_changes(
    base: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    drop: Collection[str] = (),
    resolve: Resolve,
) -> Changed:
    """The Recipe of the given settings in ``base``, with changes."""
    base = {name: value for name, value in base.items() if name.removesuffix(_SHA) not in drop}
    merged = dict(Settings(recipe=changes).over(Settings(recipe=base)).recipe)
    notices = [f"{_item(name, base)} is dropped" for name in _gone(base, merged)]
    return _fitted(merged, frozenset(changes), notices, resolve)


def _fitted(
    fields: dict[str, Any], asked: Collection[str], notices: list[str], resolve: Resolve
) -> Changed:
    """Drop settings that no longer apply, one by one."""
    while True:
        try:
            recipe = Recipe.from_dict(fields)
            resolve(recipe)
        except SettingError as error:
            name = error.field
            if name is None or name not in fields or name in asked:
                raise
            if ROWS[name].essential:
                raise SettingError(f"{error}; or remove it: --drop {name}", field=name) from error
            notices.append(f"left out {_item(name, fields)}: {error}")
            gone = name.removesuffix(_SHA)
            fields = {k: v for k, v in fields.items() if k.removesuffix(_SHA) != gone}
        else:
            return Changed(recipe=recipe, notices=tuple(notices))


def shortest(recipe: Recipe, resolve: Resolve) -> dict[str, Any]:
    """The smallest set of settings that resolves to the resolved ``recipe``."""
    fields = recipe.to_dict()
    if not _becomes(fields, recipe, resolve):
        return fields  # the defaults have changed since
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
    """The settings that no longer apply if the size changes."""
    if not changes.keys() & {"width", "height"}:
        return set()
    conditions = ("original_size", "target_size")
    same = {name for name in conditions if getattr(recipe, name) == (recipe.width, recipe.height)}
    return same | {"factor", "enlarge", "upscaler"} if recipe.factor is not None else same


def _gone(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in FIELDS if name in before and name not in after and name not in _HASHES]


def _item(name: str, fields: Mapping[str, Any]) -> str:
    value = fields[name]
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
