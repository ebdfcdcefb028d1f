"""The flags for a sheet of pictures."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option

STEPS = 9  # the most on a sheet of steps, unless --every is given
SIDE = 256  # pixels: larger pictures are made smaller, unless --zoom is given


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetOptions:
    """Where to save the sheet."""

    output: Annotated[
        str | None,
        option("Output", "PNG file for the sheet.", *("--output", "-o"), metavar="FILE"),
    ] = None
    overwrite: Annotated[bool, option("Output", "Overwrite an existing file.", "--overwrite")] = (
        False
    )
    quiet: Annotated[
        bool, option("Output", "Print nothing but errors to stderr.", *("--quiet", "-q"))
    ] = False


Seed = Annotated[
    int | None,
    option(
        "Picture", "Random seed. Default: a random one, which is printed.", "--seed", metavar="N"
    ),
]
