"""The default prompts of input pictures: those recorded in their files."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from sdloop.batch.prompts import Prompt
from sdloop.batch.settings import Settings
from sdloop.cli.terminal.columns import safe
from sdloop.cli.terminal.output import say
from sdloop.errors import FileError, SettingError
from sdloop.metadata.picture import read_record


def prompts_of(
    images: Sequence[str], settings: Settings, *, quiet: bool, example: str
) -> list[Prompt]:
    """A prompt for each picture: the one recorded in its file, or an empty one.

    With an empty prompt, guidance is off, unless ``settings`` turn it on. Raises ``SettingError``
    if there is no picture.
    """
    if not images and "image" not in settings.recipe:
        raise SettingError(f"image must be given, as in: {example}")
    prompts = []
    said: set[str] = set()
    for image in images or [str(settings.recipe["image"])]:
        own = _own(image, settings)
        text = own.get("prompt", "")
        if text and text not in said and not quiet:
            say(f'using the prompt recorded in {image!r}: "{safe(shorten(text, 60))}"')
        said.add(text)
        prompts.append(Prompt(settings={"image": image, "prompt": "", **own}))
    return prompts


def _own(image: str, settings: Settings) -> dict[str, Any]:
    """The prompt and negative prompt recorded in the file, unless ``settings`` has its own."""
    asked = settings.recipe
    recorded = _recorded(image)
    if not recorded.get("prompt"):
        telling = ("guidance_scale", "guidance_schedule", "negative_prompt")
        guided = any(asked.get(name) not in (None, "") for name in telling)
        return {} if guided else {"guidance_scale": 1}
    own = {"prompt": recorded["prompt"]}
    negative = recorded.get("negative_prompt")
    if negative and "negative_prompt" not in asked and asked.get("guidance_scale") != 1:
        own["negative_prompt"] = negative
    return own


def _recorded(image: str) -> dict[str, Any]:
    """The settings recorded in a picture's file; empty if there are none."""
    if not Path(image).is_file():  # a pipe can be read only once, and its pixels are needed later
        return {}
    try:
        return dict(read_record(Path(image)).settings)
    except FileError:
        return {}
