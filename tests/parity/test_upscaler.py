"""Upscaled pictures are bit-equal to those of diffusers' x4 upscaler, on the CPU in float32.

As in ``test_img2img``: the tables list all cases, the quick ones always run, and ``-m slow``
combines every scheduler with every noise level and guidance.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import NAMES, PACED, SPACED, with_formula
from helpers.parity import reference
from helpers.pictures import sketch
from helpers.tiny import tiny_upscaler

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

LEVELS = [0, 20, 350]
upscaler = functools.cache(tiny_upscaler)
stepping = functools.cache(lambda: with_formula(tiny_upscaler()))


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 6, "guidance_scale": 7.5,
             "image": "sketch", "noise_level": 20}  # fmt: skip
    return Recipe(**(usual | settings))


def assert_equal(
    wanted: Recipe,
    seeds: tuple[int, ...] = (7,),
    size: tuple[int, int] = (16, 12),
    *,
    make: Callable[[], Components] = upscaler,
) -> None:
    image = sketch(*size)
    shown = InputImage(name="sketch", sha256="0" * 64, image=image)
    recipes = [replace(wanted, seed=seed) for seed in seeds]
    pictures = generate(make(), recipes, batch_size=len(seeds), open_image=lambda name: shown)
    latents, images = reference(make(), wanted, list(seeds), image=image)
    for picture, expected, theirs in zip(pictures, latents, images, strict=True):
        assert picture.image.size == (4 * size[0], 4 * size[1])
        assert torch.equal(picture.latents, expected)
        assert np.array_equal(np.asarray(picture.image), np.asarray(theirs))
        assert np.asarray(theirs).std() > 1  # a flat picture would prove nothing


@pytest.mark.parametrize("scheduler", NAMES)
def test_every_scheduler(scheduler: str) -> None:
    make = upscaler if NAMES.index(scheduler) % 3 == 0 else stepping
    assert_equal(recipe(scheduler=scheduler, negative_prompt="a dog"), make=make)


@pytest.mark.parametrize("guidance_scale", [1, 7.5])
@pytest.mark.parametrize("noise_level", LEVELS)
def test_every_noise_level(noise_level: int, guidance_scale: float) -> None:
    """With the model's own scheduler."""
    assert_equal(recipe(noise_level=noise_level, guidance_scale=guidance_scale))


@pytest.mark.parametrize("scheduler", ["ddim", "euler-a", "dpmpp-sde", "ddpm", "dpm2-a"])
@pytest.mark.parametrize("guidance_scale", [1, 7.5])
def test_several_pictures_at_once(scheduler: str, guidance_scale: float) -> None:
    wanted = recipe(scheduler=scheduler, guidance_scale=guidance_scale)
    assert_equal(wanted, seeds=(7, 8, 2**32 - 1), make=stepping)


@pytest.mark.parametrize(
    "settings",
    [
        {"negative_prompt": ""},
        {"scheduler": "ddim", "eta": 0.6},
        {"steps": 1},
        {"steps": 20, "guidance_scale": 9},
    ],
    ids=str,
)
def test_settings(settings: dict[str, Any]) -> None:
    assert_equal(recipe(**settings), make=stepping)


@pytest.mark.parametrize("size", [(24, 8), (8, 20), (32, 32)])
def test_other_sizes(size: tuple[int, int]) -> None:
    assert_equal(recipe(), size=size)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", NAMES)
def test_everything_crossed(scheduler: str) -> None:
    for noise_level in LEVELS:
        for guidance_scale in (1, 7.5):
            settings = {"noise_level": noise_level, "guidance_scale": guidance_scale, "steps": 20}
            assert_equal(recipe(scheduler=scheduler, **settings))


@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "sigmas"), SPACED)
def test_spacing_of_sigmas(scheduler: str, sigmas: str) -> None:
    assert_equal(recipe(scheduler=scheduler, sigmas=sigmas), make=stepping)


@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "spacing"), PACED)
def test_spacing_of_timesteps(scheduler: str, spacing: str) -> None:
    assert_equal(recipe(scheduler=scheduler, timestep_spacing=spacing), make=stepping)


def test_the_picture_and_the_noise_level_make_a_difference() -> None:
    """Or the tables would prove nothing."""
    images = sketch(16, 12), sketch(16, 12).rotate(180)
    shown = [InputImage(name="sketch", sha256="0" * 64, image=image) for image in images]
    made = {
        picture.image.tobytes()
        for one in shown
        for picture in generate(
            upscaler(),
            [recipe(noise_level=level) for level in LEVELS],
            open_image=lambda name, one=one: one,
        )
    }
    assert len(made) == 2 * len(LEVELS)


def test_a_picture_keeps_all_of_its_pixels() -> None:
    """diffusers shrinks it to multiples of four first, and lets none of that be seen."""
    shown = InputImage(name="sketch", sha256="0" * 64, image=sketch(15, 11))
    (picture,) = generate(upscaler(), recipe(steps=2), open_image=lambda name: shown)
    assert picture.image.size == (60, 44)
    assert reference(upscaler(), recipe(steps=2), [7], image=sketch(15, 11))[0].shape[2:] == (8, 12)


def test_the_noise_level_is_told_to_the_unet() -> None:
    """As well as added to the picture."""
    told: list[torch.Tensor] = []
    hook = upscaler().unet.class_embedding.register_forward_pre_hook(
        lambda module, inputs: told.append(inputs[0])
    )
    shown = InputImage(name="sketch", sha256="0" * 64, image=sketch(16, 12))
    generate(upscaler(), recipe(noise_level=35, steps=1), open_image=lambda name: shown)
    hook.remove()
    assert [labels.tolist() for labels in told] == [[35, 35]]


def test_half_precision_is_near_float32() -> None:
    """The small picture and its noise are drawn in float32 whatever the UNet runs in."""
    shown = InputImage(name="sketch", sha256="0" * 64, image=sketch(16, 12))
    half = tiny_upscaler()
    for module in (half.unet, half.text_encoder):
        module.to(torch.bfloat16)
    exact, near = (
        generate(one, recipe(), open_image=lambda name: shown)[0].latents
        for one in (upscaler(), half)
    )
    assert not torch.equal(exact, near)
    assert (near - exact).abs().mean() < 0.1 * exact.std()
