"""``sdloop inspect steps``: what the loop has at each step, and what it sees in it."""

from typing import Annotated

from sdloop.cli.flags import given, option, with_options
from sdloop.cli.inspect.shared import Seed, SheetOptions, asked, ready, sheet_path, write_sheet
from sdloop.cli.options import ModelOptions, PromptArgument, RecipeOptions
from sdloop.cli.recipes import recipe_settings
from sdloop.errors import SettingError
from sdloop.recipe import Recipe
from sdloop.rules import check_whole
from sdloop.sheet import sheet

_COLUMNS = 9  # of a sheet that nobody asked to be wider


@with_options
def steps(
    prompt: PromptArgument = None,
    *,
    recipe: RecipeOptions,
    seed: Seed = None,
    every: Annotated[
        int | None,
        option(
            "Picture",
            f"Show each N-th step, and the last. Default: so that there are {_COLUMNS} or fewer.",
            "--every",
            metavar="N",
        ),
    ] = None,
    model: ModelOptions,
    out: SheetOptions,
) -> None:
    """Make a sheet of a picture's steps: the noisy latents over the clean ones seen in them.

    [bold]Example:[/bold] sdloop inspect steps "a frog on stilts" --seed 4 -o steps.png
    """
    if prompt is None:
        raise SettingError('prompt must be given, as in: sdloop inspect steps "a frog on stilts"')
    path = sheet_path(out, "steps.png")
    flags = {"prompt": prompt, **given(model), **recipe_settings(recipe)}
    settings, fields = asked(flags, seed=seed, quiet=out.quiet)
    wanted = Recipe.from_dict(fields)
    if every is not None:
        check_whole("every", every, 1, wanted.steps)
    components, resolved = ready(wanted, settings)
    from sdloop.conductor import stream
    from sdloop.inspection.steps import see
    from sdloop.loop import Step

    seen = []
    for event in stream(components, resolved):
        if isinstance(event, Step) and _shown(event.index, event.total, every):
            seen.append(see(components.vae, event))
    grid = [[one.latents for one in seen], [one.denoised for one in seen]]
    labels = [one.label for one in seen]
    write_sheet(sheet(grid, columns=labels, rows=["latents", "denoised"]), path, out)


def _shown(index: int, total: int, every: int | None) -> bool:
    stride = -(-total // _COLUMNS) if every is None else every
    return index % stride == 0 or index == total - 1
