"""Read picture files as upright pixels in RGB or RGBA.

Files are not trusted: the size in bytes and in pixels is checked before any pixel is decoded, and
anything wrong with a file is a ``FileError`` of one line.
"""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.errors import FileError
from sdloop.images.input.profile import in_srgb
from sdloop.places.path import location
from sdloop.rules import Size
from sdloop.spelling import existing

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]

MAX_BYTES = 2**30
MAX_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs

# What Pillow raises for files that are truncated, damaged or forged.
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskFacts:
    """What a Recipe stores of a mask: the sha256 of its file, and the box of the painted part.

    ``box`` is (left, top, right, bottom) in the picture's pixels, the last two just outside. It is
    None while nobody has looked for it: a mask by words is drawn late.
    """

    sha256: str
    box: Box | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFacts:
    """What a Recipe stores of a picture: the sha256 of its file, and its upright (width, height).

    ``mask`` has the same for its mask, if there is one, and ``depth_sha256`` the hash of its depth
    map.
    """

    sha256: str
    size: Size
    mask: MaskFacts | None = None
    depth_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputImage:
    """A picture that was read: upright, in RGB, or in RGBA where its file has transparency.

    ``name`` is for messages. Of an ``animated`` file it is the first frame.
    """

    name: str
    sha256: str
    image: "Image"
    animated: bool = False

    @property
    def facts(self) -> InputFacts:
        return InputFacts(sha256=self.sha256, size=self.image.size)


OpenImage = Callable[[str], InputImage]


def open_image(name: str) -> InputImage:
    """The picture in the file ``name``; raises ``FileError`` if it is no picture or is damaged."""
    return read_image(bytes_of(name), repr(name))


def bytes_of(name: str) -> bytes:
    """The file's bytes; raises ``FileError``, also for a file that is too large."""
    try:
        with existing(location(name)).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"cannot read {name!r}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise FileError(f"cannot read {name!r}: {error}") from error


def read_image(data: bytes, name: str) -> InputImage:
    """The picture in the bytes of a file; ``name`` is for messages.

    Raises ``FileError``.
    """
    if len(data) > MAX_BYTES:
        raise FileError(f"cannot read {name}: it is larger than {MAX_BYTES // 2**20} MiB")
    with picture_errors(name):
        image, animated = _decoded(data, name)
    return InputImage(
        name=name, sha256=hashlib.sha256(data).hexdigest(), image=image, animated=animated
    )


@contextmanager
def picture_errors(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged file into a ``FileError``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Warnings about nearly too large pictures, and about tags that do not matter here.
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError as error:
        raise FileError(f"{name} is not a picture that can be read") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except FileError:
        raise
    except _BROKEN as error:
        raise FileError(f"{name} is not a valid picture: {error}") from error


def _decoded(data: bytes, name: str) -> "tuple[Image, bool]":
    """The upright pixels of the first frame, and whether more frames follow."""
    from PIL import ImageOps

    image = opened(data, name)
    image.load()
    animated = not is_one_photo(image) and bool(getattr(image, "is_animated", False))
    return colours(ImageOps.exif_transpose(image), name), animated


def is_one_photo(image: "Image") -> bool:
    """Whether this is a phone's MPO: its other pictures are the same photo again, or a depth map.

    Pillow counts them as frames.
    """
    return image.format == "MPO"


def opened(data: bytes, name: str) -> "Image":
    """The picture in ``data``, not decoded yet, after a check of its number of pixels.

    Raises whatever Pillow raises.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=_formats())
    check_pixels(image.size, name)
    return image


def check_pixels(size: Size, name: str) -> None:
    """Raise ``FileError`` for a picture that is too large to be decoded."""
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(name)


def _too_large(name: str) -> FileError:
    return FileError(f"{name} must have at most {MAX_PIXELS // 10**6} million pixels, has more")


def _formats() -> list[str]:
    """Pillow's formats, without PostScript, for which it would start another program."""
    from PIL import Image

    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def is_picture_name(path: Path) -> bool:
    """Whether the suffix belongs to a format that can be read."""
    from PIL import Image

    formats = _formats()
    return Image.registered_extensions().get(path.suffix.lower()) in formats


def colours(image: "Image", name: str) -> "Image":
    """``image`` as 8-bit sRGB, or with alpha as RGBA if it is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image, name)
    image = in_srgb(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: "Image", name: str) -> "Image":
    """Convert 16 or 32-bit grey to 8 bits; Pillow's ``convert`` would clip it at 255 instead.

    Whole numbers are taken as 16-bit levels, fractions as shares of white.
    """
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    white = 1 if image.mode == "F" else 2**16 - 1
    lowest, highest = float(values.min()), float(values.max())
    if not 0 <= lowest <= highest <= white:
        raise FileError(
            f"{name} must have grey levels from 0 to {white}, got {lowest:g} to {highest:g}"
        )
    grey = Image.fromarray((values * (255 / white)).round().astype(np.uint8))
    grey.info |= image.info
    return grey


def check_sha256(name: str, expected: str | None, found: str, *, what: str = "picture") -> None:
    """Raise ``FileError`` if the file is not the one that a Recipe was made with."""
    if expected is not None and expected != found:
        raise FileError(
            f"{name} is not the {what} that the recipe was made with: its sha256 is "
            f"{found[:12]}…, not {expected[:12]}…"
        )
