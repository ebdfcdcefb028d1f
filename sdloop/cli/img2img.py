"""``sdloop img2img``: pictures from a picture and text."""

from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import ImageArgument, ImageOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions, SeedOptions


@with_options
def img2img(
    image: ImageArgument = None,
    prompt: PromptArgument = None,
    *,
    start: ImageOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make new versions of pictures, guided by a prompt.

    Noise is added to each picture, and removed again step by step with the prompt.

    Examples:
      sdloop img2img sketch.png "a wooden carving of a rabbit eating a leaf" --strength 0.6 --seed 4
      sdloop img2img -i day.jpg -i night.jpg "the old harbour, oil on canvas" --seed 1..4
      sdloop img2img frames/ "an old film" --strength 0.4 --seed 4 --outdir film
    """
    from sdloop.cli.make.from_images import make_from_images
    from sdloop.cli.options.recipe_fields import recipe_settings

    flags = {**given(model, output, start), **recipe_settings(recipe)}
    example = 'sdloop img2img sketch.png "a wooden carving of a rabbit"'
    images = start.images or []
    make_from_images(image, prompt, images, flags, seeds, output, example=example)
