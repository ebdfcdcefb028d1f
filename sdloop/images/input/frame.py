"""Choose the output size for an input picture, and fit the picture to that size."""

import math
from typing import TYPE_CHECKING

from sdloop.errors import SettingError
from sdloop.rules import Size

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.images.input.read import InputImage

RESIZES = ("fit", "crop", "pad", "stretch")
BACK = "back"  # only with masks: paint at another size, and paste the result into the picture


def output_size(
    picture: Size,
    *,
    native: Size,
    multiple: int,
    width: int | None,
    height: int | None,
    resize: str | None,
) -> Size:
    """Width and height of the output for a ``picture`` of size (width, height).

    Given sides are used as they are. Without ``resize``, missing sides follow the picture's
    proportions (both missing: with the area of ``native``), rounded to a ``multiple``. "fit" does
    the same, but two given sides are the maximum. With other ways to resize, missing sides are
    those of ``native``.

    >>> sizes = {"native": (512, 512), "multiple": 8}
    >>> output_size((1600, 1200), **sizes, width=None, height=None, resize=None)
    (592, 440)
    >>> output_size((1600, 1200), **sizes, width=512, height=512, resize="fit")
    (512, 384)
    """
    if resize not in (None, "fit") or (resize is None and width and height):
        return width or native[0], height or native[1]

    def rounded(side: float) -> int:
        return max(1, round(side / multiple)) * multiple

    ratio = picture[0] / picture[1]
    if width is None and height is None:
        area = native[0] * native[1]
        return rounded(math.sqrt(area * ratio)), rounded(math.sqrt(area / ratio))
    if width is not None and (height is None or width <= height * ratio):
        return width, rounded(width / ratio)
    assert height is not None
    return rounded(height * ratio), height


def scaled_size(picture: Size, scale: float, multiple: int) -> Size:
    """A picture's size times ``scale``, each side rounded to a ``multiple`` (at least one).

    >>> scaled_size((75, 50), 2, 8)
    (152, 96)
    """
    width, height = (max(1, round(side * scale / multiple)) * multiple for side in picture)
    return width, height


def framed(picture: "InputImage", size: Size, *, resize: str, background: str) -> "Image":
    """``picture`` in RGB at exactly ``size``, on ``background`` where it is transparent.

    "crop" fills the size and crops the overlap equally on both sides; "pad" fits the whole picture
    in, with the background around it; "stretch" changes its proportions. A picture that has the
    size keeps its pixels, others are resized with the Lanczos filter.
    """
    return placed(opaque(picture.image, background), size, resize=resize, around=background)


def placed(image: "Image", size: Size, *, resize: str, around: str) -> "Image":
    """The same for an image of any mode without transparency; "pad" fills with ``around``."""
    from PIL import Image, ImageOps

    if image.size == size:
        return image
    if resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if resize in ("stretch", BACK):
        return image.resize(size, Image.Resampling.LANCZOS)
    inner, sheet = contained(image, size), Image.new(image.mode, size, around)
    sheet.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return sheet


def contained(image: "Image", size: Size) -> "Image":
    """``image`` at the largest size with its proportions within ``size``."""
    from PIL import Image

    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(inner, Image.Resampling.LANCZOS)


def opaque(image: "Image", background: str) -> "Image":
    """``image`` in RGB, on ``background`` where it is transparent."""
    from PIL import Image

    if image.mode == "RGB":
        return image
    sheet = Image.new("RGBA", image.size, background)
    sheet.alpha_composite(image)
    return sheet.convert("RGB")


def settled_colour(name: str, value: str) -> str:
    """The colour ``value``, a name or ``#rrggbb``, as ``#rrggbb``; raises ``SettingError``.

    >>> settled_colour("background", "White")
    '#ffffff'
    """
    from PIL import ImageColor

    rule = f"{name} must be an opaque colour like white or #00a080, got {value!r}"
    try:
        colour = ImageColor.getrgb(value)
    except ValueError as error:
        raise SettingError(rule, field=name) from error
    if len(colour) != 3:
        raise SettingError(rule, field=name)
    return "#" + "".join(f"{part:02x}" for part in colour)
