"""Convert pictures with an ICC colour profile to sRGB."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

# A profile that changes no colour by more levels than this is sRGB under another name or with other
# rounding. Most profiles are; then the pixels are not changed.
_SAME = 2


def in_srgb(image: "Image") -> "Image":
    """``image`` converted to sRGB, if its file has another colour profile.

    Photos from phones and scanners often have one; without conversion they would look pale. The
    image is returned unchanged if it has no profile or sRGB's, and, as in browsers, if the profile
    is broken or does not suit the image's channels. Otherwise the result is in RGB, and keeps its
    transparency. White stays white and black stays black.
    """
    from PIL import Image

    profile = image.info.get("icc_profile")
    if not profile:
        return image
    if image.mode in ("P", "PA"):  # the profile applies to colours, not to palette indices
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
    """The conversion from the profile to sRGB; None if the profile does not suit ``mode``."""
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
    """Whether sample colours from the whole RGB cube stay almost the same."""
    from PIL import Image, ImageChops

    levels = range(0, 256, 15)
    colours = bytes(level for r in levels for g in levels for b in levels for level in (r, g, b))
    cube = Image.frombytes("RGB", (len(levels) ** 2, len(levels)), colours)
    return max(ImageChops.difference(cube, transform.apply(cube)).tobytes()) <= _SAME
