"""Parts of a model on several devices: encoders on the CPU, a UNet that is offloaded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.pretended_cuda import PretendedCuda
from helpers.tiny import save_diffusers_folder, tiny_inpaint
from PIL import Image

from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

SKETCH = str(Path(__file__).parents[2] / "examples" / "sketch" / "rabbit.png")
USUAL = {"prompt": "a cat", "seed": 7, "steps": 2, "width": 32, "height": 32}


class Waiting:
    """A UNet that waits on the CPU between its calls, as hooks for offloading let it."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet

    device = torch.device("cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unet, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.unet(*args, **kwargs)


@pytest.fixture(scope="module")
def inpaint_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(tiny_inpaint("sd1"), tmp_path_factory.mktemp("inpaint"))


def loaded(folder: Path) -> tuple[Components, Components]:
    """The model on the card and on the CPU."""
    here, there = (load_components(str(folder), device=d, dtype="fp32") for d in ("cuda", "cpu"))
    return here, there


@pytest.fixture
def both(gpu: PretendedCuda, tiny_model: Path) -> tuple[Components, Components]:
    return loaded(tiny_model)


def latents(components: Components, **settings: Any) -> torch.Tensor:
    return generate(components, Recipe(**(USUAL | settings)))[0].latents


STEERED = {"losses": [f"like={SKETCH}:2"], "loss_every": 2, "hires": 1.5, "strength": 0.5}


@pytest.mark.parametrize(
    ("away", "settings"),
    [
        ("text_encoder", {"image": SKETCH, "strength": 0.9}),
        ("vae", {"image": SKETCH, "strength": 0.9}),
        ("vae", STEERED),
    ],
    ids=["text", "vae", "vae-steered"],
)
def test_encoders_and_vae_may_be_elsewhere(
    both: tuple[Components, Components], away: str, settings: dict[str, Any]
) -> None:
    here, there = both
    made = latents(replace(here, **{away: getattr(there, away)}), **settings)
    assert torch.equal(made, latents(there, **settings))


def test_a_text_encoder_may_have_another_precision(gpu: PretendedCuda, tiny_model: Path) -> None:
    half = load_components(str(tiny_model), device="cuda")
    assert half.dtype == torch.bfloat16
    whole = load_components(str(tiny_model), device="cpu").text_encoder
    made, expected = latents(replace(half, text_encoder=whole)), latents(half)
    assert 0 < (made - expected).abs().max() < 1


def test_an_inpainting_model_may_have_its_vae_elsewhere(
    gpu: PretendedCuda, inpaint_model: Path, tmp_path: Path
) -> None:
    Image.new("L", (32, 32), 255).save(tmp_path / "mask.png")
    settings = {"image": SKETCH, "mask": str(tmp_path / "mask.png")}
    here, there = loaded(inpaint_model)
    made = latents(replace(here, vae=there.vae), **settings)
    assert torch.equal(made, latents(there, **settings))


def test_a_unet_may_wait_elsewhere(both: tuple[Components, Components]) -> None:
    here, there = both
    made = latents(replace(here, unet=Waiting(here.unet)))
    assert torch.equal(made, latents(there))


def test_device_and_precision_are_those_that_it_was_loaded_for(
    both: tuple[Components, Components],
) -> None:
    """And not those of the UNet's weights, which may be stored elsewhere and in 8 bits."""
    here, _ = both
    stored: Any = Waiting(here.unet)
    stored.dtype = torch.float8_e4m3fn
    moved = replace(here, unet=stored)
    assert (moved.device, moved.dtype) == (torch.device("cuda:0"), torch.float32)
