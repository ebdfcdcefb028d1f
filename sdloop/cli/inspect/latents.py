"""``sdloop inspect latents``: a picture's latents, and what the VAE loses."""

from typing import Annotated

from sdloop.cli.options.groups import option, with_options
from sdloop.cli.options.image import ImageArgument
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.sheet import SheetOptions
from sdloop.errors import SettingError

Json = Annotated[bool, option("Output", "Print the numbers as one line of JSON.", "--json")]


@with_options
def latents(
    image: ImageArgument = None,
    *,
    size: Annotated[
        str | None,
        option(
            "Picture",
            "Size, as in 512x768. Default: the picture's proportions, with as many pixels as "
            "the model's own size.",
            "--size",
            metavar="WxH",
        ),
    ] = None,
    model: ModelOptions,
    out: SheetOptions,
    json_lines: Annotated[
        bool, option("Output", "Print the numbers as one line of JSON.", "--json")
    ] = False,
) -> None:
    """Send a picture through the VAE and back, and show what is lost.

    The sheet shows the latent channels, the decoded picture and the difference from the original.

    Example:
      sdloop inspect latents photo.png -o latents.png
    """
    if image is None:
        raise SettingError("image must be given, as in: sdloop inspect latents photo.png")
    from sdloop.cli.inspect.figures.latents import show_latents

    show_latents(image, size, model, out, json_lines=json_lines)
