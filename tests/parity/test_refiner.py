"""SDXL with its refiner is bit-equal to diffusers' ensemble of experts, on the CPU in float32.

This is a pipeline with ``denoising_end`` whose latents go to a second one with
``denoising_start``; the generators of the first go on drawing in the second. Left out are
schedulers of the second order: diffusers ends the first pipeline in the middle of a step and takes
it again in the second, while sdloop moves the boundary to the start of this step.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import with_formula
from helpers.parity import reference
from helpers.pictures import sketch
from helpers.tiny import tiny_inpaint, tiny_refiner, tiny_sdxl
from PIL import Image

from sdloop.images.input.read import InputImage
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.picture import Picture
from sdloop.recipe.recipe import Recipe

SIZE = (32, 24)


def model(**parts: Any) -> Components:
    return replace(tiny_sdxl(), refiner=replace(tiny_refiner(seed=3), **parts))


@functools.cache
def stepping() -> Components:
    """The same with formulas: see ``crossings``."""
    return replace(with_formula(tiny_sdxl()), refiner=with_formula(tiny_refiner(seed=3)))


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 8, "width": 32, "height": 24,
             "guidance_scale": 5, "refiner_start": 0.7}  # fmt: skip
    return Recipe(**(usual | settings))


def disc() -> Image.Image:
    across, down = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    inside = (across - 18) ** 2 + (down - 10) ** 2 < 50
    return Image.fromarray((inside * 255).astype(np.uint8))


FILES: Mapping[str, InputImage] = {
    "sketch": InputImage(name="sketch", sha256="0" * 64, image=sketch(*SIZE)),
    "disc": InputImage(name="disc", sha256="1" * 64, image=disc().convert("RGB")),
}


def assert_equal(components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)) -> None:
    recipes = [replace(wanted, seed=seed) for seed in seeds]
    pictures = generate(
        components, recipes, batch_size=len(seeds), open_image=lambda name: FILES[name]
    )
    latents, images = reference(
        components,
        wanted,
        list(seeds),
        image=None if wanted.image is None else sketch(*SIZE),
        mask=None if wanted.mask is None else disc(),
    )
    for picture, expected, theirs in zip(pictures, latents, images, strict=True):
        assert torch.equal(picture.latents, expected)
        assert np.array_equal(np.asarray(picture.image), np.asarray(theirs))
        assert np.asarray(theirs).std() > 1  # a flat picture would prove nothing


@pytest.mark.parametrize("scheduler", [None, "euler-a", "ddim", "pndm", "dpmpp-2m", "unipc", "lcm"])
def test_from_noise(scheduler: str | None) -> None:
    components = model() if scheduler in (None, "euler-a") else stepping()
    assert_equal(components, recipe(scheduler=scheduler, negative_prompt="a dog"))


@pytest.mark.parametrize(("start", "guidance_scale"), [(0.25, 1.0), (0.9, 5.0)])
def test_where_it_takes_over(start: float, guidance_scale: float) -> None:
    wanted = recipe(refiner_start=start, guidance_scale=guidance_scale, steps=12)
    assert_equal(stepping(), wanted)


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 7, "guidance_rescale": 0.7},
        {"original_size": (64, 40), "crop_top_left": (2, 4), "target_size": (40, 40)},
        {"aesthetic_score": 9.0, "negative_aesthetic_score": 1.0},
        {"clip_skip": 2},
        {"prompt_2": "a dog", "negative_prompt": "", "negative_prompt_2": "red"},
    ],
)
def test_settings_of_both_stages(settings: dict[str, Any]) -> None:
    assert_equal(stepping(), recipe(**settings))


def test_a_batch() -> None:
    assert_equal(model(), recipe(scheduler="euler-a"), seeds=(7, 8))


def test_the_first_vae_in_both_stages() -> None:
    components = tiny_sdxl()
    refiner = replace(tiny_refiner(seed=3), vae=components.vae)
    assert_equal(replace(components, refiner=refiner), recipe())


@pytest.mark.parametrize("scheduler", [None, "euler-a"])
def test_from_a_picture(scheduler: str | None) -> None:
    assert_equal(model(), recipe(scheduler=scheduler, image="sketch", strength=0.7))


@pytest.mark.parametrize("strength", [0.7, 1.0])
@pytest.mark.parametrize("scheduler", [None, "euler-a"])
def test_within_a_mask(scheduler: str | None, strength: float) -> None:
    settings = {"image": "sketch", "mask": "disc", "strength": strength, "no_keep": True}
    assert_equal(model(), recipe(scheduler=scheduler, **settings))


def test_another_model_of_sdxl_as_refiner() -> None:
    assert_equal(replace(tiny_sdxl(), refiner=tiny_sdxl(seed=4)), recipe())


# The refiner alone, on a picture: diffusers' pipelines of a refiner without a first stage.


@pytest.mark.parametrize(
    "settings",
    [
        {"negative_prompt": "a dog"},
        {"scheduler": "euler-a", "guidance_rescale": 0.7, "clip_skip": 2},
        {"scheduler": "ddim", "aesthetic_score": 9.0, "negative_aesthetic_score": 1.0},
        {"scheduler": "heun", "original_size": (64, 40), "crop_top_left": (2, 4)},
        {"guidance_scale": 1.0, "strength": 0.3},
        {"mask": "disc", "no_keep": True},
        {"mask": "disc", "no_keep": True, "strength": 1.0, "scheduler": "euler-a"},
    ],
)
def test_the_refiner_alone(settings: dict[str, Any]) -> None:
    usual = {"image": "sketch", "strength": 0.6, "refiner_start": None}
    assert_equal(tiny_refiner(seed=3), recipe(**(usual | settings)))


def test_the_refiner_alone_with_several_pictures() -> None:
    wanted = recipe(image="sketch", strength=0.6, refiner_start=None)
    assert_equal(tiny_refiner(seed=3), wanted, seeds=(7, 8))


# What no pipeline of diffusers does.


def test_an_inpainting_model_with_a_refiner_keeps_the_rest_of_the_picture() -> None:
    """Its refiner sees no mask: where nothing is painted, the latents are those of the picture."""
    components = replace(tiny_inpaint("sdxl"), refiner=tiny_refiner(seed=3))
    wanted = recipe(image="sketch", mask="disc", strength=1.0, no_keep=True)
    (picture,) = generate(components, [wanted], open_image=lambda name: FILES[name])
    plain = replace(tiny_sdxl(), refiner=tiny_refiner(seed=3))
    (other,) = generate(plain, [wanted], open_image=lambda name: FILES[name])
    apart = (picture.latents - other.latents).abs()
    # Both were drawn from the VAE's distribution, each with another part of the random numbers.
    assert apart[:, :, :3].mean() < 0.1 * apart[:, 3:8, 7:11].mean()


@pytest.mark.parametrize(("scheduler", "steps"), [("heun", 5), ("heun", 6), ("dpmpp-sde", 5)])
def test_no_step_is_cut_or_taken_twice(scheduler: str, steps: int) -> None:
    """A second model that is the first one continues as if nothing had happened.

    Multistep schedulers begin anew in the second stage, so they are left out.
    """
    alone = tiny_sdxl()
    same = replace(alone, refiner=alone)
    plain = recipe(scheduler=scheduler, steps=steps, refiner_start=None)
    (expected,) = generate(alone, [plain])
    (picture,) = generate(same, [replace(plain, refiner_start=0.5)])
    assert picture.sigmas == expected.sigmas
    torch.testing.assert_close(picture.latents, expected.latents, rtol=1e-5, atol=1e-5)


def test_a_prompt_that_changes_on_the_way_does_so_in_the_second_stage() -> None:
    alone = tiny_sdxl()
    plain = recipe(prompt="a [cat:dog:0.75]", refiner_start=None)
    (expected,) = generate(alone, [plain])
    (picture,) = generate(replace(alone, refiner=alone), [replace(plain, refiner_start=0.5)])
    assert torch.equal(picture.latents, expected.latents)


def test_both_stages_of_an_enlarged_picture_have_both_models() -> None:
    """At a low strength the second one is the refiner's alone."""
    for strength, calls in ((0.9, (5, 3, 4, 3)), (0.25, (5, 3, 0, 2))):
        wanted = recipe(hires=2.0, strength=strength)
        components = model()
        *steps, picture = stream(components, [wanted])
        assert isinstance(picture, Picture)
        assert picture.image.size == (64, 48)
        assert [step.index for step in steps if isinstance(step, Step)] == list(range(sum(calls)))
