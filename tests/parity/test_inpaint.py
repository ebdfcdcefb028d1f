"""Inpainted pictures are bit-equal to those of diffusers' pipelines, on the CPU in float32.

As in ``test_img2img``: the tables list all cases, the quick ones always run, and ``-m slow``
combines every scheduler with every strength, guidance and family.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import (
    FAMILIES,
    INPAINTING,
    NAMES,
    STEPPING,
    STEPPING_INPAINTING,
    whole_or_stepping,
)
from helpers.parity import reference
from helpers.pictures import sketch
from PIL import Image

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

MODELS = FAMILIES | INPAINTING
STEPS = STEPPING | STEPPING_INPAINTING
THREE = {name: MODELS[name] for name in ("sd2", "sdxl", "sdxl-inpainting")}


def disc(width: int = 32, height: int = 24) -> Image.Image:
    """A mask whose edge follows no grid."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    inside = (across - 0.55 * width) ** 2 + (down - 0.4 * height) ** 2 < (0.3 * height) ** 2
    return Image.fromarray((inside * 255).astype(np.uint8))


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 8, "width": 32, "height": 24,
             "guidance_scale": 7.5, "image": "sketch", "mask": "disc", "strength": 0.6,
             "no_keep": True}  # fmt: skip
    return Recipe(**(usual | settings))


def shown(width: int, height: int) -> dict[str, InputImage]:
    """The picture and the mask, under the names that ``recipe`` gives them."""
    images = {"sketch": sketch(width, height), "disc": disc(width, height).convert("RGB")}
    return {
        name: InputImage(name=name, sha256=str(number) * 64, image=image)
        for number, (name, image) in enumerate(images.items())
    }


def assert_equal(components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)) -> None:
    files = shown(*wanted.size)
    recipes = [replace(wanted, seed=seed) for seed in seeds]
    pictures = generate(
        components, recipes, batch_size=len(seeds), open_image=lambda name: files[name]
    )
    latents, images = reference(
        components, wanted, list(seeds), image=sketch(*wanted.size), mask=disc(*wanted.size)
    )
    for picture, expected, theirs in zip(pictures, latents, images, strict=True):
        assert torch.equal(picture.latents, expected)
        assert np.array_equal(np.asarray(picture.image), np.asarray(theirs))
        assert np.asarray(theirs).std() > 1  # a flat picture would prove nothing


@pytest.mark.parametrize("model", THREE)
@pytest.mark.parametrize("scheduler", NAMES)
def test_every_scheduler(model: str, scheduler: str) -> None:
    components = whole_or_stepping(scheduler, model, THREE, STEPS)
    assert_equal(components, recipe(scheduler=scheduler, negative_prompt="a dog"))


@pytest.mark.parametrize("scheduler", NAMES)
def test_the_highest_strength(scheduler: str) -> None:
    """At a strength of 1 the pipelines start from pure noise, and their draws come in another
    order."""
    wanted = recipe(scheduler=scheduler, strength=1.0, steps=20, guidance_scale=1)
    for model in ("sd1", "sd1-inpainting"):
        assert_equal(STEPS[model](), wanted)


@pytest.mark.parametrize("guidance_scale", [1, 7.5])
@pytest.mark.parametrize("model", MODELS)
def test_every_strength(model: str, guidance_scale: float) -> None:
    """With the model's own scheduler."""
    for strength in (0.05, 0.25, 0.58, 0.95, 1.0):
        wanted = recipe(steps=20, strength=strength, guidance_scale=guidance_scale)
        assert_equal(STEPS[model](), wanted)


@pytest.mark.parametrize("scheduler", ["euler-a", "dpmpp-sde", "dpm2-a"])
@pytest.mark.parametrize("model", MODELS)
def test_several_pictures_at_once(model: str, scheduler: str) -> None:
    makes = THREE if scheduler == "euler-a" and model in THREE else STEPS
    assert_equal(makes[model](), recipe(scheduler=scheduler), seeds=(7, 8, 2**32 - 1))


@pytest.mark.parametrize(
    "settings",
    [
        {"negative_prompt": ""},
        {"scheduler": "ddim", "eta": 0.6, "strength": 1.0},
        {"width": 64, "height": 16},
        {"steps": 1, "strength": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", MODELS)
def test_settings(model: str, settings: dict[str, Any]) -> None:
    assert_equal((MODELS if "width" in settings else STEPS)[model](), recipe(**settings))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("guidance_scale", [1, 7.5])
@pytest.mark.parametrize("strength", [0.05, 0.25, 0.5, 0.75, 0.95, 1.0])
def test_everything_crossed(model: str, guidance_scale: float, strength: float) -> None:
    settings = {"steps": 20, "guidance_scale": guidance_scale, "strength": strength}
    for scheduler in NAMES:
        assert_equal(MODELS[model](), recipe(scheduler=scheduler, **settings))


def test_the_mask_makes_a_difference() -> None:
    """Or the tables would prove nothing."""
    files = shown(32, 24)
    for model in ("sd1", "sd1-inpainting"):
        made = {
            picture.image.tobytes()
            for mask in (
                files["disc"],
                replace(files["disc"], image=Image.new("RGB", (32, 24), "white")),
            )
            for picture in generate(
                MODELS[model](),
                [recipe(strength=0.25), recipe(strength=1.0)],
                open_image={**files, "disc": mask}.__getitem__,
            )
        }
        assert len(made) == 4
