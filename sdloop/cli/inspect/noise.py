"""``sdloop inspect noise``: one seed with different numbers of steps and guidance scales."""

from typing import Annotated

from sdloop.cli.options.groups import option, with_options
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions
from sdloop.cli.options.sheet import Seed, SheetOptions
from sdloop.errors import SettingError

_STEPS = "steps=1,2,5,10,50"

_GUIDANCE = "guidance_scale=0,1,3,7.5,12"


@with_options
def noise(
    prompt: PromptArgument = None,
    *,
    columns: Annotated[
        str,
        option(
            "Grid",
            f"Setting and its values, from left to right. [default: {_STEPS}]",
            "--columns",
            metavar="SETTING=VALUES",
        ),
    ] = _STEPS,
    rows: Annotated[
        str,
        option(
            "Grid",
            f"Setting and its values, from top to bottom. [default: {_GUIDANCE}]",
            "--rows",
            metavar="SETTING=VALUES",
        ),
    ] = _GUIDANCE,
    recipe: RecipeOptions,
    seed: Seed = None,
    model: ModelOptions,
    out: SheetOptions,
) -> None:
    """Show one seed at different numbers of steps and guidance scales.

    The steps grow from column to column, the guidance scale from row to row. One step gives a blur,
    the mean of all pictures of the prompt; guidance moves away from it.

    Example:
      sdloop inspect noise "a frog on stilts" --seed 4 -o noise.png
    """
    if prompt is None:
        raise SettingError('prompt must be given, as in: sdloop inspect noise "a frog on stilts"')
    from sdloop.cli.inspect.figures.noise import show_noise

    show_noise(prompt, columns, rows, recipe, seed, model, out)
