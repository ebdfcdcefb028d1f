"""Everything that makes pictures, on the pretended device: to the bit as on the CPU.

Each case runs with one family and precision. ``-m slow`` runs those that share their way with
others, and crosses all with each family and precision.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.crossings import FAMILIES, INPAINTING
from helpers.ldm import ldm_vae, save_ldm_file
from helpers.loras import lora_pairs, save_kohya
from helpers.pictures import sketch
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.placed import DTYPES, placed
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_upscaler
from safetensors.torch import save_file
from torch import Tensor
from torch._decomp.decompositions import _replication_pad
from torch.nn import functional

from sdloop.animation.read import open_frames
from sdloop.animation.write import write_moving
from sdloop.latents import vae_memory
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.device import set_arithmetic
from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.animate import Frame, animate
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

usual_pad = functional.pad

pytestmark = pytest.mark.usefixtures("files")

USUAL = {"prompt": "a cat", "steps": 2, "width": 32, "height": 32, "scheduler": "euler"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A Recipe's settings, and what it is run with unless all are crossed."""

    family: str = "sd1"
    dtype: str = "bf16"
    settings: Mapping[str, Any] = field(default_factory=dict)
    inpainting: bool = False
    quick: bool = True


_EXACT = {"losses": ["smooth=9"], "loss_mode": "exact", "loss_every": 1}
CASES = {
    "txt2img": Case(dtype="fp16"),
    "ancestral": Case(family="sd2", settings={"scheduler": "euler-a"}),
    "philox": Case(quick=False, settings={"scheduler": "dpmpp-2m-sde", "rng": "philox"}),
    "img2img": Case(family="sdxl", settings={"image": "sketch.png", "strength": 0.9}),
    "inpaint": Case(family="sd2", settings={"image": "sketch.png", "mask": "mask.png"}),
    "inpaint9": Case(
        family="sdxl", inpainting=True, settings={"image": "sketch.png", "mask": "mask.png"}
    ),
    "outpaint": Case(
        quick=False, settings={"image": "sketch.png", "right": 8, "width": None, "height": None}
    ),
    "mix": Case(family="sdxl", dtype="fp32", settings={"mix_prompts": ["a dog"]}),
    "and": Case(quick=False, family="sd2", settings={"prompt": "a cat AND a dog :0.5"}),
    "change": Case(quick=False, settings={"prompt": "a [cat:dog:0.5] (in a park:1.3)"}),
    "hires": Case(family="sd2", settings={"hires": 1.5, "strength": 0.9}),
    "hires-latent": Case(
        quick=False, dtype="fp32", settings={"hires": 1.5, "strength": 0.9, "enlarge": "latent"}
    ),
    "tile": Case(family="sdxl", settings={"width": 48, "tile": 32}),
    "lora": Case(family="sdxl", settings={"loras": "lora"}),
    "weakened": Case(
        quick=False,
        settings={"pag_scale": 2.0, "pag_layers": "mid", "slg_scale": 1.0, "slg_layers": "mid"},
    ),
    "reuse": Case(family="sd2", settings={"reuse": 2, "scheduler": "euler-a", "tile": 16}),
    "seamless": Case(family="sd2", settings={"seamless": "x", "hires": 1.5, "strength": 0.9}),
    "apg": Case(quick=False, dtype="fp32", settings={"guidance": "apg"}),
    "threshold": Case(quick=False, settings={"guidance": "threshold", "guidance_rescale": 0.5}),
    "cfg++": Case(settings={"guidance": "cfg++", "guidance_scale": 0.6}),
    "cheap": Case(family="sdxl", settings={"losses": ["blue=9", "palette=red,gold:9"]}),
    "like": Case(quick=False, dtype="fp32", settings={"losses": ["like=sketch.png,ssim:2"]}),
    "exact": Case(family="sd2", dtype="fp32", settings=_EXACT),
}


def model(family: str, inpainting: bool = False) -> Components:
    return INPAINTING[f"{family}-inpainting"]() if inpainting else FAMILIES[family]()


@cache
def on(device: str, family: str, inpainting: bool, dtype: str) -> Components:
    """The model there; no case changes it."""
    return placed(model(family, inpainting), device, dtype)


