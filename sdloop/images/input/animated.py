"""Read the frames of an animated GIF, WebP or PNG with Pillow."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sdloop.errors import FileError
from sdloop.images.input.read import (
    MAX_BYTES,
    InputImage,
    colours,
    is_one_photo,
    opened,
    picture_errors,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# How long browsers show a frame whose duration is zero or too short.
_HASTY, _USUAL = 10, 100


def read_animated(data: bytes, name: str) -> Iterator[tuple[InputImage, float]]:
    """Each frame of the file in ``data`` and its seconds; a still picture has one frame.

    Pillow composes frames that only store changes. ``name`` is for messages. Raises ``FileError``,
    also for a truncated file.
    """
    if len(data) > MAX_BYTES:
        raise FileError(f"cannot read {name}: it is larger than {MAX_BYTES // 2**20} MiB")
    with picture_errors(name):
        _check_end(data)
        file = opened(data, name)
        count = 1 if is_one_photo(file) else getattr(file, "n_frames", 1)
    for index in range(count):
        with picture_errors(name):
            file.seek(index)
            file.load()
            image = colours(file.copy(), name)
            milliseconds = float(file.info.get("duration") or 0)
        if milliseconds <= _HASTY:
            milliseconds = _USUAL
        yield frame_of(image, f"frame {index + 1} of {name}"), milliseconds / 1000


def frame_of(image: "Image", name: str) -> InputImage:
    """A frame as an input picture; it has no file, so its sha256 is of its size and pixels."""
    head = f"{image.mode} {image.width}x{image.height}\n".encode()
    return InputImage(
        name=name, sha256=hashlib.sha256(head + image.tobytes()).hexdigest(), image=image
    )


def _check_end(data: bytes) -> None:
    """Refuse a truncated GIF: Pillow would silently read fewer frames."""
    if data[:3] == b"GIF" and not data.rstrip(b"\0").endswith(b";"):
        raise ValueError("it is truncated")
