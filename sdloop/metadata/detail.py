"""The levels of detail for the metadata in a picture file."""

from typing import Literal

METADATA = ("full", "minimal", "none")
Metadata = Literal["full", "minimal", "none"]
