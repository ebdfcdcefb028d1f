"""The prompts of pictures for which nobody names one: what their files say that they show."""

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
    """A prompt for each picture: its own, where its file tells what it was made with, else none.

    Nothing pulls where there is no prompt, so that guidance is off then, unless ``settings`` want
    it. Raises ``SettingError`` without any picture.
    """
    if not images and "image" not in settings.recipe:
        raise SettingError(f"image must be given, as in: {example}")
    prompts = []
    said: set[str] = set()
    for image in images or [str(settings.recipe["image"])]:
        own = _own(image, settings)
        text = own.get("prompt", "")
        if text and text not in said and not quiet:
            say(f'the prompt of {image!r} is in its file: "{safe(shorten(text, 60))}"')
        said.add(text)
        prompts.append(Prompt(settings={"image": image, "prompt": "", **own}))
    return prompts


def _own(image: str, settings: Settings) -> dict[str, Any]:
    """Prompt and negative prompt out of the file, as far as ``settings`` leave them open."""
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
    """The settings that the file of a picture was made with; none where it does not tell."""
    if not Path(image).is_file():  # what can be read once is left to whoever needs the pixels
        return {}
    try:
        return dict(read_record(Path(image)).settings)
    except FileError:
        return {}
