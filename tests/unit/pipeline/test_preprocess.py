"""Maps for ControlNets: OpenCV's edges, soft edges, lines, grey, and transformers' depths."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import gradient, sketch
from helpers.vision import save_depth_model
from PIL import Image, ImageDraw
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from sdloop.errors import FileError, ModelError
from sdloop.models.components.depth import load_depth_model
from sdloop.pipeline.edges import canny
from sdloop.pipeline.preprocess import preprocess_of

EXAMPLES = Path(__file__).parents[3] / "examples"


def walk() -> np.ndarray:
    """Levels that wander from left to right: nothing but weak and strong edges."""
    steps = np.random.default_rng(0).integers(-9, 10, (120, 160, 3))
    return np.cumsum(steps, axis=1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "edges", "sha256"),
    [
        # drawn pictures, which do not change with the embedded model
        (
            "penguin/pictures/1.png", 971,
            "516773e6c69c94a9a61245147a288396f8b9ed11adfb75e8f44dd538a4984625",
        ),
        (
            "sketch/rabbit.png", 2828,
            "e57f67b8efffc4928af666fa6c4cb0bb832a7be824859048b9201c0c508abc69",
        ),
        ("walk", 6159, "5c6ff388a57bded6513fc231fd129fdcc9d9bc1f54fc94b388630d650ff2bb55"),
    ],
)  # fmt: skip
def test_canny_is_opencvs(name: str, edges: int, sha256: str) -> None:
    """The hashes are those of ``cv2.Canny(pixels, 100, 200)`` of OpenCV 5.0.0."""
    file = EXAMPLES / name
    pixels = walk() if name == "walk" else np.asarray(Image.open(file).convert("RGB"))
    found = canny(pixels)
    assert (found == 255).sum() == edges == (found > 0).sum()
    assert hashlib.sha256(found.tobytes()).hexdigest() == sha256


def disc(side: int) -> Image.Image:
    """A red disc on green of the same brightness."""
    image = Image.new("RGB", (side, side), (0, 130, 0))
    ImageDraw.Draw(image).ellipse((side // 4,) * 2 + (side * 3 // 4,) * 2, fill=(255, 0, 0))
    return image


def levels(kind: str, image: Image.Image) -> np.ndarray:
    made = preprocess_of(kind)(image)
    assert (made.size, made.mode) == (image.size, "RGB")
    pixels = np.asarray(made)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].astype(float)


@pytest.mark.parametrize("kind", ["canny", "soft-edge"])
def test_edges_are_where_colours_meet_and_nowhere_else(kind: str) -> None:
    found = levels(kind, disc(96))
    down, across = np.mgrid[:96, :96]
    away = np.abs(np.hypot(down - 48, across - 48) - 24)
    assert found[away < 1].mean() > (200 if kind == "soft-edge" else 60)
    assert found[away > 6].max() == 0
    assert levels(kind, Image.new("RGB", (40, 30), "orange")).max() == 0


def test_soft_edges_are_the_same_at_another_size() -> None:
    small, large = (levels("soft-edge", disc(side)) for side in (256, 512))
    shrunk = np.asarray(Image.fromarray(large.astype(np.uint8)).resize((256, 256))).astype(float)
    assert np.abs(shrunk - small).mean() < small.mean() / 5
    assert small.mean() > 5


def test_line_art_is_what_is_darker_than_around_it() -> None:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).line((8, 32, 56, 32), fill="black", width=2)
    found = levels("lineart", image)
    assert found[32, 16:48].min() > 100 and found[:24].max() < 16
    inverted = Image.fromarray(255 - np.asarray(image))
    assert levels("lineart", inverted)[32, 16:48].max() == 0
    assert levels("lineart", Image.new("RGB", (9, 5), "navy")).max() == 0


def test_grey_and_nothing() -> None:
    assert preprocess_of("grey")(gradient()) == gradient().convert("L").convert("RGB")
    image = gradient()
    assert preprocess_of(None)(image) is image


@pytest.mark.parametrize("kind", ["depth_anything", "dpt"])
def test_depths_are_those_of_transformers_own_classes(kind: str, tmp_path: Path) -> None:
    folder = save_depth_model(tmp_path / "depth", kind)
    image = sketch(50, 32)
    made = np.asarray(preprocess_of("depth", (str(folder), None))(image))[..., 0].astype(float)
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        seen = model(**processor(images=image, return_tensors="pt"))
    (found,) = processor.post_process_depth_estimation(seen, target_sizes=[(32, 50)])
    depth = found["predicted_depth"].numpy()
    depth = (depth - depth.min()) / (depth.max() - depth.min()) * 255
    assert np.abs(made - depth).max() <= 0.501
    assert (made.min(), made.max()) == (0, 255) and made.std() > 20
    load_depth_model.cache_clear()


def test_what_is_no_depth_model(tmp_path: Path) -> None:
    folder = save_depth_model(tmp_path / "depth")
    with pytest.raises(FileError, match="is not the preprocess_model that the recipe was made"):
        preprocess_of("depth", (str(folder), "0" * 64))
    (folder / "config.json").write_text('{"model_type": "glpn"}', encoding="utf-8")
    with pytest.raises(ModelError, match="must be of the type dpt or depth_anything, got 'glpn'"):
        preprocess_of("depth", (str(folder), None))
