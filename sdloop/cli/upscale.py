"""``sdloop upscale``: pictures made larger, and made anew as far as their blur goes."""

import contextlib
from collections.abc import Mapping
from typing import Any

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
from sdloop.cli.settings import Settings, standing_settings
from sdloop.errors import ModelError, SettingError

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

    A model that is an upscaler starts from noise, and sees the small picture as well.

    Without a PROMPT each picture is taken at its own word, where its file tells what it shows.

    [bold]Examples:[/bold]

    sdloop upscale photo.png --scale 2

    sdloop upscale photo.png "an old lighthouse, oil on canvas" --scale 3 --strength 0.5 --seed 4

    sdloop upscale pictures/ --outdir large

    sdloop upscale small.png "a white cat" --model stabilityai/stable-diffusion-x4-upscaler
    """
    flags = {**given(model, output, start, scale), **recipe_settings(recipe)}
    if "scale" not in flags:
        # Among the flags, so that a settings file's width and height, meant for others, give way.
        flags["scale"] = _usual_scale(flags, seeds.config, may_fetch=not output.dry_run)
    example = "sdloop upscale photo.png"
    images = start.images or []
    fulfil_from_pictures(
        image, prompt, images, flags, seeds, output, example=example, own_prompts=True
    )


def _usual_scale(flags: Mapping[str, Any], config: str | None, *, may_fetch: bool) -> float:
    """What a settings file says, or what suits the model: an upscaler knows one scale alone."""
    from sdloop.checkpoint import find_checkpoint

    settings = Settings.of(flags).over(standing_settings(config)).recipe
    if "scale" in settings:
        return float(settings["scale"])
    named = {name: settings.get(name) for name in ("revision", "variant", "vae")}
    # Whoever needs the model says what is wrong with it.
    with contextlib.suppress(ModelError, SettingError):
        found = find_checkpoint(settings.get("model", "mini"), **named, may_fetch=may_fetch)
        if found.max_noise_level is not None:
            return float(found.size_multiple)
    return DEFAULT_SCALE
