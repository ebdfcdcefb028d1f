"""Read the pictures that ControlNets follow, and fit them to the pictures that are made."""

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdloop.conditioning.control import ControlImage
from sdloop.errors import SettingError
from sdloop.images.input.frame import BACK, opaque, placed
from sdloop.images.input.read import OpenImage, check_sha256
from sdloop.models.components.load import Components
from sdloop.pipeline.input_images import canvas_of, only_pictures
from sdloop.pipeline.stage import Stage
from sdloop.recipe.controls import Control
from sdloop.recipe.recipe import Recipe

# The pixels, (1, 3, height, width), 0 to 1, of the picture that a ControlNet follows for a Recipe.
ReadControl = Callable[[Recipe, Control], Tensor]

AROUND = "black"  # edges, depths and poses are drawn on black

_FITTED = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}


def control_reader(open_image: OpenImage) -> ReadControl:
    """A function that reads the picture of a ControlNet: each only once in a row.

    Raises ``FileError`` if a picture has changed since its Recipe was resolved.
    """

    @lru_cache(maxsize=16)
    def read(recipe: Recipe, control: Control) -> Tensor:
        return _pixels(control_picture(recipe, control, open_image))

    return lambda recipe, control: read(only_pictures(recipe), control)


def control_picture(recipe: Recipe, control: Control, open_image: OpenImage) -> Image.Image:
    """The picture of a ControlNet in RGB at the size of a resolved Recipe, as its resize says.

    With a mask and the resize "back", it belongs to the whole input picture, and the part around
    the mask is used. Transparent parts and what is around a padded picture are black.
    """
    drawn = open_image(control.image)
    check_sha256(drawn.name, control.image_sha256, drawn.sha256, what="control picture")
    image, size = opaque(drawn.image, AROUND), recipe.size
    assert recipe.resize is not None  # resolved
    if recipe.resize != BACK:
        _tell(drawn.name, image.size, size, recipe.resize)
        return placed(image, size, resize=recipe.resize, around=AROUND)
    canvas = canvas_of(recipe, open_image)
    assert canvas.whole is not None and canvas.box is not None
    _tell(drawn.name, image.size, canvas.whole.size, "crop")
    whole = placed(image, canvas.whole.size, resize="crop", around=AROUND)
    return placed(whole.crop(canvas.box), size, resize=BACK, around=AROUND)


def control_images(
    components: Components, batch: Sequence[Recipe], read: ReadControl
) -> tuple[ControlImage, ...]:
    """What the ControlNets of ``components`` follow, for a batch."""
    images = []
    for place, (net, _) in enumerate(components.controlnets):
        controls = [recipe.acting[place] for recipe in batch]
        rows = [read(recipe, one) for recipe, one in zip(batch, controls, strict=True)]
        image = ControlImage(
            pixels=torch.cat(rows).to(components.device, components.dtype),
            start=controls[0].start,
            end=controls[0].end,
            prompts_only=batch[0].guess_mode or bool(net.config.global_pool_conditions),
        )
        images.append(image)
    return tuple(images)


def check_acting(planned: Sequence[Stage]) -> None:
    """Raise ``SettingError`` for a ControlNet that acts in no step of any stage."""
    calls = [len(stage.timesteps) for stage in planned if stage.components.controlnets]
    for one in planned[0].batch[0].acting if calls else ():
        image = ControlImage(pixels=torch.empty(0), start=one.start, end=one.end)
        if not any(image.acts(call, count) for count in calls for call in range(count)):
            raise SettingError.of(
                "controls",
                f"must act in a step at least, got {one}, whose range {one.start:g}..{one.end:g} "
                f"holds none of {max(calls)}",
            )


def _pixels(image: Image.Image) -> Tensor:
    levels = np.array(image).astype(np.float32) / 255
    return torch.from_numpy(levels).permute(2, 0, 1)[None].contiguous()


def _tell(name: str, given: tuple[int, int], needed: tuple[int, int], resize: str) -> None:
    if given != needed:
        sizes = ["x".join(map(str, size)) for size in (given, needed)]
        warnings.warn(
            f"the control picture {name} is {sizes[0]}: {_FITTED[resize]} to {sizes[1]}",
            stacklevel=2,
        )
