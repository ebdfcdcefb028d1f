"""``sdloop img2img``: pictures from a picture and text."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sdloop.cli.asked import asked_prompts, asked_settings, fulfil
from sdloop.cli.flags import given, with_options
from sdloop.cli.image_files import image_files
from sdloop.cli.image_options import ImageArgument, ImageOptions
from sdloop.cli.options import (
    ModelOptions,
    OutputOptions,
    PromptArgument,
    RecipeOptions,
    SeedOptions,
)
from sdloop.cli.prompt_file import Prompt
from sdloop.cli.recipes import recipe_settings
from sdloop.cli.settings import Settings
from sdloop.errors import SettingError
from sdloop.inputs import is_picture_name

_EXAMPLE = 'sdloop img2img sketch.png "a wooden carving of a rabbit"'


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
    """Make pictures from pictures and a prompt: put each under noise, and take that away again.

    [bold]Examples:[/bold]

    sdloop img2img sketch.png "a wooden carving of a rabbit eating a leaf" --strength 0.6 --seed 4

    sdloop img2img -i day.jpg -i night.jpg "the old harbour, oil on canvas" --seed 1..4

    sdloop img2img frames/ "an old film" --strength 0.4 --seed 4 --outdir film
    """
    images = start.images or []
    if prompt is None and images and seeds.from_file is None:
        image, prompt = None, image  # named by a flag, pictures leave the place to the prompt
    _check_prompt(prompt)
    names = [name for name in (image, *images) if name is not None]
    _check_stdin(names, {"prompt": prompt, "from_file": seeds.from_file, "config": seeds.config})
    flags = {**given(model, output, start), **recipe_settings(recipe)}
    settings = asked_settings(flags, seeds)
    prompts = asked_prompts(prompt, seeds.from_file, settings, example=_EXAMPLE)
    fulfil(_with_images(prompts, image_files(names), settings), settings, seeds, output)


def _check_prompt(prompt: str | None) -> None:
    """Whoever lists pictures as one does for other commands has named one for a prompt."""
    # Path.is_file() would raise for a text that is too long.
    is_file = prompt is not None and os.path.isfile(prompt)  # noqa: PTH113
    if is_file and is_picture_name(Path(str(prompt))):
        raise SettingError(
            f"prompt must be a text, and {prompt!r} is a picture: name each picture after the "
            "first with -i, or their folder"
        )


def _check_stdin(names: Sequence[str], others: Mapping[str, str | None]) -> None:
    """It can be read once."""
    readers = ["image"] * names.count("-") + [key for key, value in others.items() if value == "-"]
    if len(readers) > 1:
        raise SettingError(f'only one can be "-", standard input, got {" and ".join(readers)}')


def _with_images(
    prompts: Sequence[Prompt], images: Sequence[str], settings: Settings
) -> list[Prompt]:
    """Each image with every prompt; a line that brings its own image keeps that."""
    own = [prompt for prompt in prompts if "image" in prompt.settings]
    others = [prompt for prompt in prompts if "image" not in prompt.settings]
    if images and not others:
        raise SettingError("image means nothing here: every prompt has its own image")
    if not images and others and "image" not in settings.recipe:
        raise SettingError(f"image must be given, as in: {_EXAMPLE}")
    if not images:
        return list(prompts)
    crossed = [
        replace(prompt, settings={**prompt.settings, "image": image})
        for image in images
        for prompt in others
    ]
    return [*own, *crossed]
