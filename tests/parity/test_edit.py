"""Depth models and InstructPix2Pix are bit-equal to their pipelines, on the CPU in float32."""

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from helpers.parity import their_scheduler
from helpers.pictures import sketch
from helpers.tiny import tiny_depth, tiny_pix2pix, tiny_sdxl
from PIL import Image
from torch import Tensor

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

SIZE = (32, 24)


def slope() -> Image.Image:
    """A depth map: near on the left, far on the right."""
    return Image.fromarray(np.tile(np.linspace(255, 0, SIZE[0]), (SIZE[1], 1)).astype(np.uint8))


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 6, "width": 32, "height": 24,
             "guidance_scale": 7.5, "image": "sketch"}  # fmt: skip
    return Recipe(**(usual | settings))


def ours(components: Components, wanted: Recipe, seeds: tuple[int, ...]) -> list[Tensor]:
    files = {
        "sketch": InputImage(name="sketch", sha256="0" * 64, image=sketch(*SIZE)),
        "slope": InputImage(name="slope", sha256="1" * 64, image=slope().convert("RGB")),
    }
    recipes = [replace(wanted, seed=seed) for seed in seeds]
    pictures = generate(
        components, recipes, batch_size=len(seeds), open_image=lambda name: files[name]
    )
    assert all(np.asarray(picture.image).std() > 1 for picture in pictures)
    return [picture.latents for picture in pictures]


def options(wanted: Recipe, seeds: tuple[int, ...]) -> dict[str, Any]:
    count = len(seeds)
    negative = wanted.negative_prompt
    return {
        "prompt": [wanted.prompt] * count,
        "negative_prompt": None if negative is None else [negative] * count,
        "image": [sketch(*SIZE)] * count,
        "num_inference_steps": wanted.steps,
        "guidance_scale": wanted.guidance_scale,
        "generator": [torch.Generator().manual_seed(seed) for seed in seeds],
        "output_type": "latent",
    }


def modules(components: Components, wanted: Recipe, seeds: tuple[int, ...]) -> dict[str, Any]:
    return {
        "vae": components.vae,
        "text_encoder": components.text_encoder,
        "tokenizer": components.tokenizer,
        "unet": components.unet,
        "scheduler": their_scheduler(components, wanted, list(seeds)),
    }


def by_depth(components: Components, wanted: Recipe, seeds: tuple[int, ...]) -> Tensor:
    pipe = diffusers.StableDiffusionDepth2ImgPipeline(
        **modules(components, wanted, seeds),
        depth_estimator=components.depth_estimator,
        feature_extractor=components.depth_processor,
    )
    pipe.set_progress_bar_config(disable=True)
    told = options(wanted, seeds) | {"strength": wanted.strength, "eta": wanted.eta}
    if wanted.depth_map is not None:
        brightness = torch.from_numpy(np.array(slope(), dtype=np.float32))
        told["depth_map"] = torch.stack([brightness] * len(seeds))
    return pipe(**told).images


def edited(components: Components, wanted: Recipe, seeds: tuple[int, ...]) -> Tensor:
    told = options(wanted, seeds) | {"image_guidance_scale": wanted.image_guidance_scale or 1.5}
    made = modules(components, wanted, seeds)
    if components.text_encoder_2 is None:
        pipe: Any = diffusers.StableDiffusionInstructPix2PixPipeline(
            **made, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    else:
        pipe = diffusers.StableDiffusionXLInstructPix2PixPipeline(
            **made,
            text_encoder_2=components.text_encoder_2,
            tokenizer_2=components.tokenizer_2,
            force_zeros_for_empty_prompt=components.force_zeros_for_empty_prompt,
            add_watermarker=False,
        )
        told |= {"height": SIZE[1], "width": SIZE[0], "guidance_rescale": wanted.guidance_rescale}
    pipe.set_progress_bar_config(disable=True)
    return pipe(**told).images


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scheduler": "euler-a", "negative_prompt": "a dog"},
        {"scheduler": "ddim", "eta": 0.5},
        {"guidance_scale": 1},
        {"depth_map": "slope"},
    ],
)
def test_depth(settings: dict[str, Any]) -> None:
    wanted = recipe(strength=0.7, **settings)
    components = tiny_depth()
    (latents,) = ours(components, wanted, (7,))
    assert torch.equal(latents, by_depth(components, wanted, (7,))[0])


def test_depth_in_a_batch() -> None:
    wanted, components = recipe(strength=0.7, scheduler="euler-a"), tiny_depth()
    expected = by_depth(components, wanted, (7, 8))  # estimates the depth of both at once
    made = torch.stack(ours(components, wanted, (7, 8)))
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scheduler": "euler-a", "negative_prompt": "a dog", "image_guidance_scale": 2.0},
        {"guidance_scale": 1},
    ],
)
def test_pix2pix(family: str, settings: dict[str, Any]) -> None:
    wanted, components = recipe(**settings), tiny_pix2pix(family)
    (latents,) = ours(components, wanted, (7,))
    assert torch.equal(latents, edited(components, wanted, (7,))[0])


def test_pix2pix_of_sdxl_with_rescaled_guidance() -> None:
    wanted, components = recipe(guidance_rescale=0.7), tiny_pix2pix("sdxl")
    (latents,) = ours(components, wanted, (7,))
    assert torch.equal(latents, edited(components, wanted, (7,))[0])


def test_pix2pix_in_a_batch() -> None:
    wanted, components = recipe(scheduler="euler-a"), tiny_pix2pix("sd1")
    expected = edited(components, wanted, (7, 8))  # encodes both pictures at once
    made = torch.stack(ours(components, wanted, (7, 8)))
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3)


def test_pix2pix_with_a_refiner() -> None:
    """The refiner goes on without the picture."""
    components = replace(tiny_pix2pix("sdxl"), refiner=tiny_sdxl(seed=3))
    (latents,) = ours(components, recipe(), (7,))
    assert latents.isfinite().all()
