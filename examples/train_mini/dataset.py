"""What is trained on: pictures and what they are called, in an endless row of places.

Everything a data set gives is a pure function of a place (and a size, and a telling), so nothing
need be stored, a run resumes by its step number alone, and any process can make any part of a
batch.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from captions import caption_of
from drawing import draw_scene
from numpy.typing import NDArray
from scenes import sample_scene

HELD_OUT = 1 << 40
"""Places from here on are never trained on; every measurement looks at them."""

Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it."""

Pixels = NDArray[np.uint8]
"""A picture as (height, width, 3)."""


class Data(Protocol):
    """The one seam between what is learnt and what it is learnt from."""

    @property
    def held_out(self) -> int:
        """How many places from ``HELD_OUT`` on there are to measure with."""

    def picture(self, place: int, size: Size) -> Pixels:
        """The picture at a place, drawn or cut to this size."""

    def caption(self, place: int, telling: int) -> str:
        """What the picture is called, the ``telling``-th time that it comes around."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenes:
    """The drawn world: a place is a scene's seed, and there is no end of them."""

    held_out: int = 256

    def picture(self, place: int, size: Size) -> Pixels:
        """The scene, drawn at this size: no two shapes of picture cut anything off."""
        return np.asarray(draw_scene(sample_scene(place), size))

    def caption(self, place: int, telling: int) -> str:
        """A new wording at each telling."""
        return caption_of(place, sample_scene(place), telling)


def held_out_places(data: Data, most: int) -> range:
    """The first places to measure with, at most this many."""
    return range(HELD_OUT, HELD_OUT + min(most, data.held_out))
