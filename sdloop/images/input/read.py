"""From a file to upright pixels in RGB or RGBA.

Nothing here trusts the file: its size in bytes and in pixels is checked before a pixel is decoded,
and whatever is wrong with it is a ``FileError`` of one line.
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
from sdloop.rules import Size

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]

MAX_BYTES = 2**30
MAX_PIXELS = 178_956_970  # where Pillow, too, takes it for a decompression bomb

# What Pillow's readers raise at files that are cut short, damaged or forged.
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
    """What a Recipe takes from a mask: the sha256 of its file, and the box of what is painted.

    ``box`` is (left, top, right, bottom) in the picture's pixels, the last two just outside.
    """

    sha256: str
    box: Box


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFacts:
    """What a Recipe takes from a picture: the sha256 of its file, and (width, height) upright.

    ``mask`` is that of the mask on it, where there is one.
    """

    sha256: str
    size: Size
    mask: MaskFacts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputImage:
    """A picture that was read: upright, in RGB, or in RGBA where its file has transparency.

    ``name`` is what messages call it. Of an ``animated`` one it is the first frame.
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
    """The picture in the file ``name``; raises ``FileError`` for what is not one, or not whole."""
    return read_image(bytes_of(name), repr(name))


def bytes_of(name: str) -> bytes:
    """What is in the file, as far as it may be read; raises ``FileError``."""
    try:
        with Path(name).open("rb") as file:
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
    """Turn whatever Pillow raises at a file that is not sound into a ``FileError``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Of a picture that is nearly too large, and of tags that do not concern us.
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError as error:
        raise FileError(f"{name} is not a picture that can be read") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except FileError:
        raise
    except _BROKEN as error:
        raise FileError(f"{name} is not a sound picture: {error}") from error


def _decoded(data: bytes, name: str) -> "tuple[Image, bool]":
    """The pixels as they are to be seen, and whether more frames follow them."""
    from PIL import ImageOps

    image = opened(data, name)
    image.load()
    animated = bool(getattr(image, "is_animated", False))
    return colours(ImageOps.exif_transpose(image), name), animated


def opened(data: bytes, name: str) -> "Image":
    """The picture in ``data``, none of its pixels decoded yet, and not more of them than is read.

    Raises what Pillow does.
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
    return FileError(f"{name} has more pixels than are read: {MAX_PIXELS // 10**6} million")


def _formats() -> list[str]:
    """Pillow's names for what it reads by itself: for PostScript it starts another program."""
    from PIL import Image

    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def is_picture_name(path: Path) -> bool:
    """Whether the suffix is one of a format that is read here."""
    from PIL import Image

    formats = _formats()
    return Image.registered_extensions().get(path.suffix.lower()) in formats


def colours(image: "Image", name: str) -> "Image":
    """``image`` in eight bits of sRGB's red, green, blue, and of alpha if it is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image, name)
    image = in_srgb(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: "Image", name: str) -> "Image":
    """Grey of 16 or 32 bits in eight; Pillow's ``convert`` would clip it at 255 instead.

    Whole numbers are taken for 16 bits, fractions for shares of white.
    """
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    white = 1 if image.mode == "F" else 2**16 - 1
    lowest, highest = float(values.min()), float(values.max())
    if not 0 <= lowest <= highest <= white:
        raise FileError(
            f"{name} must hold levels of grey from 0 to {white}, "
            f"and holds {lowest:g} to {highest:g}"
        )
    grey = Image.fromarray((values * (255 / white)).round().astype(np.uint8))
    grey.info |= image.info
    return grey


def check_sha256(name: str, expected: str | None, found: str, *, what: str = "picture") -> None:
    """Raise ``FileError`` when the file is not the one that a Recipe was made with."""
    if expected is not None and expected != found:
        raise FileError(
            f"{name} is not the {what} that the recipe was made with: its sha256 is "
            f"{found[:12]}…, not {expected[:12]}…"
        )
