"""The flags of ``sdloop batch`` alone."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.batch.cross import PICKS
from sdloop.cli.options.groups import option
from sdloop.cli.options.image import Enlarge, Hires, ImageOptions
from sdloop.errors import SettingError
from sdloop.rules import check_choice

PromptsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROMPT...",
        help='What the pictures show: "{red|blue} frog" is two prompts, "__animals__" one for each '
        'line of a file; "-" reads one from standard input.',
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """How a plan is crossed from prompts, settings and seeds."""

    sweep: Annotated[
        list[str] | None,
        option(
            "Plan",
            "Make each picture with each of these values, of any setting; may be repeated, and all "
            "are crossed then. Numbers may be ranges: steps=10..50..10.",
            "--sweep",
            metavar="SETTING=VALUE,…",
        ),
    ] = None
    zip: Annotated[
        bool,
        option("Plan", "Pair the values of the sweeps, first with first.", "--zip"),
    ] = False
    pick: Annotated[
        str | None,
        option(
            "Plan",
            "Each variant of a prompt, or the one that the picture's seed draws.",
            "--pick",
            choices=PICKS,
            default="all",
        ),
    ] = None
    wildcards: Annotated[
        str | None,
        option(
            "Plan",
            "The folder of animals.txt for __animals__ in prompts.",
            "--wildcards",
            metavar="DIR",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_choice("pick", self.pick, PICKS)
        if self.zip and not self.sweep:
            raise SettingError("zip pairs what is swept, and nothing is: give --sweep")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOptions(ImageOptions):
    """What pictures start from, or what becomes of those that start from noise."""

    images: Annotated[
        list[str] | None,
        option(
            "Start",
            "A picture to start from, or a folder of them; may be repeated.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None
    hires: Hires = None
    enlarge: Enlarge = None
