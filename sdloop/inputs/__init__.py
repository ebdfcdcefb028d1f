"""Pictures that somebody brings: read whatever they are, fitted to a size. No torch in here."""

from sdloop.inputs.animated import frame_of, read_animated
from sdloop.inputs.canvas import Canvas, canvas, surroundings
from sdloop.inputs.frame import (
    BACK,
    RESIZES,
    framed,
    opaque,
    output_size,
    placed,
    scaled_size,
    settled_colour,
)
from sdloop.inputs.mask import ALPHA, look, painted_mask
from sdloop.inputs.read import (
    MAX_PIXELS,
    Box,
    InputFacts,
    InputImage,
    MaskFacts,
    OpenImage,
    bytes_of,
    check_pixels,
    check_sha256,
    is_picture_name,
    open_image,
    read_image,
)

__all__ = [
    "ALPHA",
    "BACK",
    "MAX_PIXELS",
    "RESIZES",
    "Box",
    "Canvas",
    "InputFacts",
    "InputImage",
    "MaskFacts",
    "OpenImage",
    "bytes_of",
    "canvas",
    "check_pixels",
    "check_sha256",
    "frame_of",
    "framed",
    "is_picture_name",
    "look",
    "opaque",
    "open_image",
    "output_size",
    "painted_mask",
    "placed",
    "read_animated",
    "read_image",
    "scaled_size",
    "settled_colour",
    "surroundings",
]
