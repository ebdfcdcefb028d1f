"""``sdloop txt2img``: pictures from text."""

from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import FitOptions, HiresOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions, SeedOptions


@with_options
def txt2img(
    prompt: PromptArgument = None,
    *,
    recipe: RecipeOptions,
    hires: HiresOptions,
    fit: FitOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make pictures from a prompt, or from a file of prompts.

    The paths of the pictures are printed, one per line.

    Examples:
      sdloop txt2img "two green frogs on stilts" --seed 4 -o frogs.png
      sdloop txt2img "an old lighthouse" -m stable-diffusion-v1-5/stable-diffusion-v1-5 --seed 1..8
      sdloop txt2img "an old lighthouse" --hires 2 --strength 0.4 --seed 4
      sdloop txt2img --from-file prompts.txt --count 4 --outdir pictures
    """
    from sdloop.cli.make.run import given_prompts, given_settings, make_from_prompts
    from sdloop.cli.options.recipe_fields import recipe_settings

    settings = given_settings(
        {**given(model, output, hires, fit), **recipe_settings(recipe)}, seeds
    )
    example = 'sdloop txt2img "two green frogs on stilts"'
    prompts = given_prompts(prompt, seeds.from_file, settings, example=example)
    make_from_prompts(prompts, settings, seeds, output)
