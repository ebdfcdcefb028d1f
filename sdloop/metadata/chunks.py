"""Read the texts in a picture file without decoding its pixels.

PNG has text chunks with keywords, JPEG and WebP have EXIF, and ``containers`` reads GIF and MP4.
The file is not trusted: lengths are checked, the size of compressed text is limited, and truncated
files are refused.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from sdloop.errors import FileError
from sdloop.metadata import containers, exif, sheets, xmp
from sdloop.metadata.containers import MAX_TEXT
from sdloop.metadata.foreign.read import KEYWORDS

_OTHERS = (*KEYWORDS, xmp.PNG_KEYWORD, sheets.KEYWORD)
_KEYWORDS = ("parameters", "sdloop", *_OTHERS)
_PNG = b"\x89PNG\r\n\x1a\n"


def read_texts(path: Path) -> dict[str, str]:
    """Read the texts "parameters" and "sdloop" of a PNG, JPEG, WebP, GIF or MP4, if it has them.

    For a PNG, also the texts of other programs: ``foreign.read.KEYWORDS``, and those in its EXIF.
    The content decides the format, not the suffix. Raises ``FileError`` if the file is not a
    complete, valid picture of one of these formats.
    """
    try:
        if not path.is_file():
            reason = "is not a file" if path.exists() else "does not exist"
            raise FileError(f"cannot read {str(path)!r}: it {reason}")
        with path.open("rb") as file:
            texts = _texts(file, repr(str(path)))
    except OSError as error:
        raise FileError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (UnicodeDecodeError, IndexError, struct.error, zlib.error, RecursionError) as error:
        raise FileError(f"{str(path)!r} is not a valid picture: its text is damaged") from error
    except ValueError as error:
        raise FileError(f"{str(path)!r} is not a valid picture: {error}") from error
    if "sdloop" in texts and "comment" in texts:  # sdloop also wrote the comment
        texts.setdefault("parameters", texts.pop("comment"))
    return texts


def _texts(file: BinaryIO, name: str) -> dict[str, str]:
    head = file.read(12)
    if head.startswith(_PNG):
        return _png_texts(file)
    if head.startswith(b"\xff\xd8\xff"):
        block, xml = _jpeg_blocks(file)
        return _with_xmp(exif.unpack(block), xml)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return exif.unpack(_webp_exif(file, *struct.unpack("<I", head[4:8])))
    if head.startswith((b"GIF87a", b"GIF89a")):
        return containers.gif_texts(file)
    if head[4:8] == b"ftyp" and head[8:] in (b"avif", b"avis"):
        return exif.unpack(_avif_exif(file, name))
    if head[4:8] == b"ftyp":
        return containers.mp4_texts(file)
    raise ValueError("it must be a PNG, JPEG, WebP, GIF or MP4 file")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it is cut short")
    return data


def _png_texts(file: BinaryIO) -> dict[str, str]:
    texts: dict[str, str] = {}
    file.seek(len(_PNG))
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        start = file.tell()
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = file.read(min(length, 80)).partition(b"\0")[0].decode("latin-1")
            file.seek(start)
            if keyword in _KEYWORDS and not (keyword in _OTHERS and length > MAX_TEXT):
                # The first one counts: only another program can have added a second one.
                texts.setdefault(keyword, _png_text(kind, _checked(file, kind, length)))
        if kind == b"eXIf" and length <= MAX_TEXT and not texts:
            texts = exif.unpack(_checked(file, kind, length).removeprefix(b"Exif\0\0")) | texts
        file.seek(start + length)
        _exactly(file, 4)
    return _with_xmp(texts, texts.pop(xmp.PNG_KEYWORD, ""))


def _with_xmp(texts: dict[str, str], xml: str) -> dict[str, str]:
    """``texts``, with the comment of the XMP packet if EXIF has none."""
    comment = xmp.xmp_comment(xml)
    return texts if comment is None else {"comment": comment} | texts


def _checked(file: BinaryIO, kind: bytes, length: int) -> bytes:
    if length > 2 * MAX_TEXT:
        raise ValueError(f"its text must have at most {2 * MAX_TEXT} bytes, got {length}")
    data = _exactly(file, length)
    if struct.pack(">I", zlib.crc32(kind + data)) != _exactly(file, 4):
        raise ValueError("the checksum of its text is wrong")
    return data


def _png_text(kind: bytes, data: bytes) -> str:
    """Decode the text of a chunk: Latin-1 or UTF-8, both possibly compressed."""
    rest = data.partition(b"\0")[2]
    if kind == b"tEXt":
        return _latin(rest)
    if kind == b"zTXt":
        return _latin(_inflated(rest[1:]))
    compressed, body = rest[0], rest[2:].split(b"\0", 2)[2]
    return (_inflated(body) if compressed else body).decode("utf-8")


def _latin(data: bytes) -> str:
    """Decode text that is Latin-1 by the standard, but UTF-8 in the files of many programs.

    Valid UTF-8 is decoded as UTF-8: as Latin-1 it would give words like "cafÃ©".
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, MAX_TEXT)
    if not inflater.eof:
        raise ValueError(f"its compressed text is cut short or longer than {MAX_TEXT} bytes")
    return text


def _jpeg_blocks(file: BinaryIO) -> tuple[bytes, str]:
    """Read the EXIF block and the XMP packet."""
    block = xml = b""
    file.seek(2)
    while True:
        marker, length = struct.unpack(">HH", _exactly(file, 4))
        if marker < 0xFF00 or length < 2:
            raise ValueError("it is damaged")
        data = _exactly(file, length - 2)
        if marker == 0xFFE1 and data.startswith(b"Exif\0\0"):
            block = block or data[6:]
        if marker == 0xFFE1 and data.startswith(xmp.JPEG_MARK):
            xml = xml or data.removeprefix(xmp.JPEG_MARK)
        if marker == 0xFFDA:
            _check_jpeg_end(file)
            return block, xml.decode("utf-8", "replace")


def _check_jpeg_end(file: BinaryIO) -> None:
    """Search for the end marker near the end: only a little padding may follow it."""
    start = file.tell()
    file.seek(max(start, file.seek(0, os.SEEK_END) - 2**16))
    if b"\xff\xd9" not in file.read():
        raise ValueError("it is cut short")


def _webp_exif(file: BinaryIO, size: int) -> bytes:
    end = 8 + size
    if file.seek(0, os.SEEK_END) < end:
        raise ValueError("it is cut short")
    at, block = 12, b""
    while at + 8 <= end:
        file.seek(at)
        kind, length = struct.unpack("<4sI", _exactly(file, 8))
        if kind == b"EXIF" and length <= 4 * MAX_TEXT:
            block = _exactly(file, length).removeprefix(b"Exif\0\0")
        at += 8 + length + length % 2
    return block


def _avif_exif(file: BinaryIO, name: str) -> bytes:
    """Read the EXIF block with Pillow: AVIF files are rare, and their structure is complex."""
    from sdloop.images.input.read import MAX_BYTES, opened, picture_errors

    file.seek(0)
    with picture_errors(name):
        block = opened(file.read(MAX_BYTES), name).info.get("exif", b"")
    return bytes(block).removeprefix(b"Exif\0\0")
