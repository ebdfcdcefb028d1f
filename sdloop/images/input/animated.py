"""The frames of one file that moves, as they are to be seen, by Pillow: GIF, WebP, PNG."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sdloop.errors import FileError
from sdloop.images.input.read import MAX_BYTES, InputImage, colours, opened, picture_errors

if TYPE_CHECKING:
    from PIL.Image import Image

# What browsers make of a frame that asks for no time, or for less than they give.
_HASTY, _USUAL = 10, 100


def read_animated(data: bytes, name: str) -> Iterator[tuple[InputImage, float]]:
    """Each frame of the file in ``data`` and its seconds; a picture that stands still has one.

    What a frame only changes is laid over what it leaves: Pillow composes them. ``name`` is for
    messages. Raises ``FileError``, also for a file that ends too early.
    """
    if len(data) > MAX_BYTES:
        raise FileError(f"cannot read {name}: it is larger than {MAX_BYTES // 2**20} MiB")
    with picture_errors(name):
        _check_end(data)
        file = opened(data, name)
        count = getattr(file, "n_frames", 1)
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
    """A frame that has no file of its own: its sha256 is that of its size and its pixels."""
    head = f"{image.mode} {image.width}x{image.height}\n".encode()
    return InputImage(
        name=name, sha256=hashlib.sha256(head + image.tobytes()).hexdigest(), image=image
    )


def _check_end(data: bytes) -> None:
    """Pillow would take the frames that are left of a GIF for all there are."""
    if data[:3] == b"GIF" and not data.rstrip(b"\0").endswith(b";"):
        raise ValueError("it is cut short")
