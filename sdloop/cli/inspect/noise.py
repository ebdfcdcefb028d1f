"""``sdloop inspect noise``: what few and many steps, and much guidance or little, make of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from sdloop.cli.flags import given, option, with_options
from sdloop.cli.inspect.shared import Seed, SheetOptions, asked, ready, sheet_path, write_sheet
from sdloop.cli.model_options import ModelOptions
from sdloop.cli.options import PromptArgument, RecipeOptions
from sdloop.cli.recipes import recipe_settings
from sdloop.cli.settings import Settings
from sdloop.errors import SettingError
from sdloop.recipe import IMAGE_FIELDS, Recipe, check_keys, parse_value
from sdloop.sheet import sheet

_STEPS = "steps=1,2,5,10,50"
_GUIDANCE = "guidance_scale=0,1,3,7.5,12"
# What is not of one noise, one model or one value.
_NO_AXES = (
    *("seed", "model", "revision", "variant", "vae", "width", "height", "tile", "hires"),
    *("prompt", "loras", "mix_prompts", "mix_weights", "embeddings", "embeddings_sha256"),
    *("replace_tokens", "replace_tokens_sha256", *IMAGE_FIELDS),
)


@with_options
def noise(
    prompt: PromptArgument = None,
    *,
    columns: Annotated[
        str,
        option(
            "Grid",
            f"A setting and what it is in each. [dim]\\[default: {_STEPS}][/dim]",
            "--columns",
            metavar="SETTING=VALUES",
        ),
    ] = _STEPS,
    rows: Annotated[
        str,
        option(
            "Grid",
            f"The same, as in guidance=cfg,apg. [dim]\\[default: {_GUIDANCE}][/dim]",
            "--rows",
            metavar="SETTING=VALUES",
        ),
    ] = _GUIDANCE,
    recipe: RecipeOptions,
    seed: Seed = None,
    model: ModelOptions,
    out: SheetOptions,
) -> None:
    """Make a sheet of one noise: over the number of steps, and down the guidance scale.

    One step gives the mean of all pictures of the prompt, which is a blur; guidance pulls from it.

    [bold]Example:[/bold] sdloop inspect noise "a frog on stilts" --seed 4 -o noise.png
    """
    if prompt is None:
        raise SettingError('prompt must be given, as in: sdloop inspect noise "a frog on stilts"')
    across, down = _axis("columns", columns), _axis("rows", rows)
    for name in (across.name, down.name):
        if getattr(recipe, name, None) is not None:
            raise SettingError(f"{name} is an axis of the grid: give a list of them")
    path = sheet_path(out, "noise.png")
    flags = {"prompt": prompt, **given(model), **recipe_settings(recipe)}
    settings, fields = asked(flags, seed=seed, quiet=out.quiet)
    recipes = [
        _cell(fields, across.name, x, down.name, y) for y in down.values for x in across.values
    ]
    components, _ = ready(recipes[0], settings)
    from sdloop.conductor import generate

    images = [picture.image for picture in generate(components, recipes)]
    wide = len(across.values)
    grid = [images[row : row + wide] for row in range(0, len(images), wide)]
    write_sheet(sheet(grid, columns=across.labels, rows=down.labels), path, out)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axis:
    """A setting, the values that it has along the axis, and what is written beside them."""

    name: str
    values: list[Any]

    @property
    def labels(self) -> list[str]:
        return [_label(self.name, value) for value in self.values]


def _axis(flag: str, text: str) -> _Axis:
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise SettingError(f"{flag} must be a setting and values, as in steps=1,5,25, got {text!r}")
    check_keys({name: values}, source=flag)
    if name in _NO_AXES:
        raise SettingError(f"{flag} must be a setting of one noise and one model, got {name}")
    return _Axis(name=name, values=[parse_value(name, one.strip()) for one in values.split(",")])


def _label(name: str, value: Any) -> str:
    if name == "steps":
        return "1 step" if value == 1 else f"{value} steps"
    told: str = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{'guidance' if name == 'guidance_scale' else name} {told}"


def _cell(fields: Mapping[str, Any], across: str, x: Any, down: str, y: Any) -> Recipe:
    """The settings of one cell: as flags, the axes put aside what they take the place of."""
    axes = Settings(recipe={across: x, down: y})
    return Recipe.from_dict(axes.over(Settings(recipe=fields)).recipe)
