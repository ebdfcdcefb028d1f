"""Picture files: written whole together with the Recipe that made them, and read back.

A PNG carries two texts: ``sdloop``, JSON with the whole Recipe and the circumstances, which is the
truth, and ``parameters``, A1111's text, for other programs. JPEG and WebP carry the same two in
their EXIF. Reading needs no Pillow, so that looking into a picture takes no time.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.errors import FileError, SettingError
from sdloop.metadata import chunks, exif
from sdloop.metadata.atomic import Exists, check_writable, write_whole
from sdloop.metadata.containers import MAX_TEXT
from sdloop.metadata.detail import Metadata
from sdloop.metadata.record import Made, Record, record_of, texts_of
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

_MAX_SIDES = {"PNG": 2**31 - 1, "JPEG": 65500, "WEBP": 16383}
_MAX_TEXTS = {"PNG": MAX_TEXT, "JPEG": exif.MAX_JPEG, "WEBP": MAX_TEXT}
# What `made` may add to the texts: a thousand sigmas take 20 kB.
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
    """Write ``image`` with the resolved ``recipe`` that made it; return the path.

    That is ``path`` as it was given, even where it is a link to the file; or the numbered one.

    The suffix decides the format: PNG, WebP (lossless) or JPEG. ``metadata`` is "full" for both
    texts, "minimal" for both without ``made`` (of the machine nothing but the model's name, as it
    was given), "none" for pixels alone. ``exists`` says what to do when the name is in use:
    "fail", "number" (name-2.png …) or "overwrite". ``step`` marks an unfinished picture, and
    ``own_code`` one that was not made by sdloop alone: see ``texts_of``.

    Raises ``FileError`` when the file cannot be written, leaving nothing behind, and
    ``SettingError`` for what ``check_output`` refuses beforehand.
    """
    texts = texts_of(recipe, made or {}, metadata, step=step, own_code=own_code)
    _check_texts(path, texts, room=0)
    written = write_whole(path, _encoded(image, format_of(path), texts), exists=exists)
    return written if exists == "number" else path


def check_output(
    path: Path, recipe: Recipe, *, metadata: Metadata = "full", exists: Exists = "fail"
) -> None:
    """Refuse, before any sampling, what ``write_picture`` would only find out at the end.

    Raises ``SettingError`` for an unknown suffix, and for texts or sides that are too long for
    the format, ``FileError`` for a name in use or a folder that cannot be written to.
    """
    _check_side(path, recipe)
    _check_texts(path, texts_of(recipe, {}, metadata), room=_ROOM_FOR_MADE)
    check_writable(path, exists=exists)


def format_of(path: Path) -> str:
    """Pillow's name for the format that the suffix stands for.

    >>> format_of(Path("frog.JPG"))
    'JPEG'
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise SettingError(f"a picture's name must end in {', '.join(FORMATS)}, got {str(path)!r}")
    return FORMATS[suffix]


def read_record(path: Path) -> Record:
    """How the picture at ``path`` was made, from our own text or from A1111's.

    Raises ``FileError`` when it is not a whole picture, has neither text, or was written by a
    newer sdloop.
    """
    texts = chunks.read_texts(path)
    try:
        record = record_of(texts)
    except FileError as error:
        raise FileError(f"cannot read the settings in {str(path)!r}: {error}") from error
    if record is None:
        raise FileError(f"{str(path)!r} contains no settings")
    return record


def _check_side(path: Path, recipe: Recipe) -> None:
    limit = _MAX_SIDES[format_of(path)]
    for name, side in (("width", recipe.width), ("height", recipe.height)):
        if side is not None and side > limit:
            raise SettingError(f"{name} must be at most {limit} in {path.suffix} files, got {side}")


def _check_texts(path: Path, texts: Mapping[str, str], *, room: int) -> None:
    """Refuse what other programs, or the format itself, could not read back."""
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
        raise FileError(f"cannot make a {kind} of this picture: {error}") from error
    return buffer.getvalue()


def _options(kind: str, texts: Mapping[str, str]) -> dict[str, Any]:
    if kind == "PNG":
        return {"pnginfo": _png_info(texts)}
    if kind == "JPEG":
        # The usual halved colour resolution shows as fringes on saturated edges.
        return {"quality": 95, "subsampling": "4:4:4", "exif": exif.pack(texts)}
    # Lossy WebP always halves the colour resolution; lossless keeps every pixel, in less space
    # than PNG.
    return {"lossless": True, "exif": exif.pack(texts)}


def as_saved(image: "Image.Image", path: Path) -> "Image.Image":
    """``image`` as it is read from a file of this name: a JPEG loses some of it."""
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
        info.add_text(keyword, text)  # iTXt where the text is not latin-1
    return info
