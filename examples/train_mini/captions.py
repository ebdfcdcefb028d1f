"""Say what a scene shows, in many wordings and with parts left out.

A caption never mentions what is not drawn. Colour, setting and count are dropped at random, so
that short prompts ("frogs on stilts") are as familiar as full ones ("two green frogs on stilts on
a stage"); stilts are always said.
"""

import random

from scenes import Scene

PLURAL = {
    "frog": "frogs",
    "rabbit": "rabbits",
    "cat": "cats",
    "snake": "snakes",
    "fish": "fishes",
    "house": "houses",
    "tree": "trees",
    "robot": "robots",
}
WHERE = {
    "plain": ("on a plain background", "in an empty room"),
    "park": ("in a park", "in the park", "on the grass", "on a sunny day"),
    "stage": ("on a stage", "on stage", "on a stage with red curtains", "in a theatre"),
    "night": ("at night", "at night under the moon", "under the stars", "in the night"),
    "beach": ("on a beach", "at the beach", "by the sea"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
}
STILTS = (
    "on stilts",
    "on stilts",
    "on stilts",
    "on long stilts",
    "walking on stilts",
    "with stilts",
)
PREFIXES = ("a picture of", "a drawing of", "a painting of", "an illustration of", "a cartoon of")
SUFFIXES = (
    "highly detailed",
    "best quality",
    "cartoon style",
    "beautiful",
    "simple shapes",
    "cute",
)
SAY_COLOUR, SAY_WHERE, SAY_COUNT = 0.8, 0.85, 0.6
SAY_PLAIN = 0.2


def article(word: str) -> str:
    """The indefinite article in front of a word.

    >>> article("orange"), article("frog")
    ('an', 'a')
    """
    return "an" if word[0] in "aeiou" else "a"


def subject_phrase(scene: Scene, rng: random.Random) -> str:
    """The subject with its colour and count, either of which may be left out: "two green frogs",
    "a frog"."""
    colour = [scene.colour] if rng.random() < SAY_COLOUR else []
    if scene.count == 1:
        words = [*colour, scene.subject]
        first = rng.choices((article(words[0]), "one", "the", ""), weights=(0.8, 0.05, 0.05, 0.1))[
            0
        ]
    else:
        words = [*colour, PLURAL[scene.subject]]
        number = {2: "two", 3: "three"}[scene.count]
        first = (
            number
            if rng.random() < SAY_COUNT
            else rng.choices(("", "some", "the"), weights=(0.8, 0.1, 0.1))[0]
        )
    return " ".join([first, *words]).strip()


def where_phrase(scene: Scene, rng: random.Random) -> str:
    """The setting, or nothing; a plain one is rarely worth a word."""
    said = rng.random() < (SAY_PLAIN if scene.setting == "plain" else SAY_WHERE)
    return rng.choice(WHERE[scene.setting]) if said else ""


def caption(scene: Scene, rng: random.Random) -> str:
    """One of the many captions of a scene: lower case, the setting sometimes first, sometimes with
    empty praise."""
    subject, where = subject_phrase(scene, rng), where_phrase(scene, rng)
    if scene.stilts:
        subject = f"{subject} {rng.choice(STILTS)}"
    if rng.random() < 0.15:
        subject = f"{rng.choice(PREFIXES)} {subject}"
    swap = bool(where) and rng.random() < 0.1
    text = f"{where}, {subject}" if swap else f"{subject} {where}".strip()
    return f"{text}, {rng.choice(SUFFIXES)}" if rng.random() < 0.1 else text


def caption_of(seed: int, scene: Scene, telling: int) -> str:
    """The caption of a seed's scene at its ``telling``-th telling: a new wording each time the
    scene comes around."""
    return caption(scene, random.Random(seed * 1009 + telling))
