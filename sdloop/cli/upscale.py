"""``sdloop upscale``: enlarge pictures, and let the model add detail."""

from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import ImageArgument, ImageOptions, ScaleOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions, SeedOptions


@with_options
def upscale(
    image: ImageArgument = None,
    prompt: PromptArgument = None,
    *,
    larger: ScaleOptions,
    start: ImageOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Enlarge pictures, and let the model add detail.

    Each picture is enlarged, with a filter or with --upscaler. Then a little noise is added and
    removed again (img2img). An upscaler model starts from pure noise instead and sees the small
    picture.
    Without PROMPT, the prompt in each picture's own file is used. If there is none, guidance
    is off.

    Examples:
      sdloop upscale photo.png --factor 2
      sdloop upscale photo.png "an old lighthouse, oil on canvas" --factor 3 --strength 0.5 --seed 4
      sdloop upscale pictures/ --outdir large
      sdloop upscale small.png "a white cat" --model stabilityai/stable-diffusion-x4-upscaler
    """
    from sdloop.cli.make.upscale import upscale_images
    from sdloop.cli.options.recipe_fields import recipe_settings

    flags = {**given(model, output, start, larger), **recipe_settings(recipe)}
    upscale_images(image, prompt, start.images or [], flags, seeds, output)
