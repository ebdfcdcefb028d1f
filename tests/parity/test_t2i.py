"""T2I-Adapters: the pictures are bit-equal to those of diffusers, on the CPU in float32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import MultiAdapter, T2IAdapter
from helpers.controls import save_adapter, with_blocks
from helpers.crossings import FAMILIES
from helpers.parity import quiet, their_scheduler
from helpers.pictures import gradient, sketch

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe import controls
from sdloop.recipe.recipe import Recipe

SIZE = (64, 32)
DOWN, CROSS = "DownBlock2D", "CrossAttnDownBlock2D"
PICTURES = {"edges": gradient(*SIZE), "depths": sketch(*SIZE).rotate(180)}


def opened(name: str) -> InputImage:
    return InputImage(name=name, sha256="0" * 64, image=PICTURES[name])


def recipe(*adapters: controls.T2IAdapter, **settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 4, "width": SIZE[0],
             "height": SIZE[1], "guidance_scale": 7.5, "negative_prompt": "a dog"}  # fmt: skip
    return Recipe(**(usual | settings), t2i_adapters=adapters)


def assert_equal(components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)) -> None:
    recipes = [wanted.with_seed(seed) for seed in seeds]
    pictures = generate(components, recipes, batch_size=len(seeds), open_image=opened)
    made = torch.stack([picture.latents for picture in pictures])
    assert torch.equal(made, _theirs(components, wanted, list(seeds)))
    (plain,) = generate(components, replace(wanted, t2i_adapters=()), open_image=opened)
    assert (made[0] - plain.latents).abs().mean() > 0.01  # otherwise it would prove nothing


def _theirs(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    xl, asked = components.text_encoder_2 is not None, wanted.t2i_adapters
    names = ["tokenizer", "text_encoder", "unet", "vae"] + ["tokenizer_2", "text_encoder_2"] * xl
    modules = {name: getattr(components, name) for name in names}
    if xl:
        modules["force_zeros_for_empty_prompt"] = components.force_zeros_for_empty_prompt
    else:
        modules |= dict.fromkeys(("safety_checker", "feature_extractor"))
        modules["requires_safety_checker"] = False
    found = [T2IAdapter.from_pretrained(one.model) for one in asked]
    maps = [PICTURES[one.image] for one in asked]
    maps = [one.convert("L") if net.config.in_channels == 1 else one
            for one, net in zip(maps, found, strict=True)]  # fmt: skip
    kind = getattr(diffusers, f"StableDiffusion{'XL' * xl}AdapterPipeline")
    several, scales = len(found) > 1, [one.scale for one in asked]
    pipe = kind(**modules, scheduler=their_scheduler(components, wanted, seeds),
                adapter=MultiAdapter(found) if several else found[0])  # fmt: skip
    return quiet(pipe)(
        prompt=wanted.prompt, negative_prompt=wanted.negative_prompt, width=SIZE[0], height=SIZE[1],
        num_inference_steps=wanted.steps, guidance_scale=wanted.guidance_scale,
        num_images_per_prompt=len(seeds), output_type="latent",
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        image=maps if several else maps[0],
        adapter_conditioning_scale=scales if several else scales[0],
        **({"adapter_conditioning_factor": asked[0].end} if xl else {}),
    ).images  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_one(tmp_path: Path, family: str) -> None:
    components = FAMILIES[family]()
    if family == "sdxl":  # with a last level, for the layers in the middle
        components = with_blocks(components, DOWN, CROSS, CROSS)
    end = {"end": 0.5} if family == "sdxl" else {}  # the other pipeline has no such argument
    model = str(save_adapter(components, tmp_path / "adapter"))
    adapter = controls.T2IAdapter(model=model, image="edges", scale=0.8, **end)
    assert_equal(components, recipe(adapter), seeds=(7, 8) if family == "sd1" else (7,))


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_several_and_one_without_colours(tmp_path: Path, family: str) -> None:
    components = FAMILIES[family]()
    models = [str(save_adapter(components, tmp_path / f"{n}", n, in_channels=n)) for n in (1, 3)]
    first, second = (
        controls.T2IAdapter(model=model, image=image, scale=scale)
        for model, image, scale in zip(models, PICTURES, (0.8, -0.5), strict=True)
    )
    assert_equal(components, recipe(first, second))


@pytest.mark.parametrize("kind", ["light", "for a UNet that begins without attention"])
def test_other_kinds(tmp_path: Path, kind: str) -> None:
    """The second is what the embedded model takes: an adapter like those for SDXL."""
    blocks = (CROSS, CROSS, DOWN) if kind == "light" else (DOWN, CROSS, CROSS)
    options = {"adapter_type": "light_adapter", "channels": [32, 64]} if kind == "light" else {}
    components = with_blocks(FAMILIES["sd1"](), *blocks)
    model = save_adapter(components, tmp_path / "adapter", **options)
    adapter = controls.T2IAdapter(model=str(model), image="edges")
    assert_equal(components, recipe(adapter, guidance_scale=1, negative_prompt=None))
