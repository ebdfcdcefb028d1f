"""``sdloop inspect steps``: the latents and the predicted picture at each step."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions
from sdloop.cli.options.sheet import STEPS, OneSeedOptions, SheetOptions
from sdloop.errors import SettingError


@options(panel="Picture")
class StepOptions(OneSeedOptions):
    """The seed, and which steps are shown."""

    every: int | None = own(
        f"Show only every N-th step, and the last. Default: at most {STEPS} steps.", metavar="N"
    )


@with_options
def steps(
    prompt: PromptArgument = None,
    *,
    picture: StepOptions,
    recipe: RecipeOptions,
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

    show_steps(prompt, recipe, picture.seed, picture.every, model, out)
