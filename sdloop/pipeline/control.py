"""Read the pictures that ControlNets and T2I-Adapters follow, and fit them to those made."""

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdloop.conditioning.control import ControlImage, Features, Share
from sdloop.errors import SettingError
from sdloop.images.input.frame import BACK, contained, opaque, placed
from sdloop.images.input.read import OpenImage, check_sha256
from sdloop.models.components.load import Components
from sdloop.pipeline.input_images import canvas_of, only_pictures
from sdloop.pipeline.preprocess import MapModel, Preprocess, preprocess_of
from sdloop.pipeline.stage import Stage
from sdloop.recipe.controls import Control
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_multiple

# The pixels, (1, 3, height, width), 0 to 1, of the picture that a ControlNet follows for a Recipe.
ReadControl = Callable[[Recipe, Control], Tensor]

AROUND = "black"  # edges, depths and poses are drawn on black

_FITTED = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}


def control_reader(open_image: OpenImage) -> ReadControl:
    """A function that reads the picture of a ControlNet: each only once in a row.

    Raises ``FileError`` if a picture has changed since its Recipe was resolved.
    """

    @lru_cache(maxsize=16)
    def read(recipe: Recipe, control: Control, model: MapModel) -> Tensor:
        made = preprocess_of(control.preprocess, model)
        return _pixels(control_picture(recipe, control, open_image, made))

    def read_for(recipe: Recipe, control: Control) -> Tensor:
        model = recipe.preprocess_model, recipe.preprocess_model_sha256
        return read(only_pictures(recipe), control, model)

    return read_for


def control_picture(
    recipe: Recipe, control: Control, open_image: OpenImage, made: Preprocess
) -> Image.Image:
    """The map of a ControlNet in RGB at the size of a resolved Recipe, as its resize says.

    It is ``made`` of the picture at this size: lines that are resized are no longer thin.

    With a mask and the resize "back", it belongs to the whole input picture, and the part around
    the mask is used. Transparent parts and what is around a padded picture are black.
    """
    drawn = open_image(control.image)
    check_sha256(drawn.name, control.image_sha256, drawn.sha256, what="control picture")
    image, size = opaque(drawn.image, AROUND), recipe.size
    assert recipe.resize is not None  # resolved
    if recipe.resize != BACK:
        _tell(drawn.name, image.size, size, recipe.resize)
        if recipe.resize == "pad":  # what is around it is no edge, and not far away
            return placed(made(contained(image, size)), size, resize="pad", around=AROUND)
        return made(placed(image, size, resize=recipe.resize, around=AROUND))
    canvas = canvas_of(recipe, open_image)
    assert canvas.whole is not None and canvas.box is not None
    _tell(drawn.name, image.size, canvas.whole.size, "crop")
    whole = placed(image, canvas.whole.size, resize="crop", around=AROUND)
    return made(placed(whole.crop(canvas.box), size, resize=BACK, around=AROUND))


def control_images(
    components: Components, batch: Sequence[Recipe], read: ReadControl
) -> tuple[ControlImage, ...]:
    """What the ControlNets of ``components`` follow, for a batch."""
    images = []
    for place, (net, *_) in enumerate(components.controlnets):
        rows, first = _rows(batch, place, read)
        # Contiguous as in diffusers, and for adapters not: convolutions round in another order.
        pixels = torch.cat(rows).contiguous().to(components.device, components.dtype)
        guesses = batch[0].guess_mode or bool(net.config.global_pool_conditions)
        image = ControlImage(pixels=pixels, start=first.start, end=first.end, prompts_only=guesses)
        images.append(image)
    return tuple(images)


@torch.no_grad()
def adapter_features(
    components: Components, batch: Sequence[Recipe], read: ReadControl
) -> tuple[Features, ...]:
    """What the T2I-Adapters of ``components`` see, for a batch: each picture by itself."""
    found = []
    for place, (adapter, scale, *_) in enumerate(components.t2i_adapters):
        rows, first = _rows(batch, len(components.controlnets) + place, read)
        grey = adapter.config.in_channels == 1
        seen = [
            adapter((_grey(row) if grey else row).to(components.device, components.dtype))
            for row in rows
        ]
        levels = tuple(_stacked(level) * scale for level in zip(*seen, strict=True))
        found.append(Features(levels=levels, start=first.start, end=first.end))
    return tuple(found)


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    """The rows in one tensor, with the strides that diffusers gives them, and so its rounding."""
    return rows[0] if len(rows) == 1 else torch.cat(list(rows)).contiguous()


def _rows(batch: Sequence[Recipe], place: int, read: ReadControl) -> tuple[list[Tensor], Control]:
    """The pictures that a batch follows with one of its nets, and the first of their Controls."""
    followed = [recipe.followed[place] for recipe in batch]
    return [read(one, control) for one, control in zip(batch, followed, strict=True)], followed[0]


def check_acting(planned: Sequence[Stage]) -> None:
    """Raise ``SettingError`` for what acts in no step of any stage, or does not suit the size."""
    stages = [one for one in planned if not one.refines]
    calls = [len(stage.timesteps) for stage in stages]
    for one in planned[0].batch[0].followed:
        share = Share(start=one.start, end=one.end)
        if not any(share.acts(call, count) for count in calls for call in range(count)):
            raise SettingError.of(
                one.field,
                f"must act in at least one step, got {one}, whose range {one.start:g}..{one.end:g} "
                f"holds none of {max(calls)}",
            )
    for stage in stages:
        for adapter, *_ in stage.components.t2i_adapters:
            for name, side in zip(("width", "height"), stage.batch[0].size, strict=True):
                check_multiple(name, side, adapter.downscale_factor)


def _pixels(image: Image.Image) -> Tensor:
    levels = np.array(image).astype(np.float32) / 255
    return torch.from_numpy(levels)[None].permute(0, 3, 1, 2)


def _grey(pixels: Tensor) -> Tensor:
    """(1, 1, height, width) with Pillow's weights and rounding, for adapters without colours."""
    levels = (pixels[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    grey = np.array(Image.fromarray(levels).convert("L")).astype(np.float32) / 255
    return torch.from_numpy(grey)[None, ..., None].permute(0, 3, 1, 2)


def _tell(name: str, given: tuple[int, int], needed: tuple[int, int], resize: str) -> None:
    if given != needed:
        sizes = ["x".join(map(str, size)) for size in (given, needed)]
        warnings.warn(
            f"the control picture {name} is {sizes[0]}: {_FITTED[resize]} to {sizes[1]}",
            stacklevel=2,
        )
