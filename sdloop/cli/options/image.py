"""The flags of commands that start from a picture, in a group like those of ``options``."""

from typing import Annotated

from sdloop.cli.options.fields import flag, options, own
from sdloop.cli.options.groups import argument
from sdloop.recipe.fields_image import GROWTH, MASK, START
from sdloop.recipe.strength import UPSCALE_STRENGTH

ImageArgument = Annotated[
    str | None,
    argument(
        "IMAGE",
        'Picture to start from, or a folder of pictures. "-" reads one from standard input.',
    ),
]

_IMAGES = own(
    "Another picture or folder. May be repeated. With it, PROMPT may be the only argument.",
    *("--image", "-i", "--init-image"),
    metavar="IMAGE",
)


@options(START, panel="Start")
class ImageOptions:
    """Input pictures, and how much of them is kept."""

    images: list[str] | None = _IMAGES


@options(MASK)
class MaskOptions:
    """The mask: which part of a picture is painted, and what happens to the rest."""


@options(["mask_model", "mask_threshold", "mask_grow", "mask_blur", "invert_mask"])
class DrawnMaskOptions:
    """How a mask is drawn, without what is painted in it."""


@options(["preprocess", "preprocess_model"])
class MapOptions:
    """How the map of a ControlNet is made."""


@options(GROWTH)
class SideOptions:
    """Outpainting: which sides grow, and how."""


@options(GROWTH, panel="Growth")
class GrowthOptions:
    """Outpainting: which pictures grow, on which sides, and how."""

    images: list[str] | None = _IMAGES
    background: str | None = flag(
        "background", panel="Growth", help="Colour behind transparent parts."
    )


@options(["hires", "enlarge", "upscaler"])
class HiresOptions:
    """The second stage of a picture that starts from noise."""

    strength: float | None = flag(
        "strength",
        panel="Enlarge",
        help="How much is made anew after enlarging, 0 to 1. Only this share of steps is run.",
        usual=f"the model's own, or {UPSCALE_STRENGTH}",
    )
    exact_steps: bool = flag("exact_steps", panel="Enlarge")


@options()
class FitOptions:
    """How the pictures of ControlNets are fitted, without an input picture."""

    resize: str | None = flag(
        "resize",
        panel="Control",
        help="How ControlNet pictures are fitted to the size: crop, pad or stretch.",
        usual="crop",
    )


@options(["factor", "enlarge", "upscaler", "noise_level"])
class ScaleOptions:
    """How a picture is enlarged."""
