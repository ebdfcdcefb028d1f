"""The flags of commands that start from a picture, in a group like those of ``options``."""

from typing import Annotated

import typer

from sdloop.cli.options.fields import flag, takes
from sdloop.cli.options.groups import option
from sdloop.recipe.fields_image import GROWTH, MASK, START
from sdloop.recipe.strength import UPSCALE_STRENGTH

ImageArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="IMAGE",
        help='Picture to start from, or a folder of pictures. "-" reads one from standard input.',
        show_default=False,
    ),
]


@takes(START)
class ImageOptions:
    """Input pictures, and how much of them is kept."""

    images: Annotated[
        list[str] | None,
        option(
            "Start",
            "Another picture or folder. May be repeated. With it, PROMPT may be the only argument.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None


@takes(MASK)
class MaskOptions:
    """The mask: which part of a picture is painted, and what happens to the rest."""


@takes(["mask_model", "mask_threshold", "mask_grow", "mask_blur", "invert_mask"])
class DrawnMaskOptions:
    """How a mask is drawn, without what is painted in it."""


@takes(["preprocess", "preprocess_model"])
class MapOptions:
    """How the map of a ControlNet is made."""


@takes(GROWTH)
class SideOptions:
    """Outpainting: which sides grow, and how."""


@takes(GROWTH)
class GrowthOptions:
    """Outpainting: which pictures grow, on which sides, and how."""

    images: Annotated[
        list[str] | None,
        option(
            "Growth",
            "Another picture or folder. May be repeated. With it, PROMPT may be the only argument.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None
    background: Annotated[
        str | None,
        flag("background", panel="Growth", help="Colour behind transparent parts."),
    ] = None


Hires = Annotated[float | None, flag("hires")]
Enlarge = Annotated[str | None, flag("enlarge")]


@takes(["hires", "enlarge"])
class HiresOptions:
    """The second stage of a picture that starts from noise."""

    strength: Annotated[
        float | None,
        flag(
            "strength",
            panel="Enlarge",
            help="How much is made anew after enlarging, 0 to 1. Only this share of steps is run.",
            usual=f"the model's own, or {UPSCALE_STRENGTH}",
        ),
    ] = None
    exact_steps: Annotated[bool, flag("exact_steps", panel="Enlarge")] = False


@takes([])
class FitOptions:
    """How the pictures of ControlNets are fitted, without an input picture."""

    resize: Annotated[
        str | None,
        flag(
            "resize",
            panel="Control",
            help="How the pictures of ControlNets get the picture's size: crop, pad or stretch.",
            usual="crop",
        ),
    ] = None


@takes(["factor", "enlarge", "noise_level"])
class ScaleOptions:
    """How a picture is enlarged."""
