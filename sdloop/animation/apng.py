"""Write an animated PNG from single PNGs, by putting their pixel data into other chunk types.

Source: W3C, Portable Network Graphics, third edition, section 11.3.6.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COUNT_AT = (
    len(_SIGNATURE) + 12 + 13
)  # the position of acTL, the chunk with the number of frames: after IHDR


def write_apng(
    file: BinaryIO,
    frames: Iterator[tuple["Image", int]],
    loop: int,
    texts: Callable[[], Mapping[str, str]],
) -> None:
    """Write ``frames``, RGB images with milliseconds. The number of frames is written last."""
    count = number = 0  # frames, and chunks with a sequence number
    for image, milliseconds in frames:
        chunks = list(_chunks(image))
        if count == 0:
            file.write(_SIGNATURE + _chunk(*chunks[0]) + _count(0, loop))
        control = (number, *image.size, 0, 0, milliseconds, 1000, 0, 0)
        file.write(_chunk(b"fcTL", struct.pack(">5I2H2B", *control)))
        number += 1
        for data in (data for kind, data in chunks if kind == b"IDAT"):
            if count == 0:
                file.write(_chunk(b"IDAT", data))
            else:
                file.write(_chunk(b"fdAT", struct.pack(">I", number) + data))
                number += 1
        count += 1
    for keyword, text in texts().items():
        # No compression, no language, no translated keyword.
        file.write(_chunk(b"iTXt", keyword.encode() + b"\0\0\0\0\0" + text.encode()))
    file.write(_chunk(b"IEND", b""))
    file.seek(_COUNT_AT)
    file.write(_count(count, loop))
    file.seek(0, io.SEEK_END)


def _count(frames: int, loop: int) -> bytes:
    return _chunk(b"acTL", struct.pack(">2I", frames, loop))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(image: "Image") -> Iterator[tuple[bytes, bytes]]:
    """Encode ``image`` as a PNG; yields the type and data of each chunk."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data, at = buffer.getbuffer(), len(_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, bytes(data[at + 8 : at + 8 + length])
        at += 12 + length
