"""An animated PNG, put together from PNGs: their pixel data under other chunks' names.

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
_COUNT_AT = len(_SIGNATURE) + 12 + 13  # behind IHDR: where acTL says how many frames there are


def write_apng(
    file: BinaryIO,
    frames: Iterator[tuple["Image", int]],
    loop: int,
    texts: Callable[[], Mapping[str, str]],
) -> None:
    """Write ``frames``, each in RGB with its milliseconds. Their number is filled in at the end."""
    count = number = 0  # of frames, and of the chunks that number themselves
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
        # Not compressed, in no named language, the keyword not translated.
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
    """Kind and data of each chunk of ``image`` as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data, at = buffer.getbuffer(), len(_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, bytes(data[at + 8 : at + 8 + length])
        at += 12 + length
