"""Write and read the two texts in formats without named texts: GIF and MP4.

A GIF has each text in a comment extension; ours begins with the word "sdloop". An MP4 has both, as
JSON, in a box of the type "uuid", which players skip. It is the last box, because the texts are
complete only at the end, and it can be read without a video library. Both formats have a place for
XMP, with the label of generated pictures.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from sdloop.metadata import xmp

# Pillow and many others refuse longer texts.
MAX_TEXT = 2**20

_OURS = b"sdloop "
_BOX = b"uuid"
_BOX_ID = b"sdloop.settings\0"  # 16 bytes, unique to sdloop
_COMMENT = b"\x21\xfe"
# XMP is in the file as it is, not in sub-blocks. So it needs an end that leads every reader of
# sub-blocks, which takes some letter of it for a length, to the zero at its end.
_GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
_GIF_XMP_END = bytes([1, *range(255, -1, -1), 0])
_XMP_ID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")


def gif_comments(texts: Mapping[str, str]) -> bytes:
    """The comment extensions with ``texts``; they belong before a GIF's last byte."""
    bodies = [
        (_OURS if keyword == "sdloop" else b"") + text.encode()
        for keyword, text in texts.items()
        if keyword != xmp.PNG_KEYWORD
    ]
    comments = b"".join(_COMMENT + _blocks(body) for body in bodies if body)
    label = xmp.packet(texts)
    return comments + (_GIF_XMP + label + _GIF_XMP_END if label else b"")


def mp4_box(texts: Mapping[str, str]) -> bytes:
    """The boxes with ``texts`` for the end of an MP4; empty if there are no texts."""
    if not texts:
        return b""
    own = json.dumps({name: text for name, text in texts.items() if name != xmp.PNG_KEYWORD})
    label = xmp.packet(texts)
    bodies = [_XMP_ID + label] if label else []
    bodies.append(_BOX_ID + own.encode())
    return b"".join(struct.pack(">I4s", 8 + len(body), _BOX) + body for body in bodies)


def gif_texts(file: BinaryIO) -> dict[str, str]:
    """Read the texts in a GIF's comments. Raises ``ValueError`` for an incomplete GIF."""
    texts: dict[str, str] = {}
    file.seek(10)
    (flags,) = _exactly(file, 1)
    file.seek(13 + _table(flags))
    while (mark := _exactly(file, 1)) != b";":
        if mark == b",":
            (flags,) = _exactly(file, 9)[8:]
            _exactly(file, _table(flags) + 1)
            _skip_blocks(file)
        elif mark == b"!" and _exactly(file, 1) == _COMMENT[1:]:
            body = _joined_blocks(file)
            keyword = "sdloop" if body.startswith(_OURS + b"{") else "comment"
            texts.setdefault(keyword, body.removeprefix(_OURS).decode("utf-8", "replace"))
        elif mark == b"!":
            _skip_blocks(file)
        else:
            raise ValueError("it is damaged")
    return texts


def mp4_texts(file: BinaryIO) -> dict[str, str]:
    """Read the texts in an MP4. Raises ``ValueError`` if a box is incomplete."""
    end, at = file.seek(0, 2), 0
    while at < end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", _exactly(file, 8))
        if size == 1:
            (size,) = struct.unpack(">Q", _exactly(file, 8))
        size = size if size > 0 else end - at  # 0 is "to the end"
        if size < 8 or at + size > end:
            raise ValueError("it is cut short")
        if kind == _BOX and size <= 4 * MAX_TEXT and _exactly(file, 16) == _BOX_ID:
            return _box_texts(_exactly(file, size - 24))
        at += size
    return {}


def _box_texts(data: bytes) -> dict[str, str]:
    texts = json.loads(data)
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its text is damaged")
    return texts


def _blocks(body: bytes) -> bytes:
    """Split ``body`` into GIF sub-blocks: length byte, at most 255 bytes; the last one is empty."""
    pieces = (body[at : at + 255] for at in range(0, len(body), 255))
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def _read_blocks(file: BinaryIO) -> Iterator[bytes]:
    while length := _exactly(file, 1)[0]:
        yield _exactly(file, length)


def _skip_blocks(file: BinaryIO) -> None:
    for _ in _read_blocks(file):
        pass


def _joined_blocks(file: BinaryIO) -> bytes:
    body = bytearray()
    for piece in _read_blocks(file):
        body += piece
        if len(body) > 2 * MAX_TEXT:
            raise ValueError(f"its text must have at most {2 * MAX_TEXT} bytes")
    return bytes(body)


def _table(flags: int) -> int:
    """The size in bytes of the colour table described by ``flags``."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it is cut short")
    return data
