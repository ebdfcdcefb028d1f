"""The predicted memory of a model: weights to the byte, activations as they are counted."""

import json

import pytest
import torch
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.placed import placed
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl

from sdloop.models.components.fp8 import to_fp8
from sdloop.models.components.load import Components
from sdloop.models.components.predict import decode, needs_of, run_unet

MODELS = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def configs(components: Components) -> dict[str, dict[str, object]]:
    """What the files of the model would say."""
    found = {part: getattr(components, part) for part in _PARTS}
    return {
        part: json.loads(module.config.to_json_string())
        if part.startswith("text")
        else dict(module.config)
        for part, module in found.items()
        if module is not None
    }


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_predicted_to_the_byte(family: str, dtype: torch.dtype) -> None:
    components = MODELS[family]()
    needs = needs_of(configs(components), size=(64, 64), dtype=dtype)
    for part, size in needs.weights.items():
        module = getattr(components, part).to(dtype)
        assert size == sum(one.nbytes for one in (*module.parameters(), *module.buffers()))


def test_so_are_weights_of_eight_bits() -> None:
    components = tiny_sd1()
    needs = needs_of(configs(components), size=(64, 64), dtype=torch.bfloat16, fp8=True)
    unet = components.unet.to(torch.bfloat16)
    to_fp8(unet)
    assert needs.weights["unet"] == sum(o.nbytes for o in (*unet.parameters(), *unet.buffers()))


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_activations_are_those_of_a_run(part: str) -> None:
    """The CPU's kernels leave a few small tensors more, such as the sums of attention."""
    components = tiny_sdxl()
    needs = needs_of(configs(components), size=(64, 64), dtype=torch.bfloat16)
    with PretendedCuda() as gpu, torch.no_grad():
        model = placed(components, "cuda", "bf16")
        module, before = getattr(model, part), gpu.memory.held
        gpu.memory.peak = before
        run_unet(module, 2, 32, 32) if part == "unet" else decode(module, 32, 32)
        counted = gpu.memory.peak - before
    assert needs.activations[part] == pytest.approx(counted, rel=0.02)
