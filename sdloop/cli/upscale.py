"""``sdloop upscale``: pictures made larger, and made anew as far as their blur goes."""

from sdloop.cli.brought import fulfil_from_pictures
from sdloop.cli.flags import given, with_options
from sdloop.cli.image_options import (
    ImageArgument,
    ImageOptions,
    ScaleOptions,
    UpscaleRecipeOptions,
)
from sdloop.cli.options import ModelOptions, OutputOptions, PromptArgument, SeedOptions
from sdloop.cli.recipes import recipe_settings
from sdloop.cli.settings import standing_settings

DEFAULT_SCALE = 2.0


@with_options
def upscale(
    image: ImageArgument = None,
    prompt: PromptArgument = None,
    *,
    scale: ScaleOptions,
    start: ImageOptions,
    recipe: UpscaleRecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make pictures larger: enlarge each, then put it under a little noise and take that away.

    Without a PROMPT each picture is taken at its own word, where its file tells what it shows.

    [bold]Examples:[/bold]

    sdloop upscale photo.png --scale 2

    sdloop upscale photo.png "an old lighthouse, oil on canvas" --scale 3 --strength 0.5 --seed 4

    sdloop upscale pictures/ --outdir large
    """
    flags = {**given(model, output, start, scale), **recipe_settings(recipe)}
    if "scale" not in flags:
        # Among the flags, so that a settings file's width and height, meant for others, give way.
        flags["scale"] = standing_settings(seeds.config).recipe.get("scale", DEFAULT_SCALE)
    example = "sdloop upscale photo.png"
    images = start.images or []
    fulfil_from_pictures(
        image, prompt, images, flags, seeds, output, example=example, own_prompts=True
    )
