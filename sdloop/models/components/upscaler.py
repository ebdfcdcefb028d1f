"""Load an upscaler of one step (ESRGAN and others) with spandrel, and enlarge pictures with it."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from sdloop.errors import ModelError, NonFiniteError, SettingError
from sdloop.models.checkpoint.upscaler import UpscalerFile
from sdloop.models.components.weights import BAD_CONFIG, reason_of
from sdloop.schedulers.library_messages import no_library_messages

# Larger pictures are enlarged in parts, which see this much of what is around them. Both are pixels
# of the small picture. They do not depend on the free memory, so that the pixels do not either.
TILE, AROUND = 256, 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Upscaler:
    """A network that makes pictures ``scale`` times larger, in float32.

    It waits on the CPU. It is small beside a UNet, but the pictures inside it are large.
    """

    net: Any
    scale: int
    tiled: bool

    @torch.no_grad()
    def enlarged(self, image: Image.Image, device: torch.device) -> Image.Image:
        """``image`` (RGB) ``scale`` times larger; raises ``NonFiniteError``."""
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        height, width = (side * self.scale for side in pixels.shape[2:])
        levels = torch.empty(height, width, 3, dtype=torch.uint8)
        self.net.to(device)
        try:
            for rows, columns in self._tiles(image.height, image.width):
                part = self._part(pixels, rows, columns, device)
                levels[self._scaled(rows), self._scaled(columns)] = part
        finally:
            self.net.to(torch.device("cpu"))
        return Image.fromarray(levels.numpy())

    def _part(self, pixels: Tensor, rows: slice, columns: slice, device: torch.device) -> Tensor:
        """One part of the large picture, (height, width, 3), uint8, on the CPU."""
        seen = [slice(max(0, one.start - AROUND), one.stop + AROUND) for one in (rows, columns)]
        made = self.net(pixels[:, :, seen[0], seen[1]].to(device).float() / 255)[0]
        if not made.isfinite().all():
            raise NonFiniteError("the upscaler made NaN or infinity instead of pixels")
        inner = [
            self._scaled(slice(one.start - wide.start, one.stop - wide.start))
            for one, wide in zip((rows, columns), seen, strict=True)
        ]
        levels = (made[:, inner[0], inner[1]].clamp(0, 1) * 255).round().to(torch.uint8)
        part: Tensor = levels.permute(1, 2, 0).cpu()
        return part

    def _tiles(self, height: int, width: int) -> Iterator[tuple[slice, slice]]:
        """The rows and columns of each part of the small picture."""
        side = TILE if self.tiled else max(height, width)
        for top in range(0, height, side):
            for left in range(0, width, side):
                yield (
                    slice(top, min(top + side, height)),
                    slice(left, min(left + side, width)),
                )

    def _scaled(self, part: slice) -> slice:
        return slice(part.start * self.scale, part.stop * self.scale)


@lru_cache(maxsize=1)  # the next picture needs it again, also in a worker's next call
def load_upscaler(found: UpscalerFile) -> Upscaler:
    """The network in ``found``.

    Raises ``ModelError`` for a file that is damaged, or is not an upscaler of RGB pictures, and
    ``SettingError`` if spandrel cannot be imported.
    """
    spandrel = _spandrel()
    source = f"the upscaler {found.name}"
    try:
        # Its own unpickler refuses all that is not tensors.
        net = spandrel.ModelLoader().load_from_file(found.path)
    except spandrel.UnsupportedModelError as error:
        raise ModelError(f"{source} is not one: spandrel knows no such network") from error
    except (OSError, pickle.UnpicklingError, SafetensorError, *BAD_CONFIG) as error:
        raise ModelError(f"{source} cannot be read: {reason_of(error)}") from error
    enlarges = isinstance(net, spandrel.ImageModelDescriptor) and net.purpose == "SR"
    if not enlarges or net.scale < 2:
        name = f"{net.architecture.name}, for {net.purpose}, {net.scale}x"
        raise ModelError(f"{source} must be a network that enlarges any picture, got {name}")
    channels = net.input_channels, net.output_channels
    if channels != (3, 3):
        shown = " to ".join(map(str, channels))
        raise ModelError(f"{source} must turn 3 channels (RGB) into 3, got {shown}")
    return Upscaler(net=net, scale=net.scale, tiled=net.tiling.name == "SUPPORTED")


def _spandrel() -> Any:
    """The library, imported late: most pictures need none of its networks."""
    try:
        with no_library_messages():
            import spandrel
    except (ImportError, RuntimeError) as error:  # torchvision for another torch
        raise SettingError.of(
            "upscaler", f"needs spandrel, which cannot be imported: {reason_of(error)}"
        ) from error
    return spandrel
