"""Read a picture file with its Recipe."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.images.input.read import open_image
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedPicture:
    """A picture file: its pixels, its Recipe, and how it was made.

    ``record`` has all metadata of the file. A file of another program has no Recipe; the settings
    that sdloop understands are in ``record.settings``.
    """

    path: Path
    record: Record

    @property
    def image(self) -> "Image":
        """The pixels, read from the file at each access; raises ``FileError``."""
        return open_image(str(self.path)).image

    @property
    def recipe(self) -> Recipe | None:
        """The resolved Recipe of a picture made by sdloop: ``generate`` makes the same picture."""
        return self.record.recipe

    @property
    def made(self) -> Mapping[str, Any]:
        """Weights, versions, device, sigmas and so on; see ``metadata.record.Made``."""
        return self.record.made


def read(path: str | os.PathLike[str]) -> SavedPicture:
    """Read the picture at ``path`` with its metadata, written by sdloop or another program.

    Raises ``FileError`` if the file is not a picture, or contains no settings.
    """
    path = Path(path)
    return SavedPicture(path=path, record=read_record(path))
