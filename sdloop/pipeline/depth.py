"""How near each place of an input picture is: estimated, or from a picture of its own."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdloop.images.input.frame import placed
from sdloop.images.input.read import OpenImage, check_sha256
from sdloop.latents.noise import latent_size
from sdloop.models.components.load import Components
from sdloop.models.components.offload import works_on
from sdloop.recipe.recipe import Recipe


def depth_channel(
    components: Components, recipe: Recipe, image: Image.Image, open_image: OpenImage
) -> Tensor:
    """The extra channel of a depth model's UNet, (1, 1, height, width) at the size of the latents.

    It goes from -1, the farthest place of the picture, to 1, the nearest one. ``image`` is the
    input picture at the size of the loop, for the estimator; a Recipe with a depth_map needs none.
    """
    if recipe.depth_map is None:
        depth = _estimated(components, image)
    else:
        depth = _drawn(recipe, open_image)
    size = latent_size(*recipe.size, components.vae_factor)
    depth = torch.nn.functional.interpolate(
        depth[:, None], size=size, mode="bicubic", align_corners=False
    )
    lowest, highest = depth.amin(), depth.amax()
    if lowest == highest:  # everything is equally far away
        return torch.zeros_like(depth)
    return 2.0 * (depth - lowest) / (highest - lowest) - 1.0


@torch.no_grad()
def _estimated(components: Components, image: Image.Image) -> Tensor:
    """What the model's estimator says of a picture, (1, height, width), at a size of its own."""
    estimator = components.depth_estimator
    pixels = components.depth_processor(images=[image], return_tensors="pt").pixel_values
    depth: Tensor = estimator(pixels.to(works_on(estimator))).predicted_depth
    return depth.to(components.device)


def _drawn(recipe: Recipe, open_image: OpenImage) -> Tensor:
    """The brightness of the depth map, (1, height, width), framed like the input picture."""
    assert recipe.image and recipe.depth_map and recipe.resize  # resolved
    drawn = open_image(recipe.depth_map)
    check_sha256(drawn.name, recipe.depth_map_sha256, drawn.sha256, what="depth map")
    whole = open_image(recipe.image).image.size
    grey = drawn.image.convert("L")
    if grey.size != whole:
        grey = grey.resize(whole, Image.Resampling.BILINEAR)
    grey = placed(grey, recipe.size, resize=recipe.resize, around="black")
    return torch.from_numpy(np.array(grey, dtype=np.float32))[None]
