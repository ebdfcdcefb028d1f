"""``sdloop inspect mask``: the mask that inpaint draws for a picture."""

from typing import Annotated

from sdloop.cli.options.groups import argument, with_options
from sdloop.cli.options.image import DrawnMaskOptions
from sdloop.cli.options.sheet import SheetOptions
from sdloop.errors import SettingError

Image = Annotated[str | None, argument("IMAGE", "The picture to paint in.")]
Mask = Annotated[str | None, argument("MASK", '"text:the face", "alpha" or a mask\'s file.')]


@with_options
def mask(
    image: Image = None, mask: Mask = None, *, drawn: DrawnMaskOptions, out: SheetOptions
) -> None:
    """Show which part of a picture a mask by words paints.

    The file is a mask of the picture's size, as inpaint uses it: white is painted.

    Example:
      sdloop inspect mask photo.png "text:the face" --mask-grow 8 -o mask.png
    """
    if image is None or mask is None:
        missing = "image" if image is None else "mask"
        raise SettingError(
            f'{missing} must be given, as in: sdloop inspect mask photo.png "text:the face"'
        )
    from sdloop.cli.inspect.figures.mask import show_mask

    show_mask(image, mask, drawn, out)
