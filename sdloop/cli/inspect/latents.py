"""``sdloop inspect latents``: a picture's latents, and what the VAE loses."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.image import ImageArgument
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.sheet import SheetOptions
from sdloop.errors import SettingError


@options(panel="Picture")
class SizeOptions:
    """The size of the picture."""

    size: str | None = own(
        "Size, as in 512x768. Default: the picture's proportions, with as many pixels as the "
        "model's own size.",
        metavar="WxH",
    )


@options(panel="Output")
class OutputOptions(SheetOptions):
    """The sheet, and how the numbers are printed."""

    json: bool = own("Print the numbers as one line of JSON.")


@with_options
def latents(
    image: ImageArgument = None,
    *,
    picture: SizeOptions,
    model: ModelOptions,
    out: OutputOptions,
) -> None:
    """Send a picture through the VAE and back, and show what is lost.

    The sheet shows the latent channels, the decoded picture and the difference from the original.

    Example:
      sdloop inspect latents photo.png -o latents.png
    """
    if image is None:
        raise SettingError("image must be given, as in: sdloop inspect latents photo.png")
    from sdloop.cli.inspect.figures.latents import show_latents

    show_latents(image, picture.size, model, out, json_lines=out.json)
