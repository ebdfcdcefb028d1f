"""A picture to make, as a value: between the plan, which knows argv, and what runs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.images.input.read import InputFacts
from sdloop.metadata.atomic import Exists
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.models.checkpoint.lora import LoraFile
    from sdloop.models.checkpoint.value import Checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A picture to make: its Recipe is resolved, and its file is known and can be written.

    ``picture`` is what it starts from, ``output`` the name or template for it that stood in a
    prompt file, and ``loras`` are the files of the Recipe's. ``key`` is the content key, where it
    is known already. ``made`` is the file of a picture that a worker made for this call before it
    died.
    """

    recipe: Recipe
    picture: InputFacts | None
    checkpoint: "Checkpoint"
    path: Path
    exists: Exists
    output: str | None
    loras: "tuple[LoraFile, ...]"
    key: str | None = None
    made: Path | None = None
