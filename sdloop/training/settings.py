"""What decides the vectors that are learned. No torch in here."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdloop.errors import SettingError
from sdloop.prompt.learned.places import MARKS
from sdloop.rules import check_number, check_text, check_whole


def state_file_of(output: Path) -> Path:
    """Beside the file of a word, what a training that was stopped goes on from."""
    return output.with_suffix(".training.safetensors")


# What the new word is said in: Gal et al.'s, less those that only suit photographs.
TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "one {}",
    "a picture of a {}",
    "a picture of the {}",
    "a picture of one {}",
    "a rendition of a {}",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The settings of one training; with the same pictures and weights it comes out the same.

    token, init
        The new word, and the known one that it starts from: one token of the model's own.
    vectors
        How many positions it takes; all start from the same vector.
    steps, batch_size
        How often the vectors are moved, and how many pictures are looked at for each.
    learning_rate
        Adam's: about how far each number moves at a step. They are around 0.02.
    seed
        Which pictures, noise and wordings each step draws: 0 to 2**32 - 1.
    templates
        What is said of a picture, with {} where the new word stands.
    flips
        Whether every picture is looked at in a mirror as often as not.
    """

    token: str
    init: str
    vectors: int = 1
    steps: int = 500
    batch_size: int = 4
    learning_rate: float = 1e-3
    seed: int = 0
    templates: tuple[str, ...] = TEMPLATES
    flips: bool = True

    def __post_init__(self) -> None:
        for name in ("token", "init"):
            check_text(name, getattr(self, name), optional=False)
        if len(self.token.split()) != 1 or any(mark in self.token for mark in MARKS):
            raise SettingError(f"token must be a word without any of {MARKS}, got {self.token!r}")
        check_whole("vectors", self.vectors, 1, 32)
        check_whole("steps", self.steps, 1, 10**6)
        check_whole("batch_size", self.batch_size, 1, 4096)
        check_number("learning_rate", self.learning_rate, 1e-9, 1.0)
        check_whole("seed", self.seed, 0, 2**32 - 1)
        for template in self.templates:
            check_text("template", template, optional=False)
            if template.count("{}") != 1:
                raise SettingError(f"template must hold {{}} once, got {template!r}")
        if not self.templates:
            raise SettingError("templates must be at least one")

    def prompt(self, number: int) -> str:
        """The prompt that template ``number`` makes of the new word."""
        return self.templates[number].replace("{}", self.token)

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names, for JSON."""
        return {**dataclasses.asdict(self), "templates": list(self.templates)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The settings written by ``to_dict``."""
        return cls(**{**values, "templates": tuple(values["templates"])})
