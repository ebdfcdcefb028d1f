"""The two texts in EXIF, the block of tags that JPEG and WebP files carry.

A1111 puts its text into the tag UserComment. Our JSON goes into MakerNote, the tag for whatever a
maker wants to add, and not into a description that picture viewers would show.
"""

import struct
from collections.abc import Mapping

_USER_COMMENT = 0x9286
_MAKER_NOTE = 0x927C
_EXIF_FOLDER = 0x8769
_UNICODE = b"UNICODE\0"
_MAKER = b"sdloop\0"

# A JPEG keeps it in a segment, whose length has 16 bits and counts itself; 64 bytes are tables.
MAX_JPEG = 2**16 - 1 - 2 - 64

_TYPE_SIZES = {1: 1, 2: 1, 4: 4, 7: 1}  # TIFF's BYTE, ASCII, LONG, UNDEFINED


def pack(texts: Mapping[str, str]) -> bytes:
    """The EXIF block that holds "parameters" and "sdloop"; empty where there are none."""
    from PIL import Image

    if not texts:
        return b""
    exif = Image.Exif()
    folder = exif.get_ifd(_EXIF_FOLDER)
    folder[_USER_COMMENT] = _UNICODE + texts["parameters"].encode("utf-16-be")
    folder[_MAKER_NOTE] = _MAKER + texts["sdloop"].encode()
    return exif.tobytes()


def packed_size(texts: Mapping[str, str]) -> int:
    """How many of the ``MAX_JPEG`` bytes the texts take."""
    return sum(
        len(mark) + len(texts[keyword].encode(encoding))
        for keyword, mark, encoding in (
            ("parameters", _UNICODE, "utf-16-be"),
            ("sdloop", _MAKER, "utf-8"),
        )
        if keyword in texts
    )


def unpack(tiff: bytes) -> dict[str, str]:
    """The texts in an EXIF block, as far as it has them; an empty block has none.

    Raises ``ValueError`` or ``struct.error`` for a block that is damaged.
    """
    if not tiff:
        return {}
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        raise ValueError("its EXIF is damaged")
    folder = _tags(tiff, order, *struct.unpack_from(f"{order}I", tiff, 4))
    if _EXIF_FOLDER not in folder:
        return {}
    tags = _tags(tiff, order, *struct.unpack(f"{order}I", folder[_EXIF_FOLDER]))
    texts = {}
    if _USER_COMMENT in tags:
        texts["parameters"] = _user_comment(tags[_USER_COMMENT])
    if tags.get(_MAKER_NOTE, b"").startswith(_MAKER):
        texts["sdloop"] = tags[_MAKER_NOTE].removeprefix(_MAKER).decode("utf-8")
    return texts


def _tags(tiff: bytes, order: str, at: int) -> dict[int, bytes]:
    """The values of one EXIF folder, those of the types that hold text or lead to a folder."""
    tags = {}
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, entry)
        if kind not in _TYPE_SIZES:
            continue
        size, start = length * _TYPE_SIZES[kind], entry + 8
        if size > 4:
            (start,) = struct.unpack_from(f"{order}I", tiff, start)
        if start + size > len(tiff):
            raise ValueError("its EXIF is damaged")
        tags[tag] = tiff[start : start + size]
    return tags


def _user_comment(data: bytes) -> str:
    """The comment's text: eight bytes name its encoding.

    A1111 writes UTF-16 with the high byte first, whatever the order of the rest of the EXIF; other
    programs follow that order. Plain words tell the two apart. Older versions of mflux name no
    encoding.
    """
    if data.startswith(b"{"):
        return data.decode("utf-8")
    code, text = data[:8], data[8:]
    if code == _UNICODE:
        swapped = text[1::2].count(0) > text[0::2].count(0)
        return text.decode("utf-16-le" if swapped else "utf-16-be")
    # What is called ASCII may be UTF-8 all the same.
    return text.decode("utf-8").rstrip("\0")