def recipes(components: Components, settings: Mapping[str, Any]) -> list[Recipe]:
    """One picture, or two that share a batch."""
    if settings.get("loras") == "lora":
        file = save_kohya(lora_pairs(components), Path("lora.safetensors"))
        settings = {**settings, "loras": [f"{file}:0.8"]}
    seeds = (7, 8) if settings.get("scheduler") else (7,)
    return [Recipe(seed=seed, **(USUAL | dict(settings))) for seed in seeds]


def pad(tensor: Tensor, sides: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """As torch pads on CUDA where it was asked for deterministic kernels.

    The gradients of border pixels are summed in another order then: losses see it in the last bit.
    """
    if mode == "replicate":
        return _replication_pad(tensor, sides)
    return usual_pad(tensor, sides, mode, value)


def same(cpu: Components, cuda: Components, wanted: list[Recipe]) -> None:
    """The pictures of the device are the CPU's, to the bit."""
    with mock.patch.object(functional, "pad", pad):
        here = generate(cpu, wanted, batch_size=2)
    there = generate(cuda, wanted, batch_size=2)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.latents, other.latents)
        assert one.image.tobytes() == other.image.tobytes()
        assert one.sigmas == other.sigmas


def run(case: Case, family: str, dtype: str) -> None:
    set_arithmetic(torch.device("cuda"), dtype)  # which loading a model does, in each test anew
    cpu, cuda = (on(device, family, case.inpainting, dtype) for device in ("cpu", "cuda"))
    same(cpu, cuda, recipes(cpu, case.settings))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if case.quick else pytest.mark.slow)
     for name, case in CASES.items()],
)  # fmt: skip
def test_pictures_are_those_of_the_cpu(gpu: PretendedCuda, name: str) -> None:
    case = CASES[name]
    run(case, case.family, case.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CASES)
def test_in_every_family_and_precision(
    gpu: PretendedCuda, name: str, family: str, dtype: str
) -> None:
    run(CASES[name], family, dtype)


def test_the_upscaler(gpu: PretendedCuda) -> None:
    settings = {"image": "sketch.png", "width": 128, "height": 128, "noise_level": 20}
    cpu, cuda = (placed(tiny_upscaler(), device, "bf16") for device in ("cpu", "cuda"))
    same(cpu, cuda, [Recipe(seed=7, **(USUAL | settings))])


def test_tiles_of_the_vae_in_both_directions(
    gpu: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae_memory, "WHOLE_PIXELS", 32 * 32)
    monkeypatch.setattr(vae_memory, "TILE", 32)
    settings = {"width": 48, "image": "sketch.png", "strength": 0.9}
    run(Case(settings=settings), "sd1", "bf16")


def test_a_single_file_with_another_vae(gpu: PretendedCuda, files: Path) -> None:
    save_diffusers_folder(tiny_sd1(), files / "layout")
    save_ldm_file(tiny_sd1(seed=3), files / "model.safetensors")
    save_file(ldm_vae(tiny_sd1(seed=5)), files / "vae.safetensors")
    found = find_checkpoint(
        str(files / "model.safetensors"),
        layout=files / "layout",
        vae=str(files / "vae.safetensors"),
    )
    here, there = (
        generate(load_components(found, device=device, dtype="bf16"), Recipe(seed=7, **USUAL))[0]
        for device in ("cpu", "cuda")
    )
    assert here.image.tobytes() == there.image.tobytes()
    assert (here.environment.device, there.environment.device) == ("cpu", "cuda:0")


def test_an_animation(gpu: PretendedCuda, files: Path) -> None:
    frames = (sketch(32, 32).rotate(angle) for angle in (0, 30))
    write_moving(files / "roll.gif", frames, durations=iter([0.1, 0.1]))
    wanted = Recipe(seed=7, **(USUAL | {"strength": 0.9}))
    made = [
        [event.image.tobytes() for event in animate(
            on(device, "sd1", False, "bf16"), open_frames(["roll.gif"]), wanted, carry=0.3
        ) if isinstance(event, Frame)]
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    assert made[0] == made[1] and len(set(made[0])) == 2
