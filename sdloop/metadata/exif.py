"""The two texts in EXIF, the block of tags that JPEG and WebP files carry.

A1111 puts its text into the tag UserComment. Our JSON goes into MakerNote, the tag for whatever a
maker wants to add, and not into a description that picture viewers would show.
"""

import struct
from collections.abc import Mapping

from sdloop.metadata.comment import UNICODE, comment_text

_USER_COMMENT = 0x9286
_MAKER_NOTE = 0x927C
_EXIF_FOLDER = 0x8769
_MAKER = b"sdloop\0"
_NEEDED = (_USER_COMMENT, _MAKER_NOTE, _EXIF_FOLDER)
# Where ComfyUI writes its graph in WebP files: the tags that are for a camera's maker and model.
_COMFYUI = (0x010F, 0x0110)

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
    folder[_USER_COMMENT] = UNICODE + texts["parameters"].encode("utf-16-be")
    folder[_MAKER_NOTE] = _MAKER + texts["sdloop"].encode()
    return exif.tobytes()


def packed_size(texts: Mapping[str, str]) -> int:
    """How many of the ``MAX_JPEG`` bytes the texts take."""
    return sum(
        len(mark) + len(texts[keyword].encode(encoding))
        for keyword, mark, encoding in (
            ("parameters", UNICODE, "utf-16-be"),
            ("sdloop", _MAKER, "utf-8"),
        )
        if keyword in texts
    )


def unpack(tiff: bytes) -> dict[str, str]:
    """The texts in an EXIF block, as far as it has them; an empty block has none.

    "sdloop" is ours, "comment" what anybody may have written, and "prompt" ComfyUI's.

    Raises ``ValueError`` or ``struct.error`` for a block that is damaged.
    """
    if not tiff:
        return {}
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        raise ValueError("its EXIF is damaged")
    folder = _tags(tiff, order, *struct.unpack_from(f"{order}I", tiff, 4))
    tags = {}
    if _EXIF_FOLDER in folder:
        tags = _tags(tiff, order, *struct.unpack(f"{order}I", folder[_EXIF_FOLDER]))
    texts = {}
    # Some programs, Fooocus among them, write the comment into the first folder.
    comment = tags.get(_USER_COMMENT) or folder.get(_USER_COMMENT)
    if comment:
        texts["comment"] = comment_text(comment)
    if tags.get(_MAKER_NOTE, b"").startswith(_MAKER):
        texts["sdloop"] = tags[_MAKER_NOTE].removeprefix(_MAKER).decode("utf-8")
    for tag in _COMFYUI:
        name, _, text = folder.get(tag, b"").partition(b":")
        if name.lower() == b"prompt":
            texts["prompt"] = text.rstrip(b"\0").decode("utf-8", "replace")
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
            if tag not in _NEEDED:
                continue
            raise ValueError("its EXIF is damaged")
        tags[tag] = tiff[start : start + size]
    return tags
