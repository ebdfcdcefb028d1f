"""The predicted memory of a model: weights to the byte, activations as they are counted.

What a whole run needs is compared with what it takes in ``tests/cuda/test_predicted.py``.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.placed import placed
from helpers.tiny import (
    save_diffusers_folder,
    tiny_refiner,
    tiny_sd1,
    tiny_sd2,
    tiny_sdxl,
)

from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.forward import decode, run_step
from sdloop.models.components.fp8 import to_fp8
from sdloop.models.components.load import Components, load_components, without_numbers
from sdloop.models.components.predict import needs_of

MODELS = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def size_of(components: Components) -> int:
    """The bytes of all weights."""
    modules = [getattr(components, part) for part in _PARTS]
    tensors = [[*one.parameters(), *one.buffers()] for one in modules if one is not None]
    return sum(one.nbytes for of_module in tensors for one in of_module)


@pytest.mark.parametrize("family", MODELS)
def test_weights_are_predicted_to_the_byte(family: str, tmp_path: Path) -> None:
    folder = save_diffusers_folder(MODELS[family](), tmp_path / family)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        sizes = without_numbers(find_checkpoint(str(folder)), dtype, fp8=False)
        assert {p.device.type for p in sizes.unet.parameters()} == {"meta"}
        loaded = load_components(str(folder), device="cpu", dtype=name)
        assert needs_of(sizes).weights == size_of(loaded)


def test_so_are_weights_of_eight_bits(tmp_path: Path) -> None:
    folder = save_diffusers_folder(tiny_sd1(), tmp_path / "model")
    sizes = without_numbers(find_checkpoint(str(folder)), torch.bfloat16, fp8=True)
    loaded = load_components(str(folder), device="cpu", dtype="bf16")
    to_fp8(loaded.unet)
    assert needs_of(sizes).weights == size_of(loaded)


def test_a_refiner_counts_and_what_it_shares_does_so_once(tmp_path: Path) -> None:
    folder = save_diffusers_folder(tiny_sdxl(), tmp_path / "sdxl")
    refiner = save_diffusers_folder(tiny_refiner(), tmp_path / "refiner")
    found = find_checkpoint(str(folder), refiner=str(refiner))
    loaded = load_components(found, device="cpu", dtype="fp32")
    assert loaded.refiner is not None
    own = size_of(loaded.refiner) - (size_of_vae(loaded) if loaded.refiner.vae is loaded.vae else 0)
    needs = needs_of(without_numbers(found, torch.float32, fp8=False))
    assert needs.weights == size_of(loaded) + own
    assert needs.phases["refiner's step"].kept > 0


def size_of_vae(components: Components) -> int:
    return sum(one.nbytes for one in (*components.vae.parameters(), *components.vae.buffers()))


@pytest.mark.parametrize("phase", ["step", "decoding"])
def test_activations_are_those_of_a_run(phase: str, tmp_path: Path) -> None:
    """The CPU's kernels leave a few small tensors more, such as the sums of attention."""
    components = tiny_sdxl()
    folder = save_diffusers_folder(components, tmp_path / "model")
    sizes = without_numbers(find_checkpoint(str(folder)), torch.bfloat16, fp8=False)
    needs = needs_of(sizes, size=(64, 64))
    run: dict[str, Any] = {
        "step": lambda model: run_step(model, 2, 32, 32),
        "decoding": lambda model: decode(model.vae, 32, 32),
    }
    with PretendedCuda() as gpu, torch.no_grad():
        model = placed(components, "cuda", "bf16")
        gpu.memory.peak = before = gpu.memory.held
        run[phase](model)
        counted = gpu.memory.peak - before
    assert needs.phases[phase].activations == pytest.approx(counted, rel=0.02)
