"""``sdloop inspect noise``: one seed with different numbers of steps and guidance scales."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions
from sdloop.cli.options.sheet import OneSeedOptions, SheetOptions
from sdloop.errors import SettingError


@options(panel="Grid")
class GridOptions:
    """What changes from picture to picture."""

    columns: str = own(
        "Setting and its values, from left to right.",
        metavar="SETTING=VALUES",
        default="steps=1,2,5,10,50",
    )
    rows: str = own(
        "Setting and its values, from top to bottom.",
        metavar="SETTING=VALUES",
        default="guidance_scale=0,1,3,7.5,12",
    )


@with_options
def noise(
    prompt: PromptArgument = None,
    *,
    grid: GridOptions,
    picture: OneSeedOptions,
    recipe: RecipeOptions,
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

    show_noise(prompt, grid.columns, grid.rows, recipe, picture.seed, model, out)
