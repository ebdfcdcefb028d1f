"""Regions: parts of a picture with a prompt of their own.

::

    region := PROMPT "=" WHERE [ ":" WEIGHT ]      a red frog=mask.png:0.8
    WHERE  := FILE | X "," Y "," WIDTH "," HEIGHT  a red frog=0,0,0.5,1

The numbers of a box are shares of the picture's width and height. The last equals sign counts, so a
prompt may contain one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SettingError
from sdloop.images.input.mask import mask_words
from sdloop.prompt.check import check_prompt
from sdloop.prompt.compose import parts
from sdloop.recipe.parse import split_numbers
from sdloop.rules import check_number

Box = tuple[float, float, float, float]

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_BOX = re.compile(r"\s*,\s*".join([rf"({_NUMBER})"] * 4), re.I)
_ROUNDED = 1e-9  # 0.7 + 0.3 is more than 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A prompt for the part of a picture in ``file``, a mask, or in ``box``.

    A box is (left, top, width, height) in shares of the picture, 0 to 1. ``weight``, 0 to 1, is how
    much of the main prompt the region's replaces there. ``str()`` gives the normalised text.
    """

    prompt: str
    file: str | None = None
    box: Box | None = None
    weight: float = 1.0

    def __str__(self) -> str:
        where = place_text(self.file, self.box)
        ambiguous = self.file is not None and split_numbers(self.file)[1]
        weight = f":{self.weight:.12g}" if self.weight != 1 or ambiguous else ""
        return f"{self.prompt}={where}{weight}"


def parse_region(text: str) -> Region:
    """Parse the text of a region.

    >>> parse_region("a red frog=0, 0, .5, 1:0.8").box, str(parse_region("a frog=mask.png:1.0"))
    ((0.0, 0.0, 0.5, 1.0), 'a frog=mask.png')
    """
    prompt, equals, rest = text.rpartition("=")
    where, weights = split_numbers(rest)
    where = where.strip()
    if not equals or not prompt.strip() or not where:
        raise SettingError.of(
            "regions",
            'must be a prompt and where it counts, as in "a red frog=mask.png" or '
            f'"a red frog=0,0,0.5,1", got {text!r}',
        )
    weight = weights[0] if weights else 1.0
    check_number("the weight of a region in regions", weight, 0, 1)
    file, box = parse_place("regions", where)
    return Region(prompt=prompt.strip(), file=file, box=box, weight=weight)


def parse_place(field: str, where: str) -> tuple[str | None, Box | None]:
    """The mask or the box that a text names: one of the two. Errors are about the ``field``."""
    found = _BOX.fullmatch(where)
    if found is None:
        words = mask_words(where)
        if words is not None:
            raise SettingError.of(
                field,
                f"must have a box or a mask's file, got {where!r}: save the mask first, with "
                f'sdloop inspect mask IMAGE "{where}" -o mask.png',
            )
        return where, None
    left, top, width, height = map(float, found.groups())
    ends = max(left + width, top + height)
    if min(left, top) < 0 or min(width, height) <= 0 or ends > 1 + _ROUNDED:
        raise SettingError.of(
            field,
            "must have a box of left, top, width and height within the picture, in shares from 0 "
            f"to 1, got {where!r}",
        )
    return None, (left, top, width, height)


def place_text(file: str | None, box: Box | None) -> str:
    """The normalised text of a mask or a box."""
    return str(file) if box is None else ",".join(f"{side:.12g}" for side in box)


def settled_regions(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The normalised regions; raises ``SettingError`` for one whose prompt cannot be used."""
    if "regions" not in given:
        for name in ("regions_sha256", "region_alone"):
            if given.get(name) is not None:
                raise SettingError.of(name, "needs regions, but none are given")
        return {}
    named = [parse_region(text) for text in given["regions"]]
    for one in named if given["emphasis"] != "none" else ():
        check_prompt("regions", one.prompt, steps, combines=False)
        if len(parts(one.prompt)) > 1:
            raise SettingError.of("regions", f"must not contain AND, got {one.prompt!r}")
    return {"regions": tuple(map(str, named))}
