"""``Planned``: a picture to make, as passed from the plan to the code that runs it."""

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

    ``picture`` is the input picture, ``output`` the name or template from a prompt file, and
    ``loras`` are the Recipe's LoRA files. ``key`` is the content key, if it is already known.
    ``made`` is the file of a picture that a worker made for this call before it died.
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
