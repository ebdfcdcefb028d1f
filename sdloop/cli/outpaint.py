"""``sdloop outpaint``: extend a picture beyond its edges, in several passes if needed."""

from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import GrowthOptions, ImageArgument
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions, SeedOptions


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
    """Extend a picture beyond its edges.

    The original pixels stay exactly as they are.

    Examples:
      sdloop outpaint photo.png "an endless city" --right 256 --up 128 --seed 4
      sdloop outpaint photos/ "the sea" --left 512 --right 512 --overlap 128 --outdir wide
    """
    from sdloop.cli.make.from_images import make_from_images
    from sdloop.cli.options.recipe_fields import recipe_settings
    from sdloop.recipe.outpaint_windows import SIDES

    flags = {**given(model, output, growth), **recipe_settings(recipe)}
    example = 'sdloop outpaint photo.png "an endless city" --right 256'
    images = growth.images or []
    make_from_images(image, prompt, images, flags, seeds, output, example=example, needs=SIDES)
