"""``sdloop inspect control``: the map that a ControlNet follows."""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import argument, given, with_options
from sdloop.cli.options.image import MapOptions
from sdloop.cli.options.sheet import SheetOptions
from sdloop.errors import SettingError

Image = Annotated[str | None, argument("IMAGE", "The picture to make it of.")]


@options(panel="Picture")
class SizeOptions:
    """The size of the map."""

    size: str | None = own(
        "Size of the picture to be made, which this one is cropped to. Default: its own.",
        metavar="WxH",
    )


@with_options
def control(
    image: Image = None, *, picture: SizeOptions, how: MapOptions, out: SheetOptions
) -> None:
    """Show what --preprocess makes of a picture, for ControlNets.

    The file can be changed by hand, and given to --control without a --preprocess.

    Example:
      sdloop inspect control photo.png --preprocess canny -o edges.png
    """
    kind = given(how).get("preprocess")
    if image is None or kind is None:
        missing = "image" if image is None else "preprocess"
        raise SettingError(
            f"{missing} must be given, as in: sdloop inspect control photo.png --preprocess canny"
        )
    from sdloop.cli.inspect.figures.control import show_control

    show_control(image, kind, given(how).get("preprocess_model"), picture.size, out)
