"""The part of a picture that the loop works on, and how the result is pasted back."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sdloop.images.input.frame import BACK, opaque, placed
from sdloop.images.input.mask import painted_mask
from sdloop.images.input.read import Box, InputImage
from sdloop.rules import Size

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """A picture prepared for the loop, from one of the size ``source`` as ``resize`` says.

    ``image`` (RGB) is the loop's input, and ``mask`` (L) is 255 where it paints and 0 where nothing
    changes; None paints everywhere. If only the part ``box`` of a picture is used, or the picture
    at another size, ``whole`` and ``whole_mask`` are the original picture and its mask.
    """

    image: "Image"
    source: Size
    resize: str
    mask: "Image | None" = None
    whole: "Image | None" = None
    whole_mask: "Image | None" = None
    box: Box | None = None

    def placed_like(self, drawn: "Image", size: Size) -> "Image":
        """``drawn`` (L), at the size ``source``, brought to ``size`` as the picture was."""
        part = drawn if self.box is None else drawn.crop(self.box)
        return placed(part, size, resize=self.resize, around="black")

    def finished(self, made: "Image") -> "Image":
        """The result ``made`` inside the mask; outside of it exactly the original pixels."""
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
    grow: int | None = None,
    margin: int | None = None,
) -> Canvas:
    """``picture`` at ``size``, if ``masked`` with its mask: see ``painted_mask``.

    Raises ``FileError`` for a mask that does not fit.
    """
    image = opaque(picture.image, background)
    made = partial(Canvas, source=image.size, resize=resize)
    if not masked:
        return made(image=placed(image, size, resize=resize, around=background))
    mask = painted_mask(picture, drawn, blur=blur, invert=invert, grow=grow)
    if resize != BACK:
        return made(
            image=placed(image, size, resize=resize, around=background),
            mask=placed(mask, size, resize=resize, around="black"),
        )
    box = surroundings(mask.getbbox(), image.size, margin)
    return made(
        image=placed(image.crop(box), size, resize=resize, around=background),
        mask=placed(mask.crop(box), size, resize=resize, around="black"),
        whole=image,
        whole_mask=mask,
        box=box,
    )


def surroundings(painted: Box | None, size: Size, margin: int | None) -> Box:
    """The ``painted`` box enlarged by ``margin`` pixels; None means the whole picture.

    >>> surroundings((10, 20, 30, 40), (64, 48), 16)
    (0, 4, 46, 48)
    """
    if margin is None:
        return (0, 0, *size)
    assert painted is not None  # no mask is empty
    left, top, right, bottom = painted
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(size[0], right + margin),
        min(size[1], bottom + margin),
    )
