"""Picture files: written whole together with the Recipe that made them, and read back.

A PNG carries two texts: ``sdloop``, JSON with the whole Recipe and the circumstances, which is the
truth, and ``parameters``, A1111's text, for other programs. JPEG and WebP carry the same two in
their EXIF. Reading needs no Pillow, so that looking into a picture takes no time.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from sdloop import chunks
from sdloop.a1111 import format_parameters, parameters_of, parse_parameters, settings_of
from sdloop.atomic import Exists, check_writable, write_whole
from sdloop.errors import FileError, SettingError
from sdloop.recipe import Recipe
from sdloop.rules import check_choice

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
METADATA = ("full", "minimal", "none")
Metadata = Literal["full", "minimal", "none"]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

# One EXIF block of a JPEG is a segment, whose length has 16 bits; 64 bytes are for its tables.
_MAX_JPEG_EXIF = 2**16 - 1 - 2 - 64
# What `made` may add to the texts: a thousand sigmas take 20 kB.
_ROOM_FOR_MADE = 26 * 1024


class Made(TypedDict, total=False):
    """The circumstances of a picture: what its Recipe leaves open, and what it took.

    weights
        The model's weight files with their sha256; revision is the hub's commit.
    sigmas
        The noise levels as the scheduler used them.
    key
        The content key of ``Recipe.key``.
    versions, device, dtype, seconds
        Of sdloop and the libraries ("torch": "2.13.0"); where and how precisely it was computed;
        and how long sampling and decoding took.
    """

    weights: Mapping[str, str]
    revision: str | None
    sigmas: tuple[float, ...]
    key: str
    versions: Mapping[str, str]
    device: str
    dtype: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What a picture file says about how it was made.

    source
        Whose text it is; our own goes before A1111's.
    settings
        Fields of a Recipe: all of them from sdloop, those that translate from A1111.
    recipe
        The Recipe of a picture made by sdloop, else None.
    fields
        A1111's items as they stand in the file.
    made
        The circumstances, as ``Made``; unchecked, for they come out of a file.
    left_out
        What A1111 set and no Recipe field can take over.
    """

    source: Literal["sdloop", "a1111"]
    settings: Mapping[str, Any]
    recipe: Recipe | None
    fields: Mapping[str, str]
    made: Mapping[str, Any]
    left_out: tuple[str, ...]


def write_picture(
    image: "Image.Image",
    path: Path,
    *,
    recipe: Recipe,
    made: Made | None = None,
    metadata: Metadata = "full",
    exists: Exists = "fail",
) -> Path:
    """Write ``image`` with the resolved ``recipe`` that made it; return the path it got.

    The suffix decides the format: PNG, WebP (lossless) or JPEG. ``metadata`` is "full" for both
    texts, "minimal" for both without ``made`` (nothing about the machine), "none" for pixels
    alone. ``exists`` says what to do when the name is in use: "fail", "number" (name-2.png …) or
    "overwrite".

    Raises ``FileError`` when the file cannot be written, leaving nothing behind, and
    ``SettingError`` for what ``check_output`` refuses beforehand.
    """
    texts = _texts(recipe, made or {}, metadata)
    _check_texts(path, texts, room=0)
    return write_whole(path, _encoded(image, format_of(path), texts), exists=exists)


def check_output(
    path: Path, recipe: Recipe, *, metadata: Metadata = "full", exists: Exists = "fail"
) -> None:
    """Refuse, before any sampling, what ``write_picture`` would only find out at the end.

    Raises ``SettingError`` for an unknown suffix or texts that are too long for the format, and
    ``FileError`` for a name in use or a folder that cannot be written to.
    """
    _check_texts(path, _texts(recipe, {}, metadata), room=_ROOM_FOR_MADE)
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
    if "sdloop" in texts:
        return _own_record(path, texts)
    if "parameters" in texts:
        return _a1111_record(texts["parameters"])
    raise FileError(
        f"{str(path)!r} does not say how it was made: it has no text of sdloop or A1111"
    )


