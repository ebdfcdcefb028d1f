"""T2I-Adapters: the pictures are bit-equal to those of diffusers, on the CPU in float32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import MultiAdapter, T2IAdapter
from helpers import steered
from helpers.controls import save_adapter, with_blocks
from helpers.crossings import FAMILIES
from helpers.parity import quiet, their_scheduler
from helpers.steered import PICTURES, assert_differs, latents

from sdloop.models.components.load import Components
from sdloop.recipe import controls
from sdloop.recipe.recipe import Recipe

SIZE = {"width": 64, "height": 32}  # multiples of the adapters' factors
DOWN, CROSS = "DownBlock2D", "CrossAttnDownBlock2D"


def recipe(*adapters: controls.T2IAdapter, **settings: Any) -> Recipe:
    return steered.recipe(t2i_adapters=adapters, **SIZE, **settings)


def assert_equal(components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)) -> None:
    made = steered.assert_equal(components, wanted, theirs, seeds)
    assert_differs(made, latents(components, replace(wanted, t2i_adapters=())), least=0.01)


def theirs(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    xl, asked = components.text_encoder_2 is not None, wanted.t2i_adapters
    found = [T2IAdapter.from_pretrained(one.model) for one in asked]
    maps = [PICTURES[one.image] for one in asked]
    maps = [one.convert("L") if net.config.in_channels == 1 else one
            for one, net in zip(maps, found, strict=True)]  # fmt: skip
    kind = getattr(diffusers, f"StableDiffusion{'XL' * xl}AdapterPipeline")
    several, scales = len(found) > 1, [one.scale for one in asked]
    pipe = kind(**steered.modules(components), adapter=MultiAdapter(found) if several else found[0],
                scheduler=their_scheduler(components, wanted, seeds))  # fmt: skip
    return quiet(pipe)(
        **steered.options(wanted, seeds), **SIZE, image=maps if several else maps[0],
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
    adapter = controls.T2IAdapter(model=model, image="wide edges", scale=0.8, **end)
    assert_equal(components, recipe(adapter), seeds=(7, 8) if family == "sd1" else (7,))


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_several_and_one_without_colours(tmp_path: Path, family: str) -> None:
    components = FAMILIES[family]()
    models = [str(save_adapter(components, tmp_path / f"{n}", n, in_channels=n)) for n in (1, 3)]
    first = controls.T2IAdapter(model=models[0], image="wide edges", scale=0.8)
    second = controls.T2IAdapter(model=models[1], image="wide depths", scale=-0.5)
    assert_equal(components, recipe(first, second))


@pytest.mark.parametrize("kind", ["light", "for a UNet that begins without attention"])
def test_other_kinds(tmp_path: Path, kind: str) -> None:
    """The second is what the embedded model takes: an adapter like those for SDXL."""
    blocks = (CROSS, CROSS, DOWN) if kind == "light" else (DOWN, CROSS, CROSS)
    options = {"adapter_type": "light_adapter", "channels": [32, 64]} if kind == "light" else {}
    components = with_blocks(FAMILIES["sd1"](), *blocks)
    model = save_adapter(components, tmp_path / "adapter", **options)
    adapter = controls.T2IAdapter(model=str(model), image="wide edges")
    assert_equal(components, recipe(adapter, guidance_scale=1, negative_prompt=None))
