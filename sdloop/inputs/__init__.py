"""Pictures that somebody brings: read whatever they are, fitted to a size. No torch in here."""

from sdloop.inputs.frame import RESIZES, framed, output_size, settled_colour
from sdloop.inputs.read import (
    InputFacts,
    InputImage,
    OpenImage,
    check_sha256,
    is_picture_name,
    open_image,
    read_image,
)

__all__ = [
    "RESIZES",
    "InputFacts",
    "InputImage",
    "OpenImage",
    "check_sha256",
    "framed",
    "is_picture_name",
    "open_image",
    "output_size",
    "read_image",
    "settled_colour",
]
