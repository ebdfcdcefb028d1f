"""What a scene can be, and how a seed decides which one it is.

A scene is attributes, not pixels: ``drawing.py`` draws them and ``captions.py`` says them.
Everything random comes from ``random.Random(seed)``, so the data set needs no files, and training
resumes exactly where it stopped.
"""

import random
from dataclasses import dataclass
from typing import TypeVar

from pen import Colour
from subjects import SUBJECTS

Choice = TypeVar("Choice")

COLOURS: dict[str, Colour] = {
    "red": (214, 40, 44),
    "orange": (244, 134, 28),
    "yellow": (246, 214, 48),
    "green": (62, 168, 62),
    "blue": (46, 98, 222),
    "purple": (136, 60, 190),
    "pink": (248, 146, 190),
    "brown": (130, 80, 44),
    "white": (246, 246, 242),
    "black": (58, 56, 64),
    "wooden": (190, 150, 100),
}
"""The ten named colours, and wood. Black stays lighter than the ink, so that outlines remain
visible on it."""

SETTINGS = {
    "plain": 0.20, "park": 0.12, "stage": 0.14, "night": 0.12,
    "beach": 0.11, "snow": 0.10, "forest": 0.10, "indoors": 0.11,
}  # fmt: skip
STYLES = {"cartoon": 0.46, "watercolour": 0.18, "pencil": 0.18, "pixel": 0.18}
COUNTS = {1: 0.66, 2: 0.21, 3: 0.13}
DOINGS = {
    "nothing": 0.36,
    "stilts": 0.28,
    "leaf": 0.09,
    "hat": 0.11,
    "tree": 0.08,
    "umbrella": 0.08,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One picture's contents. ``layout`` seeds what no caption mentions: places, sizes, mirror
    images, tints."""

    subject: str
    colour: str
    setting: str
    style: str
    count: int
    doing: str
    layout: int

    @property
    def stilts(self) -> bool:
        """Whether the subjects stand on stilts."""
        return self.doing == "stilts"


def sample_scene(seed: int) -> Scene:
    """The scene of a seed; the same seed is the same scene on every machine.

    A quarter of the subjects wear their natural colour on top of their share of the eleven, so
    that a prompt without a colour has a likely answer and every pair of subject and colour is
    still seen. What cannot be (a house that eats, a tree under a tree) becomes stilts, which
    anything can stand on.
    """
    rng = random.Random(seed)
    name = rng.choice(list(SUBJECTS))
    natural = rng.random() < 0.25
    colour = rng.choice(list(COLOURS))
    setting, style, count, doing = (pick(rng, odds) for odds in (SETTINGS, STYLES, COUNTS, DOINGS))
    return Scene(
        subject=name,
        colour=SUBJECTS[name].colour if natural else colour,
        setting=setting,
        style=style,
        count=count,
        doing=doing if can(name, doing) else "stilts",
        layout=rng.getrandbits(32),
    )


def pick(rng: random.Random, odds: dict[Choice, float]) -> Choice:
    """One of the choices, as often as its share says."""
    return rng.choices(list(odds), weights=list(odds.values()))[0]


def can(subject: str, doing: str) -> bool:
    """Whether a subject can do or have this."""
    if doing == "leaf":
        return SUBJECTS[subject].mouth is not None
    return not (doing == "tree" and subject == "tree")
