"""The settings of a training. This module does not import torch."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdloop.errors import SettingError
from sdloop.prompt.learned.places import MARKS
from sdloop.rules import check_number, check_text, check_whole


def state_file_of(output: Path) -> Path:
    """The state file for the word's file ``output``: a training is resumed from it."""
    return output.with_suffix(".training.safetensors")


# The prompts for the new word: those of Gal et al., without those for photographs only.
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
    """The settings of one training. The same settings, pictures and weights give the same word.

    token, init
        The new word, and the known word that it starts from; ``init`` must be a single token.
    vectors
        The number of vectors (token positions) of the word; all start as the vector of ``init``.
    steps, batch_size
        The number of optimiser steps, and the number of pictures in each.
    learning_rate
        Adam's: about how far each value of a vector moves in one step. Values are around 0.02.
    seed
        Decides the random pictures, noise and templates of each step: 0 to 2**32 - 1.
    templates
        The prompts for the pictures, with {} in place of the new word.
    flips
        Whether pictures are mirrored at random, half of the time.
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
                raise SettingError(f"template must contain {{}} exactly once, got {template!r}")
        if not self.templates:
            raise SettingError("templates must have at least one item, got none")

    def prompt(self, number: int) -> str:
        """Template ``number`` with the new word in it."""
        return self.templates[number].replace("{}", self.token)

    def to_dict(self) -> dict[str, Any]:
        """The settings as a dict of plain values, for JSON."""
        return {**dataclasses.asdict(self), "templates": list(self.templates)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The settings written by ``to_dict``."""
        return cls(**{**values, "templates": tuple(values["templates"])})
