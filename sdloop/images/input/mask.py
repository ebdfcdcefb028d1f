"""Masks: grey pictures at the input picture's size that mark which part to paint."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sdloop.errors import FileError
from sdloop.images.input.labels import without_labels
from sdloop.images.input.read import InputFacts, InputImage, MaskFacts, OpenImage
from sdloop.rules import Size

if TYPE_CHECKING:
    from PIL.Image import Image

ALPHA = "alpha"  # instead of a file: paint where the picture is transparent
WORDS = "text:"  # instead of a file: paint what these words mean, as in "text:the face"

# Draws the mask of what words mean in a picture.
FindWords = Callable[[InputImage], InputImage]


def mask_words(mask: str | None) -> str | None:
    """The words of a mask by words; None for other masks."""
    return None if mask is None or not mask.startswith(WORDS) else mask.removeprefix(WORDS)


def mask_file(mask: str | None) -> str | None:
    """The file of a mask; None for one that is made from the picture."""
    return None if mask == ALPHA or mask_words(mask) is not None else mask


def input_facts(
    open_image: OpenImage,
    image: str,
    *,
    mask: str | None = None,
    blur: float | None = None,
    invert: bool = False,
    grow: int | None = None,
    depth: str | None = None,
    find: FindWords | None = None,
) -> InputFacts:
    """What a Recipe needs to know about the picture ``image``, its mask and its depth map.

    A mask by words is drawn only if there is a ``find``: without one, its box is not known.

    Raises ``FileError`` for a file that cannot be read, and for one that does not fit.
    """
    picture = open_image(image)
    if depth is not None:
        drawn_depth = open_image(depth)
        _check_fits(drawn_depth, picture, "a depth map")
        return replace(picture.facts, depth_sha256=drawn_depth.sha256)
    if mask is None:
        return picture.facts
    drawn = None
    if mask_words(mask) is not None:
        if find is None:
            return replace(picture.facts, mask=MaskFacts(sha256=picture.sha256))
        drawn = find(picture)
    elif mask != ALPHA:
        drawn = open_image(mask)
    painted = painted_mask(picture, drawn, blur=blur, invert=invert, grow=grow, tell=True)
    sha256 = picture.sha256 if drawn is None else drawn.sha256
    return replace(picture.facts, mask=MaskFacts(sha256=sha256, box=painted.getbbox()))


def painted_mask(
    picture: InputImage,
    drawn: InputImage | None,
    *,
    blur: float | None,
    invert: bool,
    grow: int | None = None,
    tell: bool = False,
) -> "Image":
    """The mask at the size of ``picture``, in mode L: 255 where it is painted, 0 where it stays.

    ``drawn`` is the user's mask, in any mode and at any size with the picture's proportions; None
    uses the picture's transparency. What is painted is grown by ``grow`` pixels on all sides, and
    shrunk if that is negative. ``blur`` softens its edge; it is the standard deviation in pixels.
    With ``tell``, warnings speak of masks that may be meant otherwise. Raises ``FileError``
    for a mask of other proportions, and for an empty one.
    """
    from PIL import ImageFilter, ImageOps

    mask = _transparency(picture) if drawn is None else _grey(drawn, picture, tell=tell)
    if invert:
        mask = ImageOps.invert(mask)
    name = picture.name if drawn is None else drawn.name
    if mask.getbbox() is None:
        what = "has no transparent pixels" if drawn is None else "is completely black"
        inverted = " when inverted" if invert else ""
        raise FileError(f"{name} {what}{inverted}: as a mask it marks nothing to paint")
    mask = grown(mask, grow) if grow else mask
    if mask.getbbox() is None:
        raise FileError(f"{name} marks nothing to paint any more with mask_grow {grow}")
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def grown(mask: "Image", pixels: int) -> "Image":
    """``mask`` (L) with its bright parts ``pixels`` larger on all sides, or smaller if negative.

    Pillow's filters do the same, and need a minute for a large photo.
    """
    import numpy as np
    from PIL import Image

    levels, best = np.asarray(mask), np.maximum if pixels > 0 else np.minimum
    for _ in ("columns", "rows"):
        levels = np.pad(levels, ((abs(pixels),) * 2, (0, 0)), mode="edge")
        seen, wanted = 1, 2 * abs(pixels) + 1  # pixels that are in each value
        while seen < wanted:
            shift = min(seen, wanted - seen)
            levels = best(levels[:-shift], levels[shift:])
            seen += shift
        levels = levels.T
    return Image.fromarray(np.ascontiguousarray(levels))


def _check_fits(drawn: InputImage, picture: InputImage, what: str) -> None:
    check_proportions(drawn.name, drawn.image.size, picture.name, picture.image.size, what)


def check_proportions(name: str, size: Size, picture: str, whole: Size, what: str) -> None:
    """Raise ``FileError`` for other proportions than the picture's, to within one pixel.

    ``name`` and ``size`` are those of ``what``, a mask for example, and ``whole`` is the size of
    the ``picture``.
    """
    (width, height), (across, down) = whole, size
    differs = abs(across * height - down * width) > max(width, height)
    if size != whole and differs:
        raise FileError(
            f"{name} is {across}x{down} and {picture} {width}x{height}: "
            f"{what} must have the picture's size, or its proportions"
        )


def _transparency(picture: InputImage) -> "Image":
    from PIL import Image, ImageOps

    if picture.image.mode != "RGBA":
        return Image.new("L", picture.image.size, 0)
    return ImageOps.invert(picture.image.getchannel("A"))


def _grey(drawn: InputImage, picture: InputImage, *, tell: bool) -> "Image":
    """A mask in grey at the picture's size."""
    _check_fits(drawn, picture, "a mask")
    return grey_mask(drawn, picture.image.size, tell=tell)


def grey_mask(drawn: InputImage, size: Size, *, tell: bool = False) -> "Image":
    """A mask in mode L at ``size``; its transparent parts are black."""
    from PIL import Image

    mask = drawn.image
    if mask.mode == "RGBA":
        sheet = Image.new("RGBA", mask.size, "black")
        sheet.alpha_composite(mask)
        mask = sheet.convert("RGB")
    grey = without_labels(mask, drawn.name, tell=tell).convert("L")
    return grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)
