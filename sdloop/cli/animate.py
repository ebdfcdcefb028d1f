"""``sdloop animate``: img2img on each frame of an animation or a video."""

from sdloop.cli.options.animate import MovingOptions, MovingOutput
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.image import ImageArgument, ImageOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import PromptArgument, RecipeOptions


@with_options
def animate(
    image: ImageArgument = None,
    prompt: PromptArgument = None,
    *,
    start: ImageOptions,
    recipe: RecipeOptions,
    moving: MovingOptions,
    model: ModelOptions,
    output: MovingOutput,
) -> None:
    """Restyle an animation or a video, frame by frame.

    The prompt says what the frames become. IMAGE is an animated GIF, WebP or PNG, a folder of
    pictures, or a video (needs the extra `video`). All frames get the same noise (img2img), so
    that they stay alike.

    Examples:
      sdloop animate frames/ "a wooden carving of a rabbit" --strength 0.5 -o carving.gif
      sdloop animate hop.gif "a watercolour of a rabbit" --strength 0.4 --carry 0.3 -o hop.webp
    """
    from sdloop.cli.make.animate import animate_images

    animate_images(
        image, prompt, start=start, recipe=recipe, moving=moving, model=model, output=output
    )
