"""img2img pictures are bit-equal to those of diffusers' pipelines, on the CPU in float32.

As in ``test_txt2img``: the tables list all cases, the quick ones always run, and ``-m slow``
combines every scheduler with every strength, guidance and family. Two schedulers deviate from
their papers when they start in the middle of a schedule; sdloop does the same as diffusers:

- LMS weighs its first steps as if the steps before them had been taken;
- PNDM calls the UNet twice at the second step of a schedule, and counts both calls as steps. When
  it starts later, it takes two different steps for one, and stays one noise level behind.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import (
    EDM,
    FAMILIES,
    NAMES,
    PACED,
    SPACED,
    STEPPING,
    in_turn,
    whole_or_stepping,
)
from helpers.parity import reference
from helpers.pictures import sketch
from helpers.tiny import tiny_sdxl
from PIL import Image

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS

STRENGTHS = [0.05, 0.1, 0.25, 0.5, 0.58, 0.75, 0.9, 0.95, 1.0]
SOME = [0.05, 1.0]  # one in between is that of the test before


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 8, "width": 32, "height": 24,
             "guidance_scale": 7.5, "image": "sketch", "strength": 0.6}  # fmt: skip
    return Recipe(**(usual | settings))


def assert_equal(components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)) -> None:
    image = sketch(*wanted.size)
    shown = InputImage(name="sketch", sha256="0" * 64, image=image)
    recipes = [replace(wanted, seed=seed) for seed in seeds]
    pictures = generate(components, recipes, batch_size=len(seeds), open_image=lambda name: shown)
    latents, images = reference(components, wanted, list(seeds), image=image)
    for picture, expected, theirs in zip(pictures, latents, images, strict=True):
        assert torch.equal(picture.latents, expected)
        assert np.array_equal(np.asarray(picture.image), np.asarray(theirs))
        assert np.asarray(theirs).std() > 1  # a flat picture would prove nothing


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheduler", NAMES)
def test_every_scheduler(family: str, scheduler: str) -> None:
    components = whole_or_stepping(scheduler, family, FAMILIES, STEPPING)
    assert_equal(components, recipe(scheduler=scheduler, negative_prompt="a dog"))


@pytest.mark.parametrize("strength", SOME)
@pytest.mark.parametrize("scheduler", NAMES)
def test_low_and_high_strengths(scheduler: str, strength: float) -> None:
    wanted = recipe(scheduler=scheduler, strength=strength, steps=20, guidance_scale=1)
    assert_equal(STEPPING["sd1"](), wanted)


@pytest.mark.parametrize("guidance_scale", [1, 7.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_strength(family: str, guidance_scale: float) -> None:
    """With the model's own scheduler."""
    for strength in STRENGTHS:
        wanted = recipe(steps=20, strength=strength, guidance_scale=guidance_scale)
        assert_equal(STEPPING[family](), wanted)


@pytest.mark.parametrize(("scheduler", "sigmas"), in_turn(SPACED))
def test_spacing_of_sigmas(scheduler: str, sigmas: str) -> None:
    assert_equal(STEPPING["sd1"](), recipe(scheduler=scheduler, sigmas=sigmas))


@pytest.mark.parametrize(("scheduler", "spacing"), in_turn(PACED))
def test_spacing_of_timesteps(scheduler: str, spacing: str) -> None:
    assert_equal(STEPPING["sd1"](), recipe(scheduler=scheduler, timestep_spacing=spacing))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("guidance_scale", [1, 7.5])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_everything_crossed(family: str, guidance_scale: float, strength: float) -> None:
    settings = {"steps": 20, "guidance_scale": guidance_scale, "strength": strength}
    for scheduler in NAMES:
        assert_equal(FAMILIES[family](), recipe(scheduler=scheduler, **settings))


@pytest.mark.parametrize("scheduler", ["euler", "euler-a", "dpmpp-sde", "ddpm", "lcm", "dpm2-a"])
@pytest.mark.parametrize("family", FAMILIES)
def test_several_pictures_at_once(family: str, scheduler: str) -> None:
    makes = FAMILIES if scheduler == "euler-a" else STEPPING
    assert_equal(makes[family](), recipe(scheduler=scheduler), seeds=(7, 8, 2**32 - 1))


@pytest.mark.parametrize(
    "settings",
    [
        {"negative_prompt": ""},
        {"scheduler": "ddim", "eta": 0.6},
        {"scheduler": "tcd", "eta": 0.3},
        {"width": 64, "height": 16},
        {"steps": 1, "strength": 1.0},
        {"steps": 50, "strength": 0.58},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", FAMILIES)
def test_settings(family: str, settings: dict[str, Any]) -> None:
    assert_equal((FAMILIES if "width" in settings else STEPPING)[family](), recipe(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance_rescale": 0.7},
        {"original_size": (64, 48)},
        {"crop_top_left": (3, 5), "target_size": (48, 16)},
    ],
    ids=str,
)
def test_what_only_sdxls_pipeline_takes(settings: dict[str, Any]) -> None:
    assert_equal(STEPPING["sdxl"](), recipe(**settings))


@pytest.mark.parametrize("scheduler", EDM)
def test_edm(scheduler: str) -> None:
    config = {
        "_class_name": SCHEDULERS[scheduler].class_name,
        "sigma_min": 0.002,
        "sigma_max": 80.0,
        "sigma_data": 0.5,
        "prediction_type": "epsilon",
    }
    for strength, makes in ((0.25, FAMILIES), (0.6, STEPPING), (1.0, STEPPING)):
        components = replace(makes["sdxl"](), scheduler_config=config)
        assert_equal(components, recipe(strength=strength))


def test_a_vae_with_means_and_deviations() -> None:
    components = tiny_sdxl()
    components.vae.register_to_config(
        latents_mean=[1.0, -2.0, 0.5, 0.0], latents_std=[2.0, 3.0, 1.0, 0.5]
    )
    image = sketch()
    shown = InputImage(name="sketch", sha256="0" * 64, image=image)
    picture = generate(components, recipe(), open_image=lambda name: shown)[0]
    latents, _ = reference(components, recipe(), [7], image=image, pixels=False)
    assert torch.equal(picture.latents, latents[0])


def test_the_picture_and_the_strength_make_a_difference() -> None:
    """Or the tables would prove nothing."""
    shown = InputImage(name="sketch", sha256="0" * 64, image=sketch())
    mirrored = replace(shown, image=sketch().transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    recipes = [recipe(strength=strength) for strength in (0.25, 0.5, 1.0)]
    made = [
        picture.image.tobytes()
        for open_image in (lambda name: shown, lambda name: mirrored)
        for picture in generate(FAMILIES["sd1"](), recipes, open_image=open_image)
    ]
    assert len(set(made)) == 6
