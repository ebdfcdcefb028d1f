"""What a scene can be, and how a seed decides which one it is.

A scene is attributes, not pixels: ``drawing.py`` draws them and ``captions.py`` says them.
Everything random comes from ``random.Random(seed)``, so the data set needs no files, and training
resumes exactly where it stopped.
"""

import random
from dataclasses import dataclass

from pen import Colour

COLOURS: dict[str, Colour] = {
    "red": (214, 40, 44),
    "orange": (242, 138, 30),
    "yellow": (246, 214, 48),
    "green": (62, 168, 62),
    "blue": (52, 102, 220),
    "purple": (136, 64, 184),
    "pink": (246, 142, 186),
    "brown": (138, 88, 50),
    "white": (244, 244, 240),
    "black": (58, 56, 64),
}
"""The ten named colours. Black stays lighter than the ink, so that outlines remain visible on
it."""

NATURAL = {
    "frog": "green",
    "rabbit": "brown",
    "cat": "orange",
    "snake": "green",
    "fish": "blue",
    "house": "red",
    "tree": "green",
    "robot": "blue",
}
"""The subjects, each with the colour it has most often: what a caption without a colour should
give."""

SUBJECTS = tuple(NATURAL)
SETTINGS = {"plain": 0.30, "park": 0.16, "stage": 0.18, "night": 0.16, "beach": 0.10, "snow": 0.10}
COUNTS = {1: 0.62, 2: 0.24, 3: 0.14}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One picture's contents. ``layout`` seeds what no caption mentions: places, sizes, mirror
    images, tints."""

    subject: str
    colour: str
    setting: str
    count: int
    stilts: bool
    layout: int


def sample_scene(seed: int) -> Scene:
    """The scene of a seed; the same seed is the same scene on every machine.

    A quarter of the subjects wear their natural colour on top of their share of the ten, so that a
    prompt without a colour has a likely answer and every pair of subject and colour is still seen.
    """
    rng = random.Random(seed)
    subject = rng.choice(SUBJECTS)
    colour = NATURAL[subject] if rng.random() < 0.25 else rng.choice(list(COLOURS))
    return Scene(
        subject=subject,
        colour=colour,
        setting=rng.choices(list(SETTINGS), weights=list(SETTINGS.values()))[0],
        count=rng.choices(list(COUNTS), weights=list(COUNTS.values()))[0],
        stilts=rng.random() < 0.35,
        layout=rng.getrandbits(32),
    )
