"""Say what a scene shows, in many wordings and with parts left out.

A caption never mentions what is not drawn. Colour, setting, count and style are dropped at random,
so that short prompts ("frogs on stilts") are as familiar as full ones ("two green frogs on stilts
on a stage, watercolour"). What is left out has a likely answer: the natural colour, a plain
background, a cartoon. What a subject does or has is always said, and so is any style but the
cartoon. One caption in five has words that mean nothing, heard of or not, so that the model learns
to pass over them.
"""

import random
from dataclasses import dataclass, field
from string import ascii_lowercase

from scenes import COLOURS, COUNTS, DOINGS, SETTINGS, STYLES, Scene
from subjects import SUBJECTS
from words import ADJECTIVES, DO, DOES, FRAMES, NICKNAMES, NUMBERS, PLURAL, PRAISE, STYLED, WHERE

SAY_COLOUR, SAY_WHERE, SAY_PLAIN, SAY_COUNT, SAY_CARTOON = 0.85, 0.9, 0.25, 0.7, 0.25
NICKNAME, WHERE_FIRST, FRAMED, EMPTY_WORDS = 0.12, 0.1, 0.12, 0.2


@dataclass(slots=True)
class Telling:
    """One caption in the making: its dice, and the attributes it has named so far."""

    scene: Scene
    rng: random.Random
    said: set[str] = field(default_factory=set)

    def chance(self, share: float, attribute: str) -> bool:
        """Whether to mention an attribute, noted in ``said``."""
        if self.rng.random() >= share:
            return False
        self.said.add(attribute)
        return True

    def noun(self) -> str:
        """The subject's name, now and then a pet name, in singular or plural."""
        self.said.add("subject")
        forms = self.scene.subject, PLURAL[self.scene.subject]
        if self.scene.subject in NICKNAMES and self.rng.random() < NICKNAME:
            forms = NICKNAMES[self.scene.subject]
        return forms[self.scene.count > 1]

    def coloured(self) -> str:
        """The subject with its colour: "green frogs", "wooden carving of a rabbit"."""
        scene = self.scene
        if not self.chance(SAY_COLOUR, "colour"):
            return self.noun()
        if scene.colour != "wooden" or self.rng.random() < 0.4:
            return f"{scene.colour} {self.noun()}"
        if scene.count == 1:
            noun = self.noun()
            return self.rng.choice(
                (f"wooden carving of {article(noun)} {noun}", f"{noun} carved from wood")
            )
        return self.rng.choice(
            (f"wooden carvings of {self.noun()}", f"{self.noun()} carved from wood")
        )

    def counted(self) -> str:
        """The coloured subject with its count: "a green frog", "two frogs", "some frogs"."""
        words = self.coloured()
        if self.rng.random() < EMPTY_WORDS / 4:
            words = f"{self.rng.choice((*ADJECTIVES, unheard(self.rng)))} {words}"
        if self.scene.count == 1:
            self.said.add("count")
            choices = article(words), "one", "the", ""
            return f"{self.rng.choices(choices, weights=(80, 5, 5, 10))[0]} {words}".strip()
        if self.chance(SAY_COUNT, "count"):
            return f"{NUMBERS[self.scene.count]} {words}"
        return f"{self.rng.choices(('', 'some', 'the'), weights=(80, 10, 10))[0]} {words}".strip()

    def figure(self) -> str:
        """The subject and what it does or has."""
        self.said.add("doing")
        wordings = (DOES if self.scene.count == 1 else DO)[self.scene.doing]
        return f"{self.counted()} {self.rng.choice(wordings)}".strip()

    def placed(self) -> str:
        """The figure in its setting; a plain one is seldom worth a word."""
        figure, setting = self.figure(), self.scene.setting
        if not self.chance(SAY_PLAIN if setting == "plain" else SAY_WHERE, "setting"):
            return figure
        where = self.rng.choice(WHERE[setting])
        return f"{where}, {figure}" if self.rng.random() < WHERE_FIRST else f"{figure} {where}"

    def styled(self) -> str:
        """The whole scene in its style; a style that is not said is the cartoon."""
        text, style = self.placed(), self.scene.style
        if self.chance(SAY_CARTOON if style == "cartoon" else 1, "style"):
            return self.rng.choice(STYLED[style]).format(text)
        return self.rng.choice(FRAMES).format(text) if self.rng.random() < FRAMED else text

    def text(self) -> str:
        """The caption: lower case, with empty words at its end now and then."""
        words = [self.styled()]
        while self.rng.random() < EMPTY_WORDS:
            words.append(self.rng.choice((*PRAISE, unheard(self.rng))))
        return ", ".join(words)


def article(word: str) -> str:
    """The indefinite article in front of a word.

    >>> article("orange"), article("frog")
    ('an', 'a')
    """
    return "an" if word[0] in "aeiou" else "a"


def unheard(rng: random.Random) -> str:
    """A word that nobody has heard of."""
    return "".join(rng.choices(ascii_lowercase, k=rng.randint(3, 9)))


def told(seed: int, scene: Scene, telling: int) -> tuple[str, frozenset[str]]:
    """The caption of a seed's scene at its ``telling``-th telling, a new wording each time the
    scene comes around, and the names of the ``Scene`` attributes that it mentions.

    That nothing is done is mentioned by not being mentioned.
    """
    words = Telling(scene, random.Random(seed * 1009 + telling))
    return words.text(), frozenset(words.said)


def caption_of(seed: int, scene: Scene, telling: int) -> str:
    """The caption alone."""
    return told(seed, scene, telling)[0]


def plainly(scene: Scene) -> str:
    """All that a scene is, in the first wording of each.

    >>> from scenes import sample_scene
    >>> plainly(sample_scene(4))
    'a cartoon of a pink leopard on stilts at night'
    """
    several = scene.count > 1
    noun = PLURAL[scene.subject] if several else scene.subject
    counted = f"{scene.colour} {noun}"
    counted = f"{NUMBERS[scene.count]} {counted}" if several else f"{article(counted)} {counted}"
    parts = counted, (DO if several else DOES)[scene.doing][0], WHERE[scene.setting][0]
    return STYLED[scene.style][0].format(" ".join(part for part in parts if part))


def vocabulary() -> dict[str, list[str]]:
    """The words that mean something, by kind, as the model card lists them."""
    return {
        "subjects": list(SUBJECTS),
        "colours": list(COLOURS),
        "settings": [WHERE[setting][0] for setting in SETTINGS],
        "styles": [STYLED[style][0].removesuffix(" of {}") for style in STYLES],
        "doing": [DOES[doing][0] for doing in DOINGS if doing != "nothing"],
        "counts": [NUMBERS[count] for count in COUNTS],
    }
