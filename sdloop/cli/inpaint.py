"""``sdloop inpaint``: repaint a picture inside a mask."""

from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import ImageArgument, ImageOptions, MaskOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions, SeedOptions


@with_options
def inpaint(
    image: ImageArgument = None,
    prompt: PromptArgument = None,
    *,
    mask: MaskOptions,
    start: ImageOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Repaint the part of a picture that a mask marks.

    All pixels outside of the mask stay exactly as they are.

    Examples:
      sdloop inpaint photo.png "a straw hat" --mask mask.png --mask-margin 32 --mask-blur 4 --seed 4
      sdloop inpaint cut-out.png "a street at night" --mask alpha --seed 4
    """
    from sdloop.cli.make.from_images import make_from_images
    from sdloop.cli.options.recipe_fields import recipe_settings

    flags = {**given(model, output, mask, start), **recipe_settings(recipe)}
    example = 'sdloop inpaint photo.png "a straw hat" --mask mask.png'
    images = start.images or []
    make_from_images(image, prompt, images, flags, seeds, output, example=example, needs=("mask",))
