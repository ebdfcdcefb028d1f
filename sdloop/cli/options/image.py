"""The flags of commands that start from a picture, in a group like those of ``options``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.groups import option
from sdloop.images.input.frame import RESIZES
from sdloop.recipe.limits import DEFAULT_NOISE_LEVEL, ENLARGES
from sdloop.recipe.strength import DEFAULT_STRENGTH, UPSCALE_STRENGTH

ImageArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="IMAGE",
        help='The picture to start from, or a folder of them; "-" reads one from standard input.',
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOptions:
    """Which pictures to start from, and how much of them stays."""

    images: Annotated[
        list[str] | None,
        option(
            "Start",
            "One more picture or folder; may be repeated. Beside it PROMPT may stand alone.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None
    strength: Annotated[
        float | None,
        option(
            "Start",
            "0 to 1: how much is made anew; 1 leaves next to nothing of the picture. "
            f"Of --steps it runs as many. [dim]\\[default: {DEFAULT_STRENGTH}][/dim]",
            "--strength",
            metavar="X",
        ),
    ] = None
    exact_steps: Annotated[
        bool,
        option("Start", "Run all of --steps within the strength.", "--exact-steps"),
    ] = False
    start_step: Annotated[
        int | None,
        option(
            "Start",
            "In place of a strength: the first of --steps to run, counted from 0.",
            "--start-step",
            metavar="N",
        ),
    ] = None
    resize: Annotated[
        str | None,
        option(
            "Start",
            "How the picture gets the size: fit keeps its proportions, at the model's own area or "
            "within --size; crop fills the size; pad shows it whole; stretch distorts it. "
            "Default: fit, and crop where both sides are given.",
            "--resize",
            choices=RESIZES,
        ),
    ] = None
    background: Annotated[
        str | None,
        option(
            "Start",
            "The colour behind what is transparent, and around what is padded. "
            "[dim]\\[default: white][/dim]",
            "--background",
            metavar="COLOUR",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskOptions:
    """Which part of a picture is painted, and what becomes of the rest."""

    mask: Annotated[
        str | None,
        option(
            "Mask",
            "A picture that is white where is painted, black where nothing changes, and grey where "
            'it does in part; or "alpha": where the picture itself is transparent.',
            "--mask",
            metavar="MASK",
        ),
    ] = None
    mask_blur: Annotated[
        float | None,
        option("Mask", "Soften its edge by this many pixels.", "--mask-blur", metavar="X"),
    ] = None
    invert_mask: Annotated[bool, option("Mask", "Paint where it is black.", "--invert-mask")] = (
        False
    )
    mask_margin: Annotated[
        int | None,
        option(
            "Mask",
            "Look at this many pixels around the mask, enlarged, and not at the whole picture: for "
            "what is small in it.",
            "--mask-margin",
            metavar="N",
        ),
    ] = None
    no_keep: Annotated[
        bool,
        option(
            "Mask",
            "Save the decoded picture as it is, at the size of the loop, without the original's "
            "pixels laid over what is not painted.",
            "--no-keep",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SideOptions:
    """Where pictures grow to, and how."""

    left: Annotated[
        int | None, option("Growth", "Add this many pixels there.", "--left", metavar="N")
    ] = None
    right: Annotated[int | None, option("Growth", "And there.", "--right", metavar="N")] = None
    up: Annotated[int | None, option("Growth", "And above.", "--up", metavar="N")] = None
    down: Annotated[int | None, option("Growth", "And below.", "--down", metavar="N")] = None
    overlap: Annotated[
        int | None,
        option(
            "Growth",
            "How much of what is there each pass sees beside what it adds. "
            "[dim]\\[default: half of the model's size][/dim]",
            "--overlap",
            metavar="N",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GrowthOptions(SideOptions):
    """Which pictures grow, where to and how."""

    images: Annotated[
        list[str] | None,
        option(
            "Growth",
            "One more picture or folder; may be repeated. Beside it PROMPT may stand alone.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None
    background: Annotated[
        str | None,
        option(
            "Growth",
            "The colour behind what is transparent. [dim]\\[default: white][/dim]",
            "--background",
            metavar="COLOUR",
        ),
    ] = None


Hires = Annotated[
    float | None,
    option(
        "Enlarge",
        "Make the picture, then make it this many times larger, from a partial strength.",
        "--hires",
        metavar="X",
    ),
]
Enlarge = Annotated[
    str | None,
    option(
        "Enlarge",
        "What is enlarged: the pixels, by Lanczos' filter, or the latents, which blurs and wants "
        "more strength. [dim]\\[default: lanczos][/dim]",
        "--enlarge",
        choices=ENLARGES,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class HiresOptions:
    """The second stage of a picture that starts from noise."""

    hires: Hires = None
    strength: Annotated[
        float | None,
        option(
            "Enlarge",
            "0 to 1: how much of the large picture is made anew; of --steps it runs as many. "
            f"[dim]\\[default: the model's own, or {UPSCALE_STRENGTH}][/dim]",
            "--strength",
            metavar="X",
        ),
    ] = None
    exact_steps: Annotated[
        bool,
        option("Enlarge", "Run all of --steps within the strength.", "--exact-steps"),
    ] = False
    enlarge: Enlarge = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleOptions:
    """How a picture is enlarged."""

    factor: Annotated[
        float | None,
        option(
            "Enlarge",
            "How many times larger. [dim]\\[default: 2, or what an upscaler does][/dim]",
            "--factor",
            metavar="X",
        ),
    ] = None
    enlarge: Enlarge = None
    noise_level: Annotated[
        int | None,
        option(
            "Enlarge",
            "For upscalers: how much noise is put on the small picture, from 0; more of it lets "
            f"more be made up. [dim]\\[default: {DEFAULT_NOISE_LEVEL}][/dim]",
            "--noise-level",
            metavar="N",
        ),
    ] = None
