"""``sdloop bench speed``: how fast a model makes pictures here."""

import dataclasses
import json
from typing import TYPE_CHECKING

from sdloop.batch.command_settings import CommandSettings
from sdloop.cli.options.bench import BenchOptions
from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.model import COMPILED, DEVICE, DTYPE, MEMORY
from sdloop.cli.terminal.columns import columns
from sdloop.cli.terminal.output import emit
from sdloop.recipe.parse import parse_pair
from sdloop.rules import check_whole

if TYPE_CHECKING:
    from sdloop.inspection.speed import Speed
    from sdloop.recipe.recipe import Recipe


@options()
class PlaceOptions:
    """Where and how the model runs."""

    device: str | None = DEVICE
    dtype: str | None = DTYPE
    memory: str | None = MEMORY
    compile: str | None = COMPILED


@options(panel="Options")
class SpeedOptions(BenchOptions):
    """What is made."""

    size: str | None = own("Size of the pictures: 512x768.", metavar="WxH", default="the model's")
    steps: int = own("Steps per picture.", metavar="N", default=10)
    batch_size: int = own("Pictures made at the same time.", metavar="N", default=1)


@with_options
def speed(*, how: SpeedOptions, place: PlaceOptions) -> None:
    """Measure how fast a model makes pictures, and the share of the device.

    The share of the device is that of a product of two large matrices, which does nothing else.
    The overhead is what the loop takes beyond the UNet's own forward passes.

    Examples:
      sdloop bench speed
      sdloop bench speed -m stabilityai/stable-diffusion-xl-base-1.0 --batch-size 4 --dtype bf16
    """
    from sdloop.recipe.recipe import Recipe

    check_whole("steps", how.steps, 1, 1000)
    check_whole("batch_size", how.batch_size, 1, 4096)
    width, height = (None, None) if how.size is None else parse_pair("size", how.size)
    recipe = Recipe(
        prompt="a frog in a park",
        seed=4,
        steps=how.steps,
        model=how.model,
        width=width,
        height=height,
    )
    found = _measured(recipe, CommandSettings(**given(place)), how.batch_size)
    if how.json:
        facts = {**dataclasses.asdict(found), "overhead": found.overhead, "share": found.share}
        emit(json.dumps(facts))
        return
    for line in columns(list(_lines(found))):
        emit(line)


def _measured(recipe: "Recipe", command: CommandSettings, batch_size: int) -> "Speed":
    from sdloop.cli.make.model import loaded
    from sdloop.images.input.read import open_image
    from sdloop.inspection.speed import measure_speed
    from sdloop.pipeline.resolve import Resolver

    found = Resolver(open_image)(recipe)  # loads nothing: bad settings end here
    components = loaded(found.checkpoint, command, [found.recipe])
    return measure_speed(components, found.recipe, batch_size)


def _lines(found: "Speed") -> list[tuple[str, str]]:
    peak = "unknown" if found.peak_memory is None else f"{found.peak_memory / 2**30:.2f} GB"
    return [
        ("pictures per second", f"{found.pictures_per_second:.3g}"),
        ("a step", f"{found.step * 1000:.4g} ms"),
        ("the same forward pass alone", f"{found.bare_step * 1000:.4g} ms"),
        ("overhead of the loop", f"{found.overhead:.1%}"),
        ("decoding a picture", f"{found.decoding * 1000:.4g} ms"),
        ("work for a picture", f"{found.flops_per_picture / 1e12:.3g} TFLOP"),
        ("a product of matrices here", f"{found.device_flops / 1e12:.3g} TFLOP/s"),
        ("share of that", f"{found.share:.1%}"),
        ("waits for the GPU in a batch", "-" if found.waits is None else str(found.waits)),
        ("peak memory", peak),
    ]
