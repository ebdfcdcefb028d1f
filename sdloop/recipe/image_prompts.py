"""Image prompts: pictures that an IP-Adapter shows to the model beside the prompt.

::

    image prompt := [ ADAPTER "=" ] IMAGE [ "=" WHERE ] [ ":" SCALE ]
    WHERE        := FILE | X "," Y "," WIDTH "," HEIGHT  as for a region

as in frog.png, frog.png=mask.png:0.6 or plus.safetensors=frog.png:0.6. A picture is seen by the
ADAPTER, a file with one of ``ENDINGS``, or by that of the setting ip_adapter.

Pictures that one adapter sees without a place are seen together, as the words of one text are, so
they share a scale. Each picture with a place counts by itself there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.controls import MAX_SCALE
from sdloop.recipe.parse import short_number, split_numbers
from sdloop.recipe.regions import Box, parse_place, place_text
from sdloop.rules import check_number

FIELD = "image_prompts"
ENDINGS = (".safetensors", ".bin")  # of IP-Adapters
_SEEN_BY = re.compile(r"(.+?\.(?:safetensors|bin))=(.*)", re.IGNORECASE | re.DOTALL)
# The settings that mean nothing without image prompts.
BESIDE = (
    *("ip_adapter", "image_encoder"),
    *("image_prompts_sha256", "ip_adapter_sha256", "image_encoder_sha256"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePrompt:
    """A picture, how much it counts, and where: in a mask, in a box, or everywhere.

    ``adapter`` is its own IP-Adapter, if it has one. ``str()`` gives the normalised text.
    """

    image: str
    scale: float = 1.0
    file: str | None = None
    box: Box | None = None
    adapter: str | None = None

    def __str__(self) -> str:
        by = "" if self.adapter is None else f"{self.adapter}="
        named = f"{self.image}={place_text(self.file, self.box)}" if self.placed else self.image
        written = self.scale != 1 or split_numbers(named)[1]
        return by + (f"{named}:{short_number(self.scale)}" if written else named)

    @property
    def placed(self) -> bool:
        return self.file is not None or self.box is not None


def parse_image_prompt(text: str) -> ImagePrompt:
    """Parse the text of an image prompt.

    >>> parse_image_prompt("frog.png=0,0,.5,1:0.60").box, str(parse_image_prompt("frog.png:1.0"))
    ((0.0, 0.0, 0.5, 1.0), 'frog.png')
    """
    named, scales = split_numbers(text)
    seen_by = _SEEN_BY.fullmatch(named)
    adapter, named = seen_by.groups() if seen_by else (None, named)
    image, equals, where = (part.strip() for part in named.rpartition("="))
    if not equals:
        image, where = where, ""
    if image in ("", "-") or (equals and not where):
        raise SettingError.of(
            FIELD,
            "must be a picture and where it counts, as in frog.png, frog.png:0.6 or "
            f"frog.png=mask.png:0.6, got {text!r}",
        )
    scale = scales[0] if scales else 1.0
    check_number(f"{FIELD}.scale", scale, -MAX_SCALE, MAX_SCALE)
    file, box = parse_place(FIELD, where) if equals else (None, None)
    return ImagePrompt(image=image, scale=scale + 0.0, file=file, box=box, adapter=adapter)


def settled_image_prompts(given: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised image prompts; raises ``SettingError`` if they and ``BESIDE`` do not fit."""
    if FIELD not in given:
        for name in BESIDE:
            if given.get(name) is not None:
                raise SettingError.of(name, f"needs {FIELD}, but none are given")
        return {}
    named = [parse_image_prompt(text) for text in given[FIELD]]
    shared = any(one.adapter is None for one in named)
    if shared and given.get("ip_adapter") is None:
        raise SettingError.of(FIELD, "need ip_adapter, the file of an IP-Adapter")
    if not shared and given.get("ip_adapter") is not None:
        raise SettingError.of("ip_adapter", "is not used: each of image_prompts names its own")
    first: dict[str | None, ImagePrompt] = {}
    for one in (one for one in named if not one.placed):
        other = first.setdefault(one.adapter, one)
        if one.scale != other.scale:
            raise SettingError.of(
                FIELD,
                "without a place are seen together and must have one scale, got "
                f"{str(other)!r} and {str(one)!r}; with a place, as in =0,0,1,1 for the "
                "whole picture, each has its own",
            )
    return {FIELD: tuple(map(str, named))}
