"""Make the maps that ControlNets follow: edges, lines, grey and depths of a picture."""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from sdloop.images.input.read import check_sha256
from sdloop.models.checkpoint.vision import find_vision
from sdloop.models.components.depth import load_depth_model
from sdloop.pipeline.edges import canny, line_art, soft_edges
from sdloop.recipe.limits import DEPTH_MODEL
from sdloop.recipe.preprocess import DEPTH

_BY_CODE: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "canny": canny,
    "soft-edge": soft_edges,
    "lineart": line_art,
}
# A function that makes the map of a picture, in RGB and at its size.
Preprocess = Callable[[Image.Image], Image.Image]
# A depth model, and the sha256 that it must have: those of a Recipe.
DepthName = tuple[str | None, str | None]


def preprocess_of(kind: str | None, depth: DepthName = (None, None)) -> Preprocess:
    """What makes maps of this kind; without a kind, pictures stay as they are.

    Raises ``FileError`` for another depth model than the one that a Recipe was made with.
    """
    if kind is None:
        return lambda image: image
    if kind == "grey":
        return lambda image: image.convert("L").convert("RGB")
    if kind == DEPTH:
        return _depth_maps(*depth)
    draw = _BY_CODE[kind]
    return lambda image: Image.fromarray(draw(np.asarray(image))).convert("RGB")


def _depth_maps(name: str | None, sha256: str | None) -> Preprocess:
    """White is the nearest place of a picture, and black the farthest one."""
    found = find_vision("depth_estimator", DEPTH_MODEL if name is None else name)
    check_sha256(repr(found.name), sha256, found.sha256, what="preprocess_model")

    def made(image: Image.Image) -> Image.Image:
        depths = load_depth_model(found).depths(image).numpy()
        lowest, highest = depths.min(), depths.max()
        levels = (depths - lowest) * (255 / max(highest - lowest, 1e-12))
        return Image.fromarray(levels.round().astype(np.uint8)).convert("RGB")

    return made
