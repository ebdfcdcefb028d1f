"""What is trained on: pictures and what they are called, in an endless row of places.

Everything a data set gives is a pure function of a place (and a size, and a telling), so nothing
need be stored, a run resumes by its step number alone, and any process can make any part of a
batch.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from captions import caption_of, told, vocabulary
from drawing import draw_scene
from numpy.typing import NDArray
from scenes import COLOURS, COUNTS, DOINGS, SETTINGS, STYLES, sample_scene
from subjects import SUBJECTS
from words import PROMPTS

HELD_OUT = 1 << 40
"""Places from here on are never trained on; every measurement looks at them."""

Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it."""

Pixels = NDArray[np.uint8]
"""A picture as (height, width, 3)."""


class Data(Protocol):
    """The one seam between what is learnt and what it is learnt from.

    ``name``
        Two data sets of one name give the same pictures.
    ``count``
        How many different pictures there are to train on; None where there is no end of them.
    ``held_out``
        How many places from ``HELD_OUT`` on there are to measure with.
    ``questions``
        What a reader of the captions can be asked, each with its choices: "colour" with red,
        orange, ... Teaching a text encoder to answer is how it learns to tell captions apart.
    """

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int | None: ...
    @property
    def held_out(self) -> int: ...
    @property
    def questions(self) -> Mapping[str, Sequence[object]]: ...

    def picture(self, place: int, size: Size) -> Pixels:
        """The picture at a place, drawn or cut to this size."""

    def caption(self, place: int, telling: int) -> str:
        """What the picture is called, the ``telling``-th time that it comes around."""

    def answers(self, place: int) -> Sequence[Sequence[int]]:
        """For each question the numbers of the choices that are right, none where none is."""

    def facts(self, place: int) -> Sequence[int]:
        """What is so of a picture, as numbers, one for each thing that a caption may say."""

    def claim(self, place: int, telling: int, twist: int) -> tuple[str, Sequence[int]]:
        """A caption and the facts that it states, -1 for what it leaves open. Twist 0 is the
        picture's own caption; any other is another that is not quite true of it."""

    def vocabulary(self) -> dict[str, list[str]]:
        """The words that a prompt may use, by kind."""

    def prompts(self) -> list[str]:
        """Ten prompts to try."""


QUESTIONS: dict[str, tuple[object, ...]] = {
    "subject": tuple(SUBJECTS),
    "colour": tuple(COLOURS),
    "setting": tuple(SETTINGS),
    "style": tuple(STYLES),
    "count": tuple(COUNTS),
    "doing": tuple(DOINGS),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenes:
    """The drawn world: a place is a scene's seed, and there is no end of them."""

    held_out: int = 256

    @property
    def name(self) -> str:
        return "scenes"

    @property
    def count(self) -> None:
        return None

    @property
    def questions(self) -> Mapping[str, Sequence[object]]:
        return QUESTIONS

    def picture(self, place: int, size: Size) -> Pixels:
        """The scene drawn for this size, so that no shape cuts anything off."""
        return np.asarray(draw_scene(sample_scene(place), size))

    def caption(self, place: int, telling: int) -> str:
        """A new wording at each telling."""
        return caption_of(place, sample_scene(place), telling)

    def answers(self, place: int) -> Sequence[Sequence[int]]:
        """One choice each: what the scene is, whether or not the caption says so."""
        scene = sample_scene(place)
        return [
            [choices.index(getattr(scene, question))] for question, choices in QUESTIONS.items()
        ]

    def facts(self, place: int) -> Sequence[int]:
        """The answers."""
        return [answer for (answer,) in self.answers(place)]

    def claim(self, place: int, telling: int, twist: int) -> tuple[str, Sequence[int]]:
        """The wording of ``caption``; a twist replaces one thing that it says by another, the first
        one the subject, which is the hardest to see."""
        scene = sample_scene(place)
        text, said = told(place, scene, telling)
        if twist:
            dice = random.Random(f"{place} {telling} {twist}")
            question = "subject" if twist == 1 else dice.choice(sorted(said))
            others = [other for other in QUESTIONS[question] if other != getattr(scene, question)]
            scene = replace(scene, **{question: dice.choice(others)})
            text, said = told(place, scene, telling)
        stated = [
            choices.index(getattr(scene, question)) if question in said else -1
            for question, choices in QUESTIONS.items()
        ]
        return text, stated

    def vocabulary(self) -> dict[str, list[str]]:
        return vocabulary()

    def prompts(self) -> list[str]:
        return list(PROMPTS)


def held_out_places(data: Data, most: int) -> range:
    """The first places to measure with, at most this many."""
    return range(HELD_OUT, HELD_OUT + min(most, data.held_out))


def shuffled(place: int, count: int) -> tuple[int, int]:
    """Walk over ``count`` things again and again, each time in another order: which time around a
    place is, and which thing.

    >>> sorted(shuffled(place, 3) for place in range(6))
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    """
    around, at = divmod(place, count)
    return around, order(around, count)[at]


@lru_cache(maxsize=8)
def order(around: int, count: int) -> list[int]:
    """The order of one time around."""
    return random.Random(f"{around} of {count}").sample(range(count), count)
