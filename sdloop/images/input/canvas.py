"""What the loop sees of a picture, and how what it makes comes back into the picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdloop.images.input.frame import BACK, framed, opaque, placed
from sdloop.images.input.mask import painted_mask
from sdloop.images.input.read import Box, InputImage
from sdloop.rules import Size

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """A picture as it is worked on.

    ``image`` (RGB) is what the loop sees, and ``mask`` (L) where it paints: 255 there, 0 where
    nothing changes; None paints everywhere. Where only the part ``box`` of a picture is worked on,
    or the picture at another size, ``whole`` and ``whole_mask`` are that picture and its mask.
    """

    image: "Image"
    mask: "Image | None" = None
    whole: "Image | None" = None
    whole_mask: "Image | None" = None
    box: Box | None = None

    def finished(self, made: "Image") -> "Image":
        """What was ``made``, within the mask; outside of it the picture's own pixels, exactly."""
        from PIL import Image

        if self.mask is None:
            return made
        if self.box is None or self.whole is None or self.whole_mask is None:
            return Image.composite(made, self.image, self.mask)
        left, top, right, bottom = self.box
        part = made.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        sheet = self.whole.copy()
        sheet.paste(part, self.box, self.whole_mask.crop(self.box))
        return sheet


def canvas(
    picture: InputImage,
    drawn: InputImage | None,
    size: Size,
    *,
    resize: str,
    background: str,
    masked: bool = False,
    blur: float | None = None,
    invert: bool = False,
    margin: int | None = None,
) -> Canvas:
    """``picture`` at ``size``, and with ``masked`` what is painted of it: see ``painted_mask``.

    Raises ``FileError`` for a mask that does not fit.
    """
    if not masked:
        return Canvas(image=framed(picture, size, resize=resize, background=background))
    image = opaque(picture.image, background)
    mask = painted_mask(picture, drawn, blur=blur, invert=invert)
    if resize != BACK:
        return Canvas(
            image=placed(image, size, resize=resize, around=background),
            mask=placed(mask, size, resize=resize, around="black"),
        )
    painted = mask.getbbox()
    assert painted is not None  # or painted_mask had refused it
    box = surroundings(painted, image.size, margin)
    return Canvas(
        image=placed(image.crop(box), size, resize=resize, around=background),
        mask=placed(mask.crop(box), size, resize=resize, around="black"),
        whole=image,
        whole_mask=mask,
        box=box,
    )


def surroundings(painted: Box, size: Size, margin: int | None) -> Box:
    """The part of a picture within ``margin`` pixels of what is painted; None is the whole.

    >>> surroundings((10, 20, 30, 40), (64, 48), 16)
    (0, 4, 46, 48)
    """
    if margin is None:
        return (0, 0, *size)
    left, top, right, bottom = painted
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(size[0], right + margin),
        min(size[1], bottom + margin),
    )
