"""Upscaled pictures are bit-equal to diffusers' pipelines combined by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import FAMILIES, STEPPING, whole_or_stepping
from helpers.parity import reference
from helpers.pictures import sketch
from PIL import Image
from torch.nn.functional import interpolate

from sdloop.images.input.read import InputImage
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.picture import Picture
from sdloop.recipe.recipe import Recipe

SCHEDULERS = ["euler", "euler-a", "heun", "ddim", "dpmpp-2m"]


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 7, "steps": 8, "guidance_scale": 7.5, "strength": 0.4,
             "scheduler": "euler"}  # fmt: skip
    return Recipe(**(usual | settings))


def assert_same(picture: Picture, latents: Any, image: Image.Image) -> None:
    assert torch.equal(picture.latents, latents)
    assert np.array_equal(np.asarray(picture.image), np.asarray(image))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_scaled_picture_is_img2img_of_the_enlarged_one(family: str, scheduler: str) -> None:
    components = whole_or_stepping(scheduler, family, FAMILIES, STEPPING)
    small = sketch(32, 24)
    shown = InputImage(name="sketch", sha256="0" * 64, image=small)
    wanted = recipe(scheduler=scheduler, image="sketch", factor=2)
    (picture,) = generate(components, wanted, open_image=lambda name: shown)
    large = small.resize((64, 48), Image.Resampling.LANCZOS)
    latents, images = reference(components, wanted, [7], image=large)
    assert_same(picture, latents[0], images[0])


def by_hand(components: Components, wanted: Recipe, seed: int) -> tuple[Any, Image.Image]:
    """Diffusers' text pipeline, Lanczos' filter, and its image pipeline."""
    plain = replace(wanted, hires=None, strength=None, width=32, height=24)
    _, images = reference(components, plain, [seed])
    large = images[0].resize((64, 48), Image.Resampling.LANCZOS)
    again = replace(plain, image="first", strength=wanted.strength, width=64, height=48)
    latents, images = reference(components, again, [seed], image=large)
    return latents[0], images[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_both_stages_at_once_are_the_two_by_hand(family: str, scheduler: str) -> None:
    components = whole_or_stepping(scheduler, family, FAMILIES, STEPPING)
    wanted = recipe(scheduler=scheduler, width=32, height=24, hires=2)
    (picture,) = generate(components, wanted)
    assert_same(picture, *by_hand(components, wanted, 7))


@pytest.mark.parametrize("family", FAMILIES)
def test_enlarged_latents_are_those_of_the_first_stage(family: str) -> None:
    """Given latents in place of a picture, diffusers' pipeline takes them as they are."""
    components = FAMILIES[family]()
    wanted = recipe(width=32, height=24, hires=2, enlarge="latent")
    (picture,) = generate(components, wanted)
    plain = replace(wanted, hires=None, enlarge=None, strength=None)
    first, _ = reference(components, plain, [7], pixels=False)
    large: Any = interpolate(first, size=(24, 32), mode="bicubic")
    again = replace(plain, image="first", strength=wanted.strength, width=64, height=48)
    latents, images = reference(components, again, [7], image=large)
    assert_same(picture, latents[0], images[0])


@pytest.mark.parametrize("enlarge", ["lanczos", "latent"])
def test_the_first_stage_is_the_picture_without_hires(enlarge: str) -> None:
    components = FAMILIES["sd1"]()
    wanted = recipe(width=32, height=24, hires=2, enlarge=enlarge)
    steps = [event for event in stream(components, wanted) if isinstance(event, Step)]
    plain = replace(wanted, hires=None, enlarge=None, strength=None)
    (small,) = generate(components, plain)
    assert torch.equal(steps[7].latents[0], small.latents)
    assert [(step.index, step.total) for step in steps] == [(i, 11) for i in range(11)]
    assert [tuple(step.latents.shape[-2:]) for step in steps[7:9]] == [(12, 16), (24, 32)]


@pytest.mark.parametrize("settings", [{"hires": 2}, {"hires": 3, "enlarge": "latent"}], ids=str)
def test_two_stages_do_not_depend_on_the_batch_and_remake_themselves(
    settings: dict[str, Any],
) -> None:
    components = FAMILIES["sdxl"]()
    recipes = [recipe(seed=seed, scheduler="euler-a", **settings) for seed in (1, 2)]
    together = generate(components, recipes, batch_size=2)
    for one in together:
        (alone,) = generate(components, Recipe.from_dict(one.recipe.to_dict()))
        assert alone.recipe == one.recipe
        assert alone.image.size == one.recipe.final_size
        torch.testing.assert_close(alone.latents, one.latents, atol=5e-3, rtol=1e-2)
        assert len(one.sigmas) == 8 + 3
    assert together[0].recipe.tile == (None if settings["hires"] == 2 else 32)
    assert together[0].peak_memory is not None
