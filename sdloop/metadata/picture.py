"""Write picture files with their Recipe, and read the Recipe back.

A PNG has two texts: ``sdloop`` is JSON with the whole Recipe and how the picture was made; sdloop
reads this one. ``parameters`` is A1111's text, for other programs. JPEG and WebP have the same two
texts in their EXIF. All have a label in XMP that says that they are generated. Reading the texts
does not import Pillow, so it is fast.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.errors import FileError, SettingError
from sdloop.metadata import chunks, exif, xmp
from sdloop.metadata.atomic import Exists, check_writable, write_whole
from sdloop.metadata.containers import MAX_TEXT
from sdloop.metadata.detail import Metadata
from sdloop.metadata.record import Made, Record, record_of, texts_of
from sdloop.metadata.sheets import sheet_hint
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

_MAX_SIDES = {"PNG": 2**31 - 1, "JPEG": 65500, "WEBP": 16383}
_MAX_TEXTS = {"PNG": MAX_TEXT, "JPEG": exif.MAX_JPEG, "WEBP": MAX_TEXT}
# Room for `made` in the texts: a thousand sigmas need 20 kB.
_ROOM_FOR_MADE = 26 * 1024


def write_picture(
    image: "Image.Image",
    path: Path,
    *,
    recipe: Recipe,
    made: Made | None = None,
    metadata: Metadata = "full",
    exists: Exists = "fail",
    step: Mapping[str, Any] | None = None,
    own_code: Mapping[str, str] | None = None,
) -> Path:
    """Write ``image`` with its resolved ``recipe``; returns the path of the file.

    That is ``path`` unchanged, even if it is a link to the file; or the numbered path.

    The suffix decides the format: PNG, WebP (lossless) or JPEG. ``metadata`` is "full" for both
    texts, "minimal" for both without ``made`` (then only the model's name, as it was given, says
    anything about the machine), "none" for pixels only. ``exists`` decides what happens if the file
    exists: "fail", "number" (name-2.png …) or "overwrite". ``step`` marks an unfinished picture,
    and ``own_code`` a picture made with the caller's own code: see ``texts_of``.

    Raises ``FileError`` if the file cannot be written (no file is left then), and ``SettingError``
    as ``check_output`` does.
    """
    texts = texts_of(recipe, made or {}, metadata, step=step, own_code=own_code)
    key = (made or {}).get("key") if metadata == "full" and step is None else None
    written = write_whole(path, encoded(image, path, texts), exists=exists, key=key)
    return written if exists == "number" else path


def encoded(image: "Image.Image", path: Path, texts: Mapping[str, str]) -> bytes:
    """The content of the file ``path`` for ``image`` with these ``texts_of`` its Recipe.

    Raises ``SettingError`` for texts that are too long for its format.
    """
    _check_texts(path, texts, room=0)
    return _encoded(image, format_of(path), texts)


def check_output(
    path: Path, recipe: Recipe, *, metadata: Metadata = "full", exists: Exists = "fail"
) -> None:
    """Check ``path`` before any sampling, so that ``write_picture`` does not fail at the end.

    Raises ``SettingError`` for an unknown suffix, and for texts or sides too long for the format;
    ``FileError`` if the file exists or the folder is not writable.
    """
    _check_side(path, recipe)
    _check_texts(path, texts_of(recipe, {}, metadata), room=_ROOM_FOR_MADE)
    check_writable(path, exists=exists)


def format_of(path: Path) -> str:
    """Pillow's name for the format of this suffix.

    >>> format_of(Path("frog.JPG"))
    'JPEG'
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise SettingError(f"a picture's name must end in {', '.join(FORMATS)}, got {str(path)!r}")
    return FORMATS[suffix]


def read_record(path: Path) -> Record:
    """Read how the picture at ``path`` was made, from our text or that of another program.

    Raises ``FileError`` if it is not a complete picture, has no such text, or was written by a
    newer sdloop.
    """
    texts = chunks.read_texts(path)
    try:
        record = record_of(texts)
    except FileError as error:
        raise FileError(f"cannot read the settings in {str(path)!r}: {error}") from error
    if record is None:
        hint = sheet_hint(texts)
        why = "" if hint is None else f": {hint}"
        raise FileError(f"{str(path)!r} contains no settings{why}")
    return record


def _check_side(path: Path, recipe: Recipe) -> None:
    limit = _MAX_SIDES[format_of(path)]
    for name, side in (("width", recipe.width), ("height", recipe.height)):
        if side is not None and side > limit:
            raise SettingError(
                f"{name} must be at most {limit} for {path.suffix} files, got {side}"
            )


def _check_texts(path: Path, texts: Mapping[str, str], *, room: int) -> None:
    """Refuse texts that are too long for the format or for other programs."""
    kind = format_of(path)
    size = max((len(text.encode()) for text in texts.values()), default=0)
    if kind == "JPEG":
        size = exif.packed_size(texts)
    limit = _MAX_TEXTS[kind] - room
    if texts and size > limit:
        raise SettingError(
            f"the settings must fit into {limit} bytes of {path.suffix} metadata, got {size}: "
            "shorten the prompt or use --metadata none"
        )


def _encoded(image: "Image.Image", kind: str, texts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **_options(kind, texts))
    except (OSError, ValueError) as error:
        raise FileError(f"cannot encode this picture as {kind}: {error}") from error
    return buffer.getvalue()


def _options(kind: str, texts: Mapping[str, str]) -> dict[str, Any]:
    if kind == "PNG":
        return {"pnginfo": _png_info(texts)}
    if kind == "JPEG":
        # The usual half colour resolution gives visible fringes at saturated edges.
        named = {"exif": exif.pack(texts), "xmp": xmp.packet(texts)}
        return {"quality": 95, "subsampling": "4:4:4", **named}
    # Lossy WebP always has half the colour resolution. Lossless WebP keeps every pixel and is
    # smaller than PNG.
    return {"lossless": True, "exif": exif.pack(texts), "xmp": xmp.packet(texts)}


def as_saved(image: "Image.Image", path: Path) -> "Image.Image":
    """``image`` as it would be read from a file of this name: JPEG is lossy."""
    from PIL import Image

    kind = format_of(path)
    if kind != "JPEG":
        return image
    with Image.open(io.BytesIO(_encoded(image, kind, {}))) as read:
        return read.convert(image.mode)


def _png_info(texts: Mapping[str, str]) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, text in texts.items():
        if keyword == xmp.PNG_KEYWORD:
            info.add_itxt(keyword, text)
        else:
            info.add_text(keyword, text)  # becomes iTXt if the text is not Latin-1
    return info
