"""Tests that need a CUDA device: ``pytest -m gpu``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sdxl

from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS

pytestmark = pytest.mark.gpu

NAMES = [name for name in SCHEDULERS if not name.startswith("edm")]


def recipe(seed: int = 7, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "steps": 5, "width": 32, "height": 32}
    return Recipe(seed=seed, **(usual | settings))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(tiny_sd1(), tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("scheduler", NAMES)
def test_a_seed_means_one_picture_on_every_device(folder: Path, scheduler: str) -> None:
    """The noise comes from the CPU; what differs is the arithmetic's last digits."""
    made = [
        generate(load_components(str(folder), device=device, dtype="fp32"), wanted)[0]
        for device in ("cpu", "cuda")
        for wanted in [recipe(scheduler=scheduler)]
    ]
    torch.testing.assert_close(made[0].latents, made[1].latents, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("scheduler", NAMES)
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_makes_pictures(folder: Path, scheduler: str, dtype: str) -> None:
    components = load_components(str(folder), device="cuda", dtype=dtype)
    picture = generate(components, recipe(scheduler=scheduler))[0]
    assert components.unet.device.type == "cuda"
    assert picture.latents.dtype == torch.float32
    assert np.asarray(picture.image).std() > 1


def test_the_vae_of_sdxl_is_not_run_in_fp16(tmp_path: Path) -> None:
    folder = save_diffusers_folder(tiny_sdxl(), tmp_path / "sdxl")
    components = load_components(str(folder), device="cuda", dtype="fp16")
    assert components.unet.dtype == torch.float16
    assert components.vae.dtype != torch.float16
    assert np.asarray(generate(components, recipe())[0].image).std() > 1


def test_the_same_command_gives_the_same_bytes(folder: Path) -> None:
    components = load_components(str(folder), device="cuda")
    recipes = [recipe(seed, scheduler="euler-a") for seed in (1, 2)]
    first, second = (generate(components, recipes, batch_size=2) for _ in range(2))
    assert [p.image.tobytes() for p in first] == [p.image.tobytes() for p in second]


def test_the_embedded_model_on_the_device() -> None:
    picture = generate(load_components(device="cuda"), Recipe(prompt="frogs on stilts", seed=4))[0]
    assert np.asarray(picture.image).std() > 20
