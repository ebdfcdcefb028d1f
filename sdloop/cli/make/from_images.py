"""Combine the input images of a command with its prompts."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.settings import Settings
from sdloop.cli.make.image_files import image_files
from sdloop.cli.make.recorded_prompts import prompts_of
from sdloop.cli.make.run import given_prompts, given_settings, make_from_prompts
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.errors import SettingError
from sdloop.images.input.read import is_picture_name

Complete = Callable[[Prompt, Settings], Prompt]


def make_from_images(
    image: str | None,
    prompt: str | None,
    images: Sequence[str],
    flags: Mapping[str, Any],
    seeds: SeedOptions,
    output: OutputOptions,
    *,
    example: str,
    needs: Sequence[str] = (),
    own_prompts: bool = False,
    complete: Complete = lambda prompt, settings: prompt,
) -> None:
    """Make pictures from each input image: the argument ``image`` and the flag's ``images``.

    ``example`` is a complete command, for errors. Every picture must have one of the fields in
    ``needs``: a line of a prompt file without it is for another command. With ``own_prompts`` no
    prompt is needed: the default is the prompt in each image's file. ``complete`` adds the
    command's own settings to a prompt.
    """
    own = own_prompts and prompt is None and seeds.from_file is None
    if prompt is None and images and seeds.from_file is None and not (own and _is_picture(image)):
        image, prompt = None, image  # with images from the flag, the only argument is the prompt
    _check_prompt(prompt)
    names = [name for name in (image, *images) if name is not None]
    files = {name: flags.get(name) for name in ("mask", "depth_map")}
    readers = {**files, "prompt": prompt, "from_file": seeds.from_file}
    check_stdin(names, {**readers, "config": seeds.config})
    settings = given_settings(flags, seeds)
    if own and prompt is None and "prompt" not in settings.recipe:
        found = prompts_of(image_files(names), settings, quiet=output.quiet, example=example)
    else:
        prompts = given_prompts(prompt, seeds.from_file, settings, example=example)
        found = _with_images(prompts, image_files(names), settings, example)
    for one in found:
        _check_needs(one, needs, settings, example)
    make_from_prompts([complete(one, settings) for one in found], settings, seeds, output)


def _check_needs(prompt: Prompt, needs: Sequence[str], settings: Settings, example: str) -> None:
    fields = {**settings.recipe, **prompt.settings}
    if needs and all(fields.get(name) is None for name in needs):
        *others, last = needs
        what = f"{', '.join(others)} or {last}" if others else last
        with blaming(prompt.where):
            raise SettingError(f"{what} must be given, as in: {example}")


def _check_prompt(prompt: str | None) -> None:
    """Raise ``SettingError`` if the prompt is a picture file, as in ``img2img a.png b.png``."""
    if _is_picture(prompt):
        raise SettingError(
            f"prompt must be a text, got the picture {prompt!r}: for more than one picture, use -i "
            "for each, or a folder"
        )


def _is_picture(name: str | None) -> bool:
    # Path.is_file() would raise for a text that is too long.
    is_file = name is not None and os.path.isfile(name)  # noqa: PTH113
    return is_file and is_picture_name(Path(str(name)))


def check_stdin(names: Sequence[str], others: Mapping[str, str | None]) -> None:
    """Raise ``SettingError`` if more than one input is standard input."""
    readers = ["image"] * names.count("-") + [key for key, value in others.items() if value == "-"]
    if len(readers) > 1:
        raise SettingError(
            f'only one input can be "-" (standard input), got {" and ".join(readers)}'
        )


def _with_images(
    prompts: Sequence[Prompt], images: Sequence[str], settings: Settings, example: str
) -> list[Prompt]:
    """Each image with every prompt; a prompt with its own image keeps it."""
    own = [prompt for prompt in prompts if "image" in prompt.settings]
    others = [prompt for prompt in prompts if "image" not in prompt.settings]
    if images and not others:
        raise SettingError("image cannot be used here: every prompt has its own image")
    if not images and others and "image" not in settings.recipe:
        raise SettingError(f"image must be given, as in: {example}")
    if not images:
        return list(prompts)
    crossed = [
        replace(prompt, settings={**prompt.settings, "image": image})
        for image in images
        for prompt in others
    ]
    return [*own, *crossed]
