"""LCM UNets, which take the guidance scale as an input, are bit-equal to diffusers' pipelines."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    LatentConsistencyModelImg2ImgPipeline,
    LatentConsistencyModelPipeline,
    LCMScheduler,
)
from helpers.parity import reference
from helpers.pictures import sketch
from helpers.tiny import tiny_sd1, tiny_sdxl, with_guidance_input
from PIL import Image

from sdloop.errors import SettingError
from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.key import key_text
from sdloop.recipe.recipe import Recipe

LCM = {
    "_class_name": "LCMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "original_inference_steps": 50,
    "steps_offset": 0,
    "timestep_scaling": 10.0,
}
SEEDS = [7, 8]
SHOWN = InputImage(name="sketch", sha256="0" * 64, image=sketch(32, 24))


@cache
def lcm(family: str) -> Components:
    tiny = {"sd1": tiny_sd1, "sdxl": tiny_sdxl}[family]
    return replace(with_guidance_input(tiny()), scheduler_config=LCM)


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 4, "width": 32, "height": 24,
             "guidance_scale": 8.0}  # fmt: skip
    return Recipe(**(usual | settings))


def made(components: Components, *recipes: Recipe) -> list[torch.Tensor]:
    pictures = generate(components, recipes, batch_size=len(recipes), open_image=lambda name: SHOWN)
    return [picture.latents for picture in pictures]


def test_one_step_from_a_listed_timestep() -> None:
    """As the card of Hyper-SD's UNet for one step calls the pipeline."""
    wanted = recipe(scheduler="lcm", timesteps=(800,), steps=1, guidance_scale=1.0)
    expected, _ = reference(tiny_sdxl(), wanted, [7], pixels=False)
    assert torch.equal(made(tiny_sdxl(), wanted)[0], expected[0])
    usual = replace(wanted, timesteps=None)
    assert not torch.equal(made(tiny_sdxl(), usual)[0], expected[0])


def theirs(kind: Any, wanted: Recipe, **options: Any) -> torch.Tensor:
    components = lcm("sd1")
    pipe = kind(
        tokenizer=components.tokenizer,
        text_encoder=components.text_encoder,
        unet=components.unet,
        vae=components.vae,
        scheduler=LCMScheduler.from_config(LCM),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    latents: torch.Tensor = pipe(
        wanted.prompt,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        num_images_per_prompt=len(SEEDS),
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
        **options,
    ).images
    return latents


def seeded(wanted: Recipe) -> list[Recipe]:
    return [replace(wanted, seed=seed) for seed in SEEDS]


@pytest.mark.parametrize(("steps", "guidance_scale"), [(4, 8.0), (1, 1.0), (3, 1.5)])
def test_txt2img(steps: int, guidance_scale: float) -> None:
    wanted = recipe(steps=steps, guidance_scale=guidance_scale)
    expected = theirs(LatentConsistencyModelPipeline, wanted, width=32, height=24)
    for ours, other in zip(made(lcm("sd1"), *seeded(wanted)), expected, strict=True):
        assert torch.equal(ours, other)
        assert other.std() > 0.1


@pytest.mark.parametrize(("steps", "strength"), [(4, 0.6), (2, 0.25), (5, 1.0)])
def test_img2img_runs_all_steps_within_the_strength(steps: int, strength: float) -> None:
    wanted = recipe(steps=steps, strength=strength, image="sketch")
    expected = theirs(
        LatentConsistencyModelImg2ImgPipeline, wanted, image=SHOWN.image, strength=strength
    )
    for ours, other in zip(made(lcm("sd1"), *seeded(wanted)), expected, strict=True):
        assert torch.equal(ours, other)


def test_sdxl_as_its_pipeline_makes_it() -> None:
    """``latent-consistency/lcm-sdxl`` is such a UNet for SDXL's own pipeline."""
    wanted = recipe()
    pictures = generate(lcm("sdxl"), seeded(wanted), batch_size=2)
    latents, images = reference(lcm("sdxl"), wanted, SEEDS)
    for picture, expected, image in zip(pictures, latents, images, strict=True):
        assert torch.equal(picture.latents, expected)
        assert np.array_equal(np.asarray(picture.image), np.asarray(image))


def test_inpainting_as_its_pipeline_does_it() -> None:
    """There is no LCM pipeline for it: the ordinary one takes such a UNet, and runs fewer steps."""
    mask = Image.new("L", (32, 24), 0)
    mask.paste(255, (8, 4, 24, 20))
    wanted = recipe(image="sketch", mask="mask", strength=0.6)
    shown = {"sketch": SHOWN, "mask": replace(SHOWN, image=mask)}
    recipes = [replace(one, resize="crop", no_keep=True) for one in seeded(wanted)]
    pictures = generate(lcm("sd1"), recipes, batch_size=2, open_image=shown.__getitem__)
    latents, _ = reference(lcm("sd1"), wanted, SEEDS, image=SHOWN.image, mask=mask, pixels=False)
    for picture, expected in zip(pictures, latents, strict=True):
        assert torch.equal(picture.latents, expected)


def test_each_picture_of_a_batch_has_its_own_scale() -> None:
    recipes = [recipe(seed=7, guidance_scale=scale) for scale in (1.0, 4.0, 8.0)]
    together = made(lcm("sd1"), *recipes)
    for one, ours in zip(recipes, together, strict=True):
        (alone,) = made(lcm("sd1"), one)
        assert torch.allclose(alone, ours, atol=1e-4)
    assert not torch.allclose(together[0], together[2], atol=1e-2)


def test_one_call_of_the_unet_makes_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    components, rows = lcm("sd1"), []
    run = components.unet.forward

    def counted(sample: torch.Tensor, *inputs: Any, **named: Any) -> Any:
        rows.append(len(sample))
        assert named["timestep_cond"].shape == (len(sample), 17)
        return run(sample, *inputs, **named)

    monkeypatch.setattr(components.unet, "forward", counted)
    made(components, *seeded(recipe()))
    assert rows == [2] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negative_prompt": "a dog"}, "negative_prompt has no effect with .* \\(LCM\\).*'a dog'"),
        ({"guidance": "apg"}, "guidance has no effect"),
        ({"guidance_rescale": 0.5}, "guidance_rescale has no effect"),
        ({"guidance_interval": "1..5"}, "guidance_interval has no effect"),
        ({"guidance_scale": None, "guidance_schedule": "9,1"}, "guidance_schedule has no effect"),
        ({"prompt": "a cat AND a dog"}, "prompt with AND has no effect"),
        ({"image": "sketch", "strength": 0.05}, "strength must be at least 0.08 for 4 steps of LC"),
        ({"timestep_spacing": "strength"}, "'strength' needs a picture to start from, or hires"),
        (
            {"timestep_spacing": "strength", "image": "sketch", "exact_steps": True},
            "'strength' cannot be combined with exact_steps",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        made(lcm("sd1"), recipe(**settings))


def test_the_strength_is_in_the_key_where_it_spaces_the_steps() -> None:
    settings = {"image": "sketch", "image_sha256": "0" * 64}
    spaced = {"timestep_spacing": "strength", "scheduler": "lcm", **settings}
    near = [key_text(recipe(strength=s, **spaced), {}) for s in (0.5, 0.55)]
    assert near[0] != near[1]
    ordinary = [key_text(recipe(strength=s, **settings), {}) for s in (0.5, 0.55)]
    assert ordinary[0] == ordinary[1]