def _texts(recipe: Recipe, made: Made, metadata: Metadata) -> dict[str, str]:
    check_choice("metadata", metadata, METADATA)
    if metadata == "none":
        return {}
    own: dict[str, Any] = {"schema": SCHEMA, "recipe": recipe.to_dict()}
    if metadata == "full":
        own["made"] = made
    # Pure ASCII, so that no program on the way can damage it.
    return {
        "parameters": format_parameters(parameters_of(recipe, made)),
        "sdloop": json.dumps(own, allow_nan=False),
    }


def _check_texts(path: Path, texts: Mapping[str, str], *, room: int) -> None:
    """Refuse what other programs, or the format itself, could not read back."""
    limit = chunks.MAX_TEXT
    size = max((len(text.encode()) for text in texts.values()), default=0)
    if format_of(path) == "JPEG":
        limit, size = _MAX_JPEG_EXIF, len(_user_comment(texts)) + len(_maker_note(texts))
    if texts and size + room > limit:
        raise SettingError(
            f"the settings must fit into {limit - room} bytes of {path.suffix} metadata, got "
            f"{size}: shorten the prompt or use --metadata none"
        )


def _encoded(image: "Image.Image", kind: str, texts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **_options(kind, texts))
    except OSError as error:
        raise FileError(f"cannot make a {kind} of this picture: {error}") from error
    return buffer.getvalue()


def _options(kind: str, texts: Mapping[str, str]) -> dict[str, Any]:
    if kind == "PNG":
        return {"pnginfo": _png_info(texts)}
    if kind == "JPEG":
        # The usual halved colour resolution shows as fringes on saturated edges.
        return {"quality": 95, "subsampling": "4:4:4", "exif": _exif(texts)}
    # Lossy WebP halves the colour resolution always; lossless keeps every pixel, and is smaller
    # than PNG.
    return {"lossless": True, "exif": _exif(texts)}


def _png_info(texts: Mapping[str, str]) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)  # iTXt where the text is not latin-1
    return info


def _exif(texts: Mapping[str, str]) -> bytes:
    from PIL import Image

    if not texts:
        return b""
    exif = Image.Exif()
    folder = exif.get_ifd(chunks.EXIF_FOLDER)
    folder[chunks.USER_COMMENT] = _user_comment(texts)
    folder[chunks.MAKER_NOTE] = _maker_note(texts)
    return exif.tobytes()


def _user_comment(texts: Mapping[str, str]) -> bytes:
    return chunks.UNICODE + texts.get("parameters", "").encode("utf-16-be")


def _maker_note(texts: Mapping[str, str]) -> bytes:
    return chunks.MAKER + texts.get("sdloop", "").encode()


def _own_record(path: Path, texts: Mapping[str, str]) -> Record:
    own = _parsed(path, texts["sdloop"])
    try:
        recipe = Recipe.from_dict(own["recipe"])
    except SettingError as error:
        raise FileError(f"the recipe in {str(path)!r} is not valid: {error}") from error
    return Record(
        source="sdloop",
        settings=recipe.to_dict(),
        recipe=recipe,
        fields=parse_parameters(texts.get("parameters", "")).fields,
        made=own.get("made", {}),
        left_out=(),
    )


def _parsed(path: Path, text: str) -> dict[str, Any]:
    """Our JSON, checked as far as it must be to be read: it may be damaged, forged or newer."""
    damaged = FileError(f"the sdloop text in {str(path)!r} is damaged")
    try:
        own = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(own, dict) or not isinstance(own.get("schema"), int):
        raise damaged
    if own["schema"] > SCHEMA:
        raise FileError(
            f"{str(path)!r} was written by a newer sdloop (schema {own['schema']}, this one reads "
            f"{SCHEMA}): upgrade sdloop to read it"
        )
    parts = own.get("recipe"), own.get("made", {})
    if own["schema"] < 1 or not all(isinstance(part, dict) for part in parts):
        raise damaged
    return own


def _a1111_record(text: str) -> Record:
    parameters = parse_parameters(text)
    settings, left_out = settings_of(parameters)
    return Record(
        source="a1111",
        settings=settings,
        recipe=None,
        fields=parameters.fields,
        made={},
        left_out=tuple(left_out),
    )
