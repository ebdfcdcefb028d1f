"""The flags for a sheet of pictures."""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import option

STEPS = 9  # the most on a sheet of steps, unless --every is given
SIDE = 256  # pixels: larger pictures are made smaller, unless --zoom is given


@options(panel="Output")
class SheetOptions:
    """Where to save the sheet."""

    output: str | None = own("PNG file for the sheet.", "-o", metavar="FILE")
    overwrite: bool = own("Overwrite an existing file.")
    quiet: bool = own("Print nothing but errors to stderr.", "-q")


Seed = Annotated[
    int | None,
    option(
        "Picture", "Random seed. Default: a random one, which is printed.", "--seed", metavar="N"
    ),
]
