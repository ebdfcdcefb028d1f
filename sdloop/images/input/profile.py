"""Colours in the terms of another device: an ICC profile in the file says whose."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

# A profile that moves no colour by more levels than this is sRGB under another name or of another
# rounding. Most are: their pixels stay as they are.
_SAME = 2


def in_srgb(image: "Image") -> "Image":
    """``image`` in sRGB, where the profile in its file says that its numbers are of something else.

    Photos of telephones and of scanners are: shown as they are, they would be pale. What is
    returned is as it came where there is no profile, where that is sRGB's, and, as in browsers,
    where it is broken or for pictures of other channels; else it is in RGB, with the transparency
    that it has. Whites go to white and blacks to black.
    """
    from PIL import Image

    profile = image.info.get("icc_profile")
    if not profile:
        return image
    if image.mode in ("P", "PA"):  # the profile is that of the colours, and not of their numbers
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    shown = image.convert(image.mode[:-1]) if image.mode in ("LA", "RGBA") else image
    transform = _transform(profile, shown.mode)
    if transform is None or (shown.mode == "RGB" and _changes_little(transform)):
        return image
    made: Image.Image = transform.apply(shown)
    if alpha is not None:
        made.putalpha(alpha)
    return made


def _transform(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    """From the profile's colours to sRGB's; None for a profile that does not suit ``mode``."""
    from PIL import ImageCms

    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None


def _changes_little(transform: "ImageCmsTransform") -> bool:
    """Whether colours from all over the cube stay where they are."""
    from PIL import Image, ImageChops

    levels = range(0, 256, 15)
    colours = bytes(level for r in levels for g in levels for b in levels for level in (r, g, b))
    cube = Image.frombytes("RGB", (len(levels) ** 2, len(levels)), colours)
    return max(ImageChops.difference(cube, transform.apply(cube)).tobytes()) <= _SAME
