"""Pictures that follow other pictures, ours and those of diffusers' pipelines."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from helpers.pictures import gradient, sketch
from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

SIZE = (32, 24)
MASK = Image.fromarray(np.pad(np.full((12, 16), 255, np.uint8), ((6, 6), (8, 8))))
PICTURES = {"start": sketch(*SIZE), "mask": MASK.convert("RGB"), "edges": gradient(*SIZE),
            "depths": sketch(*SIZE).rotate(180), "sketch": sketch(40, 60),
            "ramp": gradient(64, 48), "wide edges": gradient(64, 32),
            "wide depths": sketch(64, 32).rotate(180)}  # fmt: skip
# By the word in the names of diffusers' pipelines.
TASKS: dict[str, dict[str, Any]] = {
    "": {},
    "Img2Img": {"image": "start", "strength": 0.6},
    "Inpaint": {"image": "start", "mask": "mask", "strength": 1.0},
}
# The final latents of diffusers' pipeline, for these seeds.
Theirs = Callable[[Components, Recipe, list[int]], Tensor]


def opened(name: str) -> InputImage:
    return InputImage(name=name, sha256="0" * 64, image=PICTURES[name])


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 4, "width": SIZE[0],
             "height": SIZE[1], "guidance_scale": 7.5, "negative_prompt": "a dog"}  # fmt: skip
    return Recipe(**(usual | settings))


def latents(components: Components, wanted: Recipe, seeds: Sequence[int] = (7,)) -> Tensor:
    """The final latents of our pictures."""
    recipes = [wanted.with_seed(seed) for seed in seeds]
    pictures = generate(components, recipes, batch_size=len(seeds), open_image=opened)
    return torch.stack([picture.latents for picture in pictures])


def assert_equal(
    components: Components, wanted: Recipe, theirs: Theirs, seeds: Sequence[int] = (7,)
) -> Tensor:
    """Our latents are theirs, bit for bit."""
    made = latents(components, wanted, seeds)
    assert torch.equal(made, theirs(components, wanted, list(seeds)))
    return made


def assert_differs(made: Tensor, plain: Tensor, least: float = 0.1) -> None:
    """What has no effect would be equal to diffusers' too."""
    assert (made[0] - plain[0]).abs().mean() > least


def task_of(wanted: Recipe) -> str:
    return list(TASKS)[(wanted.image is not None) + (wanted.mask is not None)]


def options(wanted: Recipe, seeds: list[int]) -> dict[str, Any]:
    """What every pipeline of diffusers is called with."""
    found = {
        "prompt": wanted.prompt, "negative_prompt": wanted.negative_prompt,
        "num_inference_steps": wanted.steps, "guidance_scale": wanted.guidance_scale,
        "num_images_per_prompt": len(seeds), "output_type": "latent",
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
    }  # fmt: skip
    if wanted.image is not None:
        found |= {"image": PICTURES["start"], "strength": wanted.strength}
    if wanted.mask is not None:
        found |= {"image": [PICTURES["start"]] * len(seeds), "mask_image": [MASK] * len(seeds)}
    return found


def modules(components: Components) -> dict[str, Any]:
    """What every pipeline of diffusers is made of, but for its scheduler."""
    xl = components.text_encoder_2 is not None
    names = ["tokenizer", "text_encoder", "unet", "vae"] + ["tokenizer_2", "text_encoder_2"] * xl
    found = {name: getattr(components, name) for name in names}
    if xl:
        return found | {"force_zeros_for_empty_prompt": components.force_zeros_for_empty_prompt}
    none = dict.fromkeys(("safety_checker", "feature_extractor"))
    return found | none | {"requires_safety_checker": False}
