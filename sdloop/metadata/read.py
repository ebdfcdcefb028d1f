"""A picture's file, read back."""

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
    """A picture's file: its pixels, its Recipe, and how it was made.

    ``record`` is all that the file says; that of another program has no Recipe, and the settings
    that translate are in ``record.settings``.
    """

    path: Path
    record: Record

    @property
    def image(self) -> "Image":
        """The pixels, read from the file each time; raises ``FileError``."""
        return open_image(str(self.path)).image

    @property
    def recipe(self) -> Recipe | None:
        """The Recipe of a picture that sdloop made, resolved: ``generate`` makes it again."""
        return self.record.recipe

    @property
    def made(self) -> Mapping[str, Any]:
        """What the file says of weights, versions, device and sigmas; see ``metadata.record``."""
        return self.record.made


def read(path: str | os.PathLike[str]) -> SavedPicture:
    """The picture at ``path`` with what its file says; of sdloop's files and other programs'.

    Raises ``FileError`` for what is not a picture, and for one that does not say how it was made.
    """
    path = Path(path)
    return SavedPicture(path=path, record=read_record(path))
