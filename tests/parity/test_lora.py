"""Pictures with LoRAs are bit-equal to those of diffusers' pipelines with the same files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loras import lora_pairs, save_kohya, save_old_diffusers, save_peft
from helpers.parity import pipeline, reference
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from torch import Tensor

from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

pytest.importorskip("peft", reason="pip install 'sdloop[lora]'")

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
SIZE = {"width": 32, "height": 32}
# The blocks of SDXL's UNet as kohya names them: those of the model's first authors.
SGM = {
    "down_blocks.0.resnets.0.conv1": "input_blocks.1.0.in_layers.2",
    "down_blocks.1.resnets.0.conv1": "input_blocks.3.0.in_layers.2",
    "mid_block.resnets.0.conv1": "middle_block.0.in_layers.2",
    "up_blocks.0.resnets.0.conv1": "output_blocks.0.0.in_layers.2",
    "up_blocks.1.resnets.0.conv1": "output_blocks.2.0.in_layers.2",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.attentions.0": "middle_block.1",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
}
LAYOUTS: dict[str, Any] = {
    "kohya": save_kohya,
    "sgm": lambda pairs, path: save_kohya(pairs, path, names=SGM),
    "peft": save_peft,
    "noted": lambda pairs, path: save_peft(pairs, path, note=True),
    "old": save_old_diffusers,
}


def theirs(make: Any, recipe: Recipe, loras: list[tuple[Path, float]]) -> Tensor:
    """The latents of diffusers' pipeline with these LoRAs, over fresh components."""
    components = make()
    pipe = pipeline(components, recipe, [recipe.seed])
    names = [f"adapter{number}" for number in range(len(loras))]
    for name, (file, _) in zip(names, loras, strict=True):
        pipe.load_lora_weights(str(file), adapter_name=name)
    pipe.set_adapters(names, [scale for _, scale in loras])
    return reference(components, recipe, [recipe.seed], pixels=False)[0][0]


def ours(components: Components, recipe: Recipe) -> Tensor:
    return generate(components, recipe)[0].latents


@pytest.mark.parametrize(
    ("family", "layout"),
    [
        *((family, layout) for family in FAMILIES for layout in ("kohya", "peft")),
        *(("sdxl", "sgm"), ("sd1", "noted"), ("sd2", "old")),
    ],
)
def test_a_lora_gives_their_picture(family: str, layout: str, tmp_path: Path) -> None:
    make: Any = FAMILIES[family]
    components = make()
    file = LAYOUTS[layout](lora_pairs(components), tmp_path / "random.safetensors")
    plain = Recipe(prompt="a cat", seed=4, steps=2, guidance_scale=3.0, **SIZE)
    recipe = Recipe(**plain.to_dict(), loras=[f"{file}:0.7"])
    found = ours(components, recipe)
    assert torch.equal(found, theirs(make, plain, [(file, 0.7)]))
    assert not torch.allclose(found, ours(components, plain), atol=0.05)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_two_loras_give_their_picture(family: str, tmp_path: Path) -> None:
    """One of them for the UNet alone; they are added in the order in which they are named."""
    make: Any = FAMILIES[family]
    components = make()
    whole = save_kohya(lora_pairs(components, seed=1), tmp_path / "whole.safetensors")
    unet = save_peft(lora_pairs(components, seed=2, parts=("unet",)), tmp_path / "unet.safetensors")
    plain = Recipe(prompt="a cat", seed=4, steps=2, guidance_scale=3.0, **SIZE)
    recipe = Recipe(**plain.to_dict(), loras=[f"{whole}:0.7", f"{unet}:-0.4"])
    assert torch.equal(ours(components, recipe), theirs(make, plain, [(whole, 0.7), (unet, -0.4)]))
