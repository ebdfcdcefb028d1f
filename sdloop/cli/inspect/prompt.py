"""``sdloop inspect prompt``: what the model does with each token of a prompt."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions
from sdloop.cli.options.sheet import OneSeedOptions, SheetOptions
from sdloop.errors import SettingError


@options(panel="Picture")
class OtherPromptOptions:
    """What the prompt is compared with."""

    versus: str | None = own("Second prompt, to compare token by token.")


@options(panel="Output")
class OutputOptions(SheetOptions):
    """The sheet, and how the numbers are printed."""

    json: bool = own("Print one line of JSON per text encoder.")


@with_options
def prompt(
    prompt: PromptArgument = None,
    *,
    other: OtherPromptOptions,
    picture: OneSeedOptions,
    recipe: RecipeOptions,
    model: ModelOptions,
    out: OutputOptions,
) -> None:
    """Show what the text encoder makes of each token, and where it acts.

    The numbers of each token are printed. With -o there is also a sheet with the picture, and for
    each token how much attention each place pays to it, averaged over steps, layers and heads.

    Examples:
      sdloop inspect prompt "a red frog under a tree" --versus "a blue frog under a tree"
      sdloop inspect prompt "a red frog under a tree" --seed 4 -o words.png
    """
    if prompt is None:
        raise SettingError('prompt must be given, as in: sdloop inspect prompt "a frog"')
    from sdloop.cli.inspect.figures.prompt import show_prompt

    show_prompt(prompt, other.versus, recipe, picture.seed, model, out, json_lines=out.json)
