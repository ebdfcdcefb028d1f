"""The flags of commands that start from a picture, in a group like those of ``options``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.flags import option
from sdloop.inputs import RESIZES
from sdloop.strength import DEFAULT_STRENGTH

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
