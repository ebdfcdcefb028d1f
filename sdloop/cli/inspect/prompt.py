"""``sdloop inspect prompt``: what the model does with each token of a prompt."""

from typing import Annotated

from sdloop.cli.options.groups import option, with_options
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions
from sdloop.cli.options.sheet import Seed, SheetOptions
from sdloop.errors import SettingError

Versus = Annotated[
    str | None,
    option("Picture", "Second prompt, to compare token by token.", "--versus"),
]

Json = Annotated[bool, option("Output", "Print one line of JSON per text encoder.", "--json")]


@with_options
def prompt(
    prompt: PromptArgument = None,
    *,
    versus: Versus = None,
    recipe: RecipeOptions,
    seed: Seed = None,
    model: ModelOptions,
    out: SheetOptions,
    json_lines: Json = False,
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

    show_prompt(prompt, versus, recipe, seed, model, out, json_lines=json_lines)
