"""Within the loop, the CPU does not wait for the GPU: its queue of work would run empty."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.controls import save_adapter, save_control
from helpers.crossings import DESCENTS, FAMILIES, NAMES
from helpers.image_adapters import save_image_adapter
from helpers.pictures import sketch
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.placed import placed, with_formula
from PIL import Image

from sdloop.errors import SamplingError
from sdloop.images.input.read import open_image
from sdloop.latents.vae import decode_images
from sdloop.loop import Step
from sdloop.models.components.control import forget_controlnets
from sdloop.models.components.image_adapter import forget_image_adapters
from sdloop.pipeline import passes
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.loaded_model import LoadedModel, loaded_model
from sdloop.pipeline.sample import sampled
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.sending import Late

# torch's ASGD keeps its count of steps on the device, and reads it to compute its step sizes.
WAITS = {"asgd": 1}

MASKED = ["euler", "ddim", "dpmpp-2m", "dpmpp-sde", "unipc", "lcm", "adam"]
LOSSES = ["blue=1", "brightness=1", "palette=red,gold:1", "like=sketch.png,ssim:1", "symmetry=1"]


def recipe(scheduler: str, steps: int = 3, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 7, "width": 16, "height": 16}
    return Recipe(scheduler=scheduler, steps=steps, **(usual | settings))


@pytest.fixture
def model(gpu: PretendedCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.chdir(tmp_path)
    sketch(16, 16).save("sketch.png")
    Image.linear_gradient("L").resize((16, 16)).save("mask.png")
    return loaded_model(placed(with_formula(FAMILIES["sd1"]()), "cuda", "fp32"))


def waits(gpu: PretendedCuda, model: LoadedModel, wanted: Recipe) -> Counter[Any]:
    before, resolved = Counter(gpu.waits), model.resolved(wanted, open_image)
    for event in sampled(model, [resolved], 1, open_image):
        del event
    return gpu.waits - before


def per_step(gpu: PretendedCuda, model: LoadedModel, name: str, settings: Mapping[str, Any]) -> Any:
    """How often it waits in each of the steps that two more make."""
    if name in DESCENTS:
        settings = {**settings, "stop_noise": 0.0}
    few, more = (waits(gpu, model, recipe(name, steps, **settings)) for steps in (3, 5))
    return {place: count / 2 for place, count in (more - few).items()}


def test_no_scheduler_waits(gpu: PretendedCuda, model: LoadedModel) -> None:
    waits(gpu, model, recipe("euler"))  # encodes the prompts
    for name in (*NAMES, *DESCENTS):
        found = per_step(gpu, model, name, {})
        assert sum(found.values()) == WAITS.get(name, 0), f"{name}: {found}"


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (MASKED, {"image": "sketch.png", "mask": "mask.png"}),
        (["euler", "adam"], {"losses": LOSSES, "loss_every": 1}),
    ],
    ids=["mask", "losses"],
)
def test_neither_masks_nor_losses_wait(
    gpu: PretendedCuda, model: LoadedModel, names: list[str], settings: dict[str, Any]
) -> None:
    waits(gpu, model, recipe("euler", **settings))
    for name in names:
        found = per_step(gpu, model, name, settings)
        assert not found, f"{name}: {found}"


@pytest.mark.parametrize("name", ["controls", "t2i_adapters", "image_prompts", "regions"])
def test_nor_does_what_steers_with_pictures(gpu: PretendedCuda, files: Path, name: str) -> None:
    """With a real UNet, which these look into."""
    components = FAMILIES["sd1"]()
    settings: Any = {
        "controls": lambda: {"controls": [f"{save_control(components, Path('net'))}=sketch.png"]},
        "t2i_adapters": lambda: {
            "t2i_adapters": [f"{save_adapter(components, Path('t2i'))}=sketch.png"]
        },
        "image_prompts": lambda: {
            "ip_adapter": str(save_image_adapter(components, Path("ip/plus.safetensors"), "plus")),
            "image_prompts": ["sketch.png:0.8", "sketch.png=0,0,0.5,1"],
        },
        "regions": lambda: {"regions": ["a dog=0,0,0.5,1"]},
    }[name]()
    model = loaded_model(placed(components, "cuda", "fp32"))
    try:
        for scheduler in ("euler-a", "unipc"):
            found = per_step(gpu, model, scheduler, settings)
            assert not found, f"{scheduler}: {found}"
    finally:
        forget_controlnets()
        forget_image_adapters()


def test_a_wait_within_a_step_would_be_seen(gpu: PretendedCuda, model: LoadedModel) -> None:
    """Without the means of ``schedulers.sending``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "without_waits", lambda *_: None)
        waits(gpu, model, recipe("euler"))
        found = [per_step(gpu, model, name, {}) for name in ("euler-a", "dpmpp-sde", "unipc")]
    # UniPC's seventh is the error code of a solved system of equations.
    assert [sum(each.values()) for each in found] == [1, 0, 7]


def test_an_optimiser_stops_one_step_late_with_the_same_picture(gpu: PretendedCuda) -> None:
    components = with_formula(FAMILIES["sd1"]())
    wanted = recipe("sgd", 8, stop_noise=4.0)
    here, there = (
        list(stream(placed(components, device, "fp32"), wanted)) for device in ("cpu", "cuda")
    )
    steps = [[event for event in events if isinstance(event, Step)] for events in (here, there)]
    assert len(steps[0]) < 7
    assert len(steps[1]) == len(steps[0]) + 1
    assert [one[-1].total for one in steps] == [len(one) for one in steps]
    assert torch.equal(here[-1].latents, there[-1].latents)
    assert here[-1].sigmas == there[-1].sigmas


@pytest.mark.parametrize("every", [1, 9])
def test_a_loss_that_destroys_the_picture_is_refused_in_the_end_at_the_latest(
    gpu: PretendedCuda, every: int
) -> None:
    components = placed(with_formula(FAMILIES["sd1"]()), "cuda", "fp32")
    with pytest.raises(SamplingError, match="times their own size at sigma 14"):
        generate(components, recipe("euler", losses=["blue=1e6"], loss_every=every))


def test_a_late_value_is_that_of_the_call_before(gpu: PretendedCuda) -> None:
    late: Late[str] = Late()
    ones = torch.ones(2, device="cuda")
    assert late(ones, "first") == []
    ((value, about),) = late(2 * ones, "second")
    assert (value.tolist(), about) == ([1, 1], "first")
    ((value, about),) = late.rest()
    assert (value.tolist(), about) == ([2, 2], "second")
    assert late.rest() == []
    assert not gpu.waits


def test_a_quarter_of_the_bytes_comes_down(gpu: PretendedCuda) -> None:
    """Pictures are rounded to levels on the device, and checked there."""
    components = placed(FAMILIES["sd1"](), "cuda", "fp32")
    gpu.waits.clear()
    decode_images(components.vae, torch.zeros(1, 4, 8, 8, device="cuda"))
    assert sum(gpu.waits.values()) == 2  # the levels, and whether all were finite
    assert gpu.memory.bytes_down == 16 * 16 * 3
