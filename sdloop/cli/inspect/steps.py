"""``sdloop inspect steps``: the latents and the predicted picture at each step."""

from typing import Annotated

from sdloop.cli.options.groups import option, with_options
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions
from sdloop.cli.options.sheet import STEPS, Seed, SheetOptions
from sdloop.errors import SettingError


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
            f"Show only every N-th step, and the last. Default: at most {STEPS} steps.",
            "--every",
            metavar="N",
        ),
    ] = None,
    model: ModelOptions,
    out: SheetOptions,
) -> None:
    """Show how a picture develops, step by step.

    The sheet shows the noisy latents of each step, and below them the clean picture predicted from
    them. With a name that ends in .gif, .webp or .mp4 it is an animation, one frame per step.

    Examples:
      sdloop inspect steps "a frog on stilts" --seed 4 -o steps.png
      sdloop inspect steps "a frog on stilts" --seed 4 -o steps.gif
    """
    if prompt is None:
        raise SettingError('prompt must be given, as in: sdloop inspect steps "a frog on stilts"')
    from sdloop.cli.inspect.figures.steps import show_steps

    show_steps(prompt, recipe, seed, every, model, out)
