"""Write an animated WebP from lossless single WebPs.

Source: RFC 9649, sections 2.7.1.1 and 2.7.1.2.
"""

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from sdloop.errors import SettingError
from sdloop.metadata import exif, xmp

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 16383
_ANIMATED, _HAS_XMP, _HAS_EXIF = 0x02, 0x04, 0x08
_OPAQUE_OVER = 0x02  # a frame's flag: do not blend it with the frame before


def write_webp(
    file: BinaryIO,
    frames: Iterator[tuple["Image", int]],
    loop: int,
    texts: Callable[[], Mapping[str, str]],
) -> None:
    """Write ``frames``, RGB images with milliseconds. The file header is written last."""
    size, head = (1, 1), len(_head((1, 1), 0, 0, 0))
    file.write(bytes(head))
    for image, milliseconds in frames:
        size = image.size
        if max(size) > MAX_SIDE:
            raise SettingError(
                f"width and height must be at most {MAX_SIDE} for .webp files, "
                f"got {size[0]}x{size[1]}"
            )
        file.write(_chunk(b"ANMF", _frame_head(image, milliseconds) + _pixels(image)))
    known, flags = texts(), _ANIMATED
    for kind, flag, data in (
        (b"EXIF", _HAS_EXIF, exif.pack(known)),
        (b"XMP ", _HAS_XMP, xmp.packet(known)),
    ):
        if data:
            file.write(_chunk(kind, data))
            flags |= flag
    total = file.tell()
    file.seek(0)
    file.write(_head(size, flags, loop, total))
    file.seek(0, io.SEEK_END)


def _head(size: tuple[int, int], flags: int, loop: int, total: int) -> bytes:
    canvas = struct.pack("<I", flags) + _three(size[0] - 1) + _three(size[1] - 1)
    moving = struct.pack("<IH", 0, loop)  # 0: the background colour, which is never visible
    length = max(0, total - 8)
    return (
        struct.pack("<4sI4s", b"RIFF", length, b"WEBP")
        + _chunk(b"VP8X", canvas)
        + _chunk(b"ANIM", moving)
    )


def _frame_head(image: "Image", milliseconds: int) -> bytes:
    sides = _three(image.width - 1) + _three(image.height - 1)
    return _three(0) + _three(0) + sides + _three(milliseconds) + bytes([_OPAQUE_OVER])


def _pixels(image: "Image") -> bytes:
    """Encode ``image`` as a WebP; returns its VP8L chunk with padding."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, exact=True)
    data = buffer.getvalue()
    at = 12
    while data[at : at + 4] != b"VP8L":
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2
    (length,) = struct.unpack_from("<I", data, at + 4)
    return data[at : at + 8 + length + length % 2]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) % 2)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")
