"""Faults that are planted, as a careless change would make them, must be caught."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.crossings import FAMILIES
from helpers.pictures import sketch
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.placed import placed
from PIL import Image

from sdloop.conditioning import encode
from sdloop.latents.mask import MaskedLatents
from sdloop.models.components.load import Components
from sdloop.pipeline import initial_latents
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

USUAL = {"prompt": "a cat", "seed": 7, "steps": 2, "width": 32, "height": 32}


def make(components: Components, **settings: Any) -> None:
    generate(components, Recipe(**(USUAL | settings)))


def test_a_mask_on_the_cpu(
    gpu: PretendedCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(*, mask: torch.Tensor, **rest: torch.Tensor) -> MaskedLatents:
        return MaskedLatents(mask=mask.cpu(), **rest)

    sketch(32, 32).save(tmp_path / "sketch.png")
    Image.linear_gradient("L").resize((32, 32)).save(tmp_path / "mask.png")
    monkeypatch.setattr(initial_latents, "MaskedLatents", careless)
    with pytest.raises(RuntimeError, match="two devices, cuda:0 and cpu"):
        make(placed(FAMILIES["sd1"](), "cuda", "bf16"), image=str(tmp_path / "sketch.png"),
             mask=str(tmp_path / "mask.png"))  # fmt: skip


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_float32_input_of_a_half_precision_unet(gpu: PretendedCuda, dtype: str) -> None:
    class Wide:
        def __init__(self, unet: Any) -> None:
            self.unet, self.config, self.device = unet, unet.config, unet.device

        dtype = torch.float32

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.unet(*args, **kwargs)

    components = placed(FAMILIES["sd1"](), "cuda", dtype)
    with pytest.raises(RuntimeError, match=r"Input type \(float\)|expected m1 and m2|same dtype"):
        make(replace(components, unet=Wide(components.unet)))


def test_a_generator_of_the_cpu_for_noise_on_the_device(
    gpu: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(generators: Any, *shape: int) -> torch.Tensor:
        rows = [torch.randn((1, *shape), generator=one, device="cuda") for one in generators]
        return torch.cat(rows)

    monkeypatch.setattr(initial_latents, "noise", careless)
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
        make(placed(FAMILIES["sd1"](), "cuda", "bf16"))


def test_time_ids_on_the_cpu(gpu: PretendedCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    right = encode._time_ids
    monkeypatch.setattr(encode, "_time_ids", lambda *given: right(*given).cpu())
    with pytest.raises(RuntimeError, match="two devices, cuda:0 and cpu"):
        make(placed(FAMILIES["sdxl"](), "cuda", "bf16"))


def test_pixels_that_were_not_copied_down(gpu: PretendedCuda) -> None:
    with pytest.raises(RuntimeError, match="can't convert cuda:0 device type tensor to numpy"):
        torch.zeros(3, device="cuda").numpy()


def test_a_number_that_is_read_is_a_wait(gpu: PretendedCuda) -> None:
    latents = torch.ones(3, device="cuda")
    assert not gpu.waits
    for read in (lambda: latents.sum().item(), lambda: bool(latents.all()), latents.tolist):
        gpu.waits.clear()
        read()
        assert sum(gpu.waits.values()) == 1
    gpu.waits.clear()
    torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    assert not gpu.waits
    torch.ones(3).to("cuda", non_blocking=True)  # from ordinary memory
    torch.ones(3).pin_memory().to("cuda")
    latents[torch.tensor([True, False, True])]
    assert sum(gpu.waits.values()) == 4  # twice copied up; the mask copied up, and its size read


def test_weights_of_another_stream_that_was_not_waited_for(gpu: PretendedCuda) -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        weights = torch.ones(4).to("cuda")
    usual: Any = torch.cuda.current_stream()
    with pytest.raises(RuntimeError, match="another stream, which was not waited for"):
        weights * 2
    usual.wait_stream(stream)
    with pytest.raises(RuntimeError, match="another stream"):  # its memory could be used again
        weights * 2
    weights.record_stream(usual)
    assert (weights * 2).sum().item() == 8
