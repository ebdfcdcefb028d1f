"""Masks: grey pictures at the input picture's size that mark which part to paint."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sdloop.errors import FileError
from sdloop.images.input.labels import without_labels
from sdloop.images.input.read import InputFacts, InputImage, MaskFacts, OpenImage
from sdloop.rules import Size

if TYPE_CHECKING:
    from PIL.Image import Image

ALPHA = "alpha"  # instead of a file: paint where the picture is transparent


def input_facts(
    open_image: OpenImage,
    image: str,
    *,
    mask: str | None = None,
    blur: float | None = None,
    invert: bool = False,
    depth: str | None = None,
) -> InputFacts:
    """What a Recipe needs to know about the picture ``image``, its mask and its depth map.

    Raises ``FileError`` for a file that cannot be read, and for one that does not fit.
    """
    picture = open_image(image)
    if depth is not None:
        drawn_depth = open_image(depth)
        _check_fits(drawn_depth, picture, "a depth map")
        return replace(picture.facts, depth_sha256=drawn_depth.sha256)
    if mask is None:
        return picture.facts
    drawn = None if mask == ALPHA else open_image(mask)
    painted = painted_mask(picture, drawn, blur=blur, invert=invert, tell=True)
    box = painted.getbbox()
    assert box is not None
    sha256 = picture.sha256 if drawn is None else drawn.sha256
    mask_facts = MaskFacts(sha256=sha256, box=box)
    return InputFacts(sha256=picture.sha256, size=picture.image.size, mask=mask_facts)


def painted_mask(
    picture: InputImage,
    drawn: InputImage | None,
    *,
    blur: float | None,
    invert: bool,
    tell: bool = False,
) -> "Image":
    """The mask at the size of ``picture``, in mode L: 255 where it is painted, 0 where it stays.

    ``drawn`` is the user's mask, in any mode and at any size with the picture's proportions; None
    uses the picture's transparency. ``blur`` softens its edge; it is the standard deviation in
    pixels. With ``tell``, warnings speak of masks that may be meant otherwise. Raises ``FileError``
    for a mask of other proportions, and for an empty one.
    """
    from PIL import ImageFilter, ImageOps

    mask = _transparency(picture) if drawn is None else _grey(drawn, picture, tell=tell)
    if invert:
        mask = ImageOps.invert(mask)
    if mask.getbbox() is None:
        name = picture.name if drawn is None else drawn.name
        what = "has no transparent pixels" if drawn is None else "is completely black"
        inverted = " when inverted" if invert else ""
        raise FileError(f"{name} {what}{inverted}: as a mask it marks nothing to paint")
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


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
