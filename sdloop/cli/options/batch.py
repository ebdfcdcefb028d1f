"""The flags that only ``sdloop batch`` has."""

from typing import Annotated

from sdloop.cli.options.fields import flag, options, own
from sdloop.cli.options.groups import argument
from sdloop.cli.options.image import ImageOptions
from sdloop.errors import SettingError
from sdloop.rules import check_choice

PICKS = ("all", "random")

PromptsArgument = Annotated[
    list[str] | None,
    argument(
        "PROMPT",
        'What the pictures show. "{red|blue} frog" is two prompts; "__animals__" is one for'
        ' each line of animals.txt; "-" reads a prompt from standard input.',
    ),
]


@options(panel="Plan")
class PlanOptions:
    """How prompts, settings and seeds are combined into a plan."""

    sweep: list[str] | None = own(
        "Values of a setting; each picture is made with each value. Any setting, as in "
        "steps=10,20 or steps=10..50..10. May be repeated: then all values are combined.",
        metavar="SETTING=VALUE,…",
    )
    zip: bool = own("Combine several sweeps value by value: first with first, second with second.")
    pick: str | None = own(
        "Which variants of a prompt to use. all: every variant. random: one, drawn with the"
        " picture's seed.",
        choices=PICKS,
        default="all",
    )
    wildcards: str | None = own("Folder with animals.txt for __animals__.", metavar="DIR")

    def __post_init__(self) -> None:
        check_choice("pick", self.pick, PICKS)
        if self.zip and not self.sweep:
            raise SettingError("zip needs --sweep")


@options(panel="Start")
class StartOptions(ImageOptions):
    """Input pictures, or the second stage of pictures from noise."""

    images: list[str] | None = own(
        "Picture to start from, or a folder of pictures. May be repeated.",
        *("--image", "-i", "--init-image"),
        metavar="IMAGE",
    )
    hires: float | None = flag("hires")
    enlarge: str | None = flag("enlarge")
    upscaler: str | None = flag("upscaler")
