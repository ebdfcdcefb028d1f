"""The flags for a sheet of pictures."""

from sdloop.cli.options.fields import options, own

STEPS = 9  # the most on a sheet of steps, unless --every is given
SIDE = 256  # pixels: larger pictures are made smaller, unless --zoom is given


@options(panel="Output")
class SheetOptions:
    """Where to save the sheet."""

    output: str | None = own("PNG file for the sheet.", "-o", metavar="FILE")
    overwrite: bool = own("Overwrite an existing file.")
    quiet: bool = own("Print nothing but errors to stderr.", "-q")


@options(panel="Picture")
class OneSeedOptions:
    """The seed of the only picture."""

    seed: int | None = own("Random seed. Default: a random one, which is printed.", metavar="N")
