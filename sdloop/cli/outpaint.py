"""``sdloop outpaint``: a picture that grows outwards, in as many passes as it takes."""

from sdloop.cli.brought import fulfil_from_pictures
from sdloop.cli.flags import given, with_options
from sdloop.cli.image_options import GrowthOptions, ImageArgument
from sdloop.cli.model_options import ModelOptions
from sdloop.cli.options import PromptArgument, RecipeOptions, SeedOptions
from sdloop.cli.output_options import OutputOptions
from sdloop.cli.recipes import recipe_settings
from sdloop.passes import SIDES


@with_options
def outpaint(
    image: ImageArgument = None,
    prompt: PromptArgument = None,
    *,
    growth: GrowthOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Let a picture grow outwards; its own pixels stay as they are.

    [bold]Examples:[/bold]

    sdloop outpaint photo.png "an endless city" --right 256 --up 128 --seed 4

    sdloop outpaint photos/ "the sea" --left 512 --right 512 --overlap 128 --outdir wide
    """
    flags = {**given(model, output, growth), **recipe_settings(recipe)}
    example = 'sdloop outpaint photo.png "an endless city" --right 256'
    images = growth.images or []
    fulfil_from_pictures(image, prompt, images, flags, seeds, output, example=example, needs=SIDES)
