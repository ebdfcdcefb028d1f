"""Masks of labels, such as 0 and 1: to the eye they are black, so they would paint nothing."""

import warnings
from typing import TYPE_CHECKING

from sdloop.errors import FileError

if TYPE_CHECKING:
    from PIL.Image import Image

DARK = 32  # of 255: what is darker changes next to nothing
_MANY = 64  # a picture of more colours is drawn, or photographed

Colour = tuple[int, int, int]


def without_labels(mask: "Image", name: str, *, tell: bool) -> "Image":
    """``mask``, in RGB, so that its brightness says where it is painted.

    If it has two colours, black and one that is no brightness (almost black, or not grey), all of
    the second one becomes white. With ``tell`` a warning says so, and one says if a mask is rather
    dark. Raises ``FileError`` for other masks in which all is almost black.
    """
    label = _only_label(mask)
    if label is not None:
        if tell:
            shown = label[0] if len(set(label)) == 1 else label
            warnings.warn(
                f"{name} has two values, 0 and {shown}: all that is {shown} is painted",
                stacklevel=2,
            )
        return _not_black(mask)
    brightest = max(level for level, count in enumerate(mask.convert("L").histogram()) if count)
    if 0 < brightest < DARK:
        raise FileError(
            f"{name} is almost black, its levels are at most {brightest} of 255: as a mask it must "
            "be white where the picture is painted"
        )
    if tell and 0 < brightest < 128:
        warnings.warn(
            f"{name} is nowhere brighter than {brightest} of 255: as a mask it changes the picture "
            "only in part; white is painted completely",
            stacklevel=2,
        )
    return mask


def _only_label(mask: "Image") -> Colour | None:
    """The colour beside black in a mask of labels; None if it is another mask."""
    counted = mask.getcolors(_MANY)
    found = {colour for _, colour in counted} if counted else set()
    black = (0, 0, 0)
    if len(found) != 2 or black not in found:
        return None
    (label,) = found - {black}
    assert isinstance(label, tuple)
    is_grey = max(label) - min(label) < DARK
    return None if is_grey and max(label) >= DARK else (label[0], label[1], label[2])


def _not_black(mask: "Image") -> "Image":
    from PIL import ImageChops

    red, green, blue = mask.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return brightest.point([0, *[255] * 255])
