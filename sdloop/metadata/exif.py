"""Write and read the two texts in EXIF, the block of tags in JPEG and WebP files.

A1111's text is in the tag UserComment, as in its own files. Our JSON is in MakerNote, the tag for
data of the program, and not in a description, which picture viewers would show.
"""

import struct
from collections.abc import Mapping

from sdloop.metadata.comment import UNICODE, comment_text

_USER_COMMENT = 0x9286
_MAKER_NOTE = 0x927C
_EXIF_FOLDER = 0x8769
_MAKER = b"sdloop\0"
_NEEDED = (_USER_COMMENT, _MAKER_NOTE, _EXIF_FOLDER)
# ComfyUI writes its graph in WebP files into the tags for a camera's make and model.
_COMFYUI = (0x010F, 0x0110)

# In a JPEG, EXIF is one segment; its 16-bit length includes itself. 64 bytes are EXIF tables.
MAX_JPEG = 2**16 - 1 - 2 - 64

_TYPE_SIZES = {1: 1, 2: 1, 4: 4, 7: 1}  # TIFF's BYTE, ASCII, LONG, UNDEFINED


def pack(texts: Mapping[str, str]) -> bytes:
    """Make the EXIF block with "parameters" and "sdloop"; empty if there are no texts."""
    from PIL import Image

    if not texts:
        return b""
    exif = Image.Exif()
    folder = exif.get_ifd(_EXIF_FOLDER)
    folder[_USER_COMMENT] = UNICODE + texts["parameters"].encode("utf-16-be")
    folder[_MAKER_NOTE] = _MAKER + texts["sdloop"].encode()
    return exif.tobytes()


def packed_size(texts: Mapping[str, str]) -> int:
    """The size in bytes of the texts in EXIF, for comparison with ``MAX_JPEG``."""
    return sum(
        len(mark) + len(texts[keyword].encode(encoding))
        for keyword, mark, encoding in (
            ("parameters", UNICODE, "utf-16-be"),
            ("sdloop", _MAKER, "utf-8"),
        )
        if keyword in texts
    )


def unpack(tiff: bytes) -> dict[str, str]:
    """Read the texts in an EXIF block; empty if it has none.

    "sdloop" is our text, "comment" may come from any program, and "prompt" is ComfyUI's.

    Raises ``ValueError`` or ``struct.error`` for a damaged block.
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
    # Some programs, such as Fooocus, write the comment into the first directory.
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
    """The values in one EXIF directory, of the types for text and for other directories."""
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
