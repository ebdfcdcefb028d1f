"""Make the maps that ControlNets follow: edges, lines, grey, depths and the pose of a picture."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image

from sdloop.images.input.read import check_sha256
from sdloop.models.checkpoint.vision import VisionModel, find_vision
from sdloop.models.components.depth import load_depth_model
from sdloop.models.components.pose import load_pose_model
from sdloop.pipeline.edges import canny, line_art, soft_edges
from sdloop.pipeline.skeleton import skeleton
from sdloop.recipe.preprocess import DEPTH, MODELS

_BY_CODE: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "canny": canny,
    "soft-edge": soft_edges,
    "lineart": line_art,
}
# A function that makes the map of a picture, in RGB and at its size.
Preprocess = Callable[[Image.Image], Image.Image]
# A model that makes maps, and the sha256 that it must have: those of a Recipe.
MapModel = tuple[str | None, str | None]


def preprocess_of(kind: str | None, model: MapModel = (None, None)) -> Preprocess:
    """What makes maps of this kind; without a kind, pictures stay as they are.

    Raises ``FileError`` for another model than the one that a Recipe was made with.
    """
    if kind is None:
        return lambda image: image
    if kind == "grey":
        return lambda image: image.convert("L").convert("RGB")
    if kind in MODELS:
        part, usual = MODELS[kind]
        name, sha256 = model
        found = find_vision(part, usual if name is None else name)
        check_sha256(repr(found.name), sha256, found.sha256, what="preprocess_model")
        return partial(_depth_map if kind == DEPTH else _skeleton, found)
    draw = _BY_CODE[kind]
    return lambda image: Image.fromarray(draw(np.asarray(image))).convert("RGB")


def _depth_map(found: VisionModel, image: Image.Image) -> Image.Image:
    """White is the nearest place of a picture, and black the farthest one."""
    depths = load_depth_model(found).depths(image).numpy()
    lowest, highest = depths.min(), depths.max()
    levels = (depths - lowest) * (255 / max(highest - lowest, 1e-12))
    return Image.fromarray(levels.round().astype(np.uint8)).convert("RGB")


def _skeleton(found: VisionModel, image: Image.Image) -> Image.Image:
    """The pose of a person who fills the picture, in OpenPose's colours on black."""
    return skeleton(load_pose_model(found).points(image), image.size)
