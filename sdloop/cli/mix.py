"""``sdloop mix``: pictures that mix prompts, and series from one prompt to another."""

from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import FitOptions
from sdloop.cli.options.mix import MixOptions, PromptsArgument
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import RecipeOptions, SeedOptions
from sdloop.errors import SettingError


@with_options
def mix(
    prompts: PromptsArgument = None,
    *,
    how: MixOptions,
    recipe: RecipeOptions,
    fit: FitOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Blend prompts in one picture, a series or a film.

    Examples:
      sdloop mix "a rabbit" "a frog" --at time --slider 9 --seed 4 --outdir between
      sdloop mix "a rabbit" "a frog" --seed 4..9 --walk 48 -o morph.gif
    """
    if seeds.from_file is not None:
        raise SettingError("from_file is for txt2img; mix takes its prompts one after the other")
    if not prompts:
        raise SettingError('prompt must be given, as in: sdloop mix "a rabbit" "a frog"')
    from sdloop.cli.make.mix import mix_prompts
    from sdloop.cli.options.recipe_fields import recipe_settings

    flags = {**given(model, output, fit), **recipe_settings(recipe)}
    mix_prompts(prompts, how, flags, seeds, output)
