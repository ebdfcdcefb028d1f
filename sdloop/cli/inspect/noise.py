"""``sdloop inspect noise``: what few and many steps, and much guidance or little, make of it."""

from dataclasses import replace
from typing import Annotated

from sdloop.cli.flags import given, option, with_options
from sdloop.cli.inspect.shared import Seed, SheetOptions, asked, ready, sheet_path, write_sheet
from sdloop.cli.model_options import ModelOptions
from sdloop.cli.options import PromptArgument, RecipeOptions
from sdloop.cli.recipes import recipe_settings
from sdloop.errors import SettingError
from sdloop.recipe import Recipe, parse_number, parse_whole
from sdloop.sheet import sheet

_STEPS = "1,2,5,10,50"
_GUIDANCE = "0,1,3,7.5,12"


@with_options
def noise(
    prompt: PromptArgument = None,
    *,
    step_counts: Annotated[
        str, option("Grid", f"Of the columns. Default: {_STEPS}.", "--step-counts", metavar="LIST")
    ] = _STEPS,
    guidance_scales: Annotated[
        str,
        option("Grid", f"Of the rows. Default: {_GUIDANCE}.", "--guidance-scales", metavar="LIST"),
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
    for name in ("steps", "guidance_scale"):
        if getattr(recipe, name) is not None:
            raise SettingError(f"{name} is an axis of the grid: give a list of them")
    path = sheet_path(out, "noise.png")
    flags = {"prompt": prompt, **given(model), **recipe_settings(recipe)}
    settings, fields = asked(flags, seed=seed, quiet=out.quiet)
    counts = [parse_whole("step_counts", text) for text in step_counts.split(",")]
    scales = [parse_number("guidance_scales", text) for text in guidance_scales.split(",")]
    wanted = Recipe.from_dict(fields)
    recipes = [
        replace(wanted, steps=count, guidance_scale=scale) for scale in scales for count in counts
    ]
    components, _ = ready(recipes[0], settings)
    from sdloop.conductor import generate

    images = [picture.image for picture in generate(components, recipes)]
    grid = [images[row : row + len(counts)] for row in range(0, len(images), len(counts))]
    columns = [f"{count} step" + "s" * (count > 1) for count in counts]
    rows = [f"guidance {scale:g}" for scale in scales]
    write_sheet(sheet(grid, columns=columns, rows=rows), path, out)
