"""TF32 is off unless it is asked for, and recorded; gradients use deterministic kernels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.pretended_cuda import PretendedCuda

from sdloop.errors import SettingError
from sdloop.models.components.device import set_arithmetic
from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate
from sdloop.pipeline.picture import Picture
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe

RECIPE = Recipe(prompt="a cat", seed=7, steps=2, width=32, height=32, scheduler="euler")

# What torch names as not deterministic (``torch.use_deterministic_algorithms``), of the kernels
# that gradients of losses need here. All of them but the last have another way.
NAMED = {
    *("replication_pad2d_backward", "convolution_backward"),
    *("_scaled_dot_product_flash_attention_for_cpu_backward", "_upsample_bicubic2d_aa_backward"),
}


def made(folder: Path, device: str, dtype: str, **settings: Any) -> Picture:
    components = load_components(str(folder), device=device, dtype=dtype)
    return generate(components, replace(RECIPE, **settings))[0]


def test_fp32_is_float32_on_a_card_that_has_tf32(gpu: PretendedCuda, tiny_model: Path) -> None:
    """Else a seed would mean another picture there: in TF32 the difference is seen."""
    expected = made(tiny_model, "cpu", "fp32")
    exact, coarse = (made(tiny_model, "cuda", dtype) for dtype in ("fp32", "tf32"))
    assert torch.equal(exact.latents, expected.latents)
    assert 1e-4 < (coarse.latents - expected.latents).abs().max() < 0.5
    told = [one.made.get("tf32") for one in (expected, exact, coarse)]
    assert told == [None, False, True]
    assert {one.made["dtype"] for one in (exact, coarse)} == {"float32"}
    assert (
        exact.made["key"]
        == coarse.made["key"]
        == content_key(coarse.recipe, coarse.environment.weights)
    )


@pytest.mark.parametrize("dtype", ["tf32", "fp32"])
def test_it_is_a_matter_of_convolutions_and_of_matrices(
    gpu: PretendedCuda, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    set_arithmetic(torch.device("cuda"), dtype)
    for backend in (torch.backends.cudnn, torch.backends.cuda.matmul):
        assert backend.allow_tf32 is (dtype == "tf32")
    assert torch.backends.cudnn.deterministic


def test_tf32_needs_a_card(tiny_model: Path) -> None:
    with pytest.raises(SettingError, match="dtype tf32 is for CUDA GPUs, and device is cpu"):
        load_components(str(tiny_model), device="cpu", dtype="tf32")


@pytest.mark.parametrize(
    "losses, mode", [("symmetry=9", "cheap"), ("ssim", "cheap"), ("smooth=9", "exact")]
)
def test_losses_compute_gradients_with_deterministic_kernels(
    gpu: PretendedCuda, tiny_model: Path, losses: str, mode: str
) -> None:
    if losses == "ssim":
        sketch = Path(__file__).parents[2] / "examples" / "sketch" / "rabbit.png"
        losses = f"like={sketch},ssim:2"
    made(tiny_model, "cuda", "fp32", losses=[losses], loss_every=1, loss_mode=mode)
    ran = NAMED & set(gpu.operations)
    assert ran >= {"convolution_backward"}
    assert not ran & set(gpu.free_choices)
    assert "_upsample_bicubic2d_aa_backward" not in gpu.operations
    assert not torch.are_deterministic_algorithms_enabled()
