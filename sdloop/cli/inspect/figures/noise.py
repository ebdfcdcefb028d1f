"""Draw one seed at different settings, on a grid."""

from collections.abc import Mapping
from typing import Any

from sdloop.batch.settings import Settings
from sdloop.batch.sweep import Axis, parse_axis
from sdloop.cli.inspect.shared import ready, settings_and_fields, sheet_path, write_sheet
from sdloop.cli.options.groups import given
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.cli.options.recipe_fields import recipe_settings
from sdloop.cli.options.sheet import SheetOptions
from sdloop.errors import SettingError
from sdloop.images.sheet import sheet
from sdloop.recipe.fields_picture import MODEL
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.task import IMAGE_FIELDS

_SHORT = 20  # characters: longer labels get two lines

# These would need another noise or another model.
_NO_AXES = {*("seed", "size", "width", "height", "hires"), *IMAGE_FIELDS, *MODEL} - {"loras"}


def show_noise(
    prompt: str,
    columns: str,
    rows: str,
    recipe: RecipeOptions,
    seed: int | None,
    model: ModelOptions,
    out: SheetOptions,
) -> None:
    """Draw the pictures of one seed, a column and a row for each value of the axes."""
    across, down = _axis("columns", columns), _axis("rows", rows)
    for name in (across.name, down.name):
        if getattr(recipe, name, None) is not None:
            raise SettingError(f"{name} is an axis: give its values with --columns or --rows")
    path = sheet_path(out, "noise.png")
    flags = {"prompt": prompt, **given(model), **recipe_settings(recipe)}
    settings, fields = settings_and_fields(flags, seed=seed, quiet=out.quiet)
    recipes = [_cell(fields, across.settings(x), down.settings(y)) for y in down for x in across]
    components, _ = ready(recipes[0], settings)
    from sdloop.pipeline.generate import generate

    images = [picture.image for picture in generate(components, recipes)]
    grid = [images[at : at + len(across)] for at in range(0, len(images), len(across))]
    labels, beside = ([_label(axis.name, one) for one in axis] for axis in (across, down))
    write_sheet(sheet(grid, columns=labels, rows=beside), path, out)


def _axis(flag: str, text: str) -> Axis:
    axis = parse_axis(text, flag=flag)
    if axis.name in _NO_AXES:
        raise SettingError(f"{flag} must not change the noise or the model, got {axis.name}")
    return axis


def _label(name: str, value: Any) -> str:
    if name == "steps":
        return "1 step" if value == 1 else f"{value} steps"
    text: str = f"{value:g}" if isinstance(value, float) else str(value)
    name = "guidance" if name == "guidance_scale" else name
    return f"{name} {text}" if len(name) + len(text) < _SHORT else f"{name}\n{text}"


def _cell(fields: Mapping[str, Any], across: Mapping[str, Any], down: Mapping[str, Any]) -> Recipe:
    """The Recipe of one cell: the axes' values override the other settings, like flags."""
    axes = Settings(recipe={**across, **down})
    return Recipe.from_dict(axes.over(Settings(recipe=fields)).recipe)
