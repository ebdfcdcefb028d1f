"""The flags that only ``sdloop batch`` has."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.groups import option
from sdloop.cli.options.image import Enlarge, Hires, ImageOptions
from sdloop.errors import SettingError
from sdloop.rules import check_choice

PICKS = ("all", "random")

PromptsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROMPT",
        help='What the pictures show. "{red|blue} frog" is two prompts; "__animals__" is one for'
        ' each line of animals.txt; "-" reads a prompt from standard input.',
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """How prompts, settings and seeds are combined into a plan."""

    sweep: Annotated[
        list[str] | None,
        option(
            "Plan",
            "Values of a setting; each picture is made with each value. Any setting, as in "
            "steps=10,20 or steps=10..50..10. May be repeated: then all values are combined.",
            "--sweep",
            metavar="SETTING=VALUE,…",
        ),
    ] = None
    zip: Annotated[
        bool,
        option(
            "Plan",
            "Combine several sweeps value by value: first with first, second with second.",
            "--zip",
        ),
    ] = False
    pick: Annotated[
        str | None,
        option(
            "Plan",
            "Which variants of a prompt to use. all: every variant. random: one, drawn with the"
            " picture's seed.",
            "--pick",
            choices=PICKS,
            default="all",
        ),
    ] = None
    wildcards: Annotated[
        str | None,
        option(
            "Plan",
            "Folder with animals.txt for __animals__.",
            "--wildcards",
            metavar="DIR",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_choice("pick", self.pick, PICKS)
        if self.zip and not self.sweep:
            raise SettingError("zip needs --sweep")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOptions(ImageOptions):
    """Input pictures, or the second stage of pictures from noise."""

    images: Annotated[
        list[str] | None,
        option(
            "Start",
            "Picture to start from, or a folder of pictures. May be repeated.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None
    hires: Hires = None
    enlarge: Enlarge = None
