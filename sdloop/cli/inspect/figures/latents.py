"""Draw a picture's latents, and what the VAE loses."""

import json
import math
from typing import TYPE_CHECKING, Any

from sdloop.cli.inspect.shared import (
    of_the_model_alone,
    ready,
    settings_and_fields,
    sheet_path,
    write_sheet,
)
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.options.groups import given
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.sheet import SheetOptions
from sdloop.cli.terminal.output import emit
from sdloop.images.sheet import sheet
from sdloop.recipe.parse import parse_pair

if TYPE_CHECKING:
    from sdloop.inspection.latents import RoundTrip


def show_latents(
    image: str, size: str | None, model: ModelOptions, out: SheetOptions, *, json_lines: bool
) -> None:
    """Draw the latents of a picture and the picture that is decoded from them."""
    path = sheet_path(out, "latents.png")
    fields = {"prompt": "", "image": image, **given(model)}
    if size is not None:
        fields["width"], fields["height"] = parse_pair("size", size)
    settings, wanted = settings_and_fields(fields, seed=0, quiet=True)
    components, recipe = ready(of_the_model_alone(wanted), settings)
    from sdloop.inspection.latents import channel_images, round_trip
    from sdloop.pipeline.input_images import canvas_of

    trip = round_trip(components.vae, canvas_of(recipe, image_opener()).image)
    factor = components.vae_factor
    channels = [
        channel.resize((channel.width * factor, channel.height * factor), 0)
        for channel in channel_images(trip.latents)
    ]
    labels = ["picture", "there and back", "error x4"]
    labels += [f"channel {number}" for number in range(len(channels))]
    row = [trip.picture, trip.back, trip.error, *channels]
    write_sheet(sheet([row], columns=labels), path, out)
    if json_lines:
        emit(json.dumps(_numbers(trip)))
    elif not out.quiet:
        emit(_sentence(trip))


def _numbers(trip: "RoundTrip") -> dict[str, Any]:
    return {
        "width": trip.picture.width,
        "height": trip.picture.height,
        "latents": list(trip.latents.shape),
        "compression": trip.compression,
        "psnr": trip.psnr if math.isfinite(trip.psnr) else "inf",
    }


def _sentence(trip: "RoundTrip") -> str:
    channels, height, width = trip.latents.shape
    return (
        f"{trip.picture.width}x{trip.picture.height}x3 numbers become {width}x{height}x{channels}, "
        f"{trip.compression:.3g} times fewer; the decoded picture has a PSNR of {trip.psnr:.1f} dB"
    )
