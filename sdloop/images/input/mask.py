"""Masks: which part of a picture is painted, in grey at the picture's own size."""

from typing import TYPE_CHECKING

from sdloop.errors import FileError
from sdloop.images.input.read import InputFacts, InputImage, MaskFacts, OpenImage

if TYPE_CHECKING:
    from PIL.Image import Image

ALPHA = "alpha"  # in place of a file: the picture is painted where it is transparent


def input_facts(
    open_image: OpenImage,
    image: str,
    *,
    mask: str | None = None,
    blur: float | None = None,
    invert: bool = False,
) -> InputFacts:
    """What a Recipe takes from the picture ``image``, and from the mask on it, if there is one.

    Raises ``FileError`` for what cannot be read, and for a mask that does not fit.
    """
    picture = open_image(image)
    if mask is None:
        return picture.facts
    drawn = None if mask == ALPHA else open_image(mask)
    painted = painted_mask(picture, drawn, blur=blur, invert=invert)
    box = painted.getbbox()
    assert box is not None
    sha256 = picture.sha256 if drawn is None else drawn.sha256
    mask_facts = MaskFacts(sha256=sha256, box=box)
    return InputFacts(sha256=picture.sha256, size=picture.image.size, mask=mask_facts)


def painted_mask(
    picture: InputImage, drawn: InputImage | None, *, blur: float | None, invert: bool
) -> "Image":
    """Where ``picture`` is painted, at its size in mode L: 255 there, 0 where nothing changes.

    ``drawn`` is the mask as somebody drew it, in any mode and at any size of the picture's
    proportions; None takes the transparency of the picture. ``blur`` is the standard deviation in
    pixels with which its edge is softened. Raises ``FileError`` for a mask of other proportions
    and for one that paints nothing.
    """
    from PIL import ImageFilter, ImageOps

    mask = _transparency(picture) if drawn is None else _grey(drawn, picture)
    if invert:
        mask = ImageOps.invert(mask)
    if mask.getbbox() is None:
        name = picture.name if drawn is None else drawn.name
        what = "is nowhere transparent" if drawn is None else "is black everywhere"
        inverted = " when inverted" if invert else ""
        raise FileError(f"{name} {what}{inverted}: as a mask it paints nothing")
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def _transparency(picture: InputImage) -> "Image":
    from PIL import Image, ImageOps

    if picture.image.mode != "RGBA":
        return Image.new("L", picture.image.size, 0)
    return ImageOps.invert(picture.image.getchannel("A"))


def _grey(drawn: InputImage, picture: InputImage) -> "Image":
    """The levels of a mask, laid on black where it is transparent, at the picture's size."""
    from PIL import Image

    width, height = picture.image.size
    mask = drawn.image
    if mask.mode == "RGBA":
        sheet = Image.new("RGBA", mask.size, "black")
        sheet.alpha_composite(mask)
        mask = sheet
    if mask.size == (width, height):
        return mask.convert("L")
    # As wide for its height as the picture is, to a pixel.
    if abs(mask.width * height - mask.height * width) > max(width, height):
        raise FileError(
            f"{drawn.name} is {mask.width}x{mask.height} and {picture.name} {width}x{height}: "
            "a mask must have the picture's size, or its proportions"
        )
    return mask.convert("L").resize((width, height), Image.Resampling.BILINEAR)
