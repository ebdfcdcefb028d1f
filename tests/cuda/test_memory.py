"""Batch sizes from measured memory, and what else has to do with the device's memory."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.controls import save_control
from helpers.pictures import sketch
from helpers.pretended_cuda import PretendedCuda
from helpers.tiny import tiny_sd1

from sdloop.batch import fitting
from sdloop.batch.finish import failures
from sdloop.batch.fitting import largest_batch
from sdloop.images.input.read import open_image
from sdloop.models.clip.load import load_clip
from sdloop.models.components.cache import ModelCache
from sdloop.models.components.control import forget_controlnets
from sdloop.models.components.device import PeakMemory
from sdloop.models.components.load import load_components
from sdloop.pipeline.loaded_model import LoadedModel, loaded_model
from sdloop.pipeline.sample import sampled
from sdloop.recipe.recipe import Recipe

SKETCH = str(Path(__file__).parents[2] / "examples" / "sketch" / "rabbit.png")


@pytest.fixture
def model(gpu: PretendedCuda, tiny_model: Path) -> LoadedModel:
    return loaded_model(load_components(str(tiny_model), device="cuda", dtype="fp32"))


def resolved(model: LoadedModel, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 1, "steps": 2, "width": 32, "height": 32}
    usual |= {"scheduler": "euler"}
    return model.resolved(Recipe(**(usual | settings)), open_image)


def peak_of_run(model: LoadedModel, recipe: Recipe, count: int) -> int:
    peak = PeakMemory(model.components.device)
    batch = [replace(recipe, seed=seed) for seed in range(count)]
    for event in sampled(model, batch, count, open_image):
        del event
    return peak.read() or 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hires": 2.0, "strength": 0.5},
        {"guidance_interval": "0..1"},  # the first steps have half of the rows
        pytest.param({"guidance_schedule": "linear:1..5"}, marks=pytest.mark.slow),
        pytest.param({"image": SKETCH, "strength": 0.7}, marks=pytest.mark.slow),
    ],
    ids=["plain", "hires", "interval", "schedule", "img2img"],
)
def test_what_is_measured_is_the_peak_of_the_whole_plan(
    model: LoadedModel, settings: dict[str, Any]
) -> None:
    recipe = resolved(model, **settings)
    measured = fitting._peak(model, [recipe] * 2, open_image)
    assert measured == pytest.approx(peak_of_run(model, recipe, 2), rel=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        {"controls": True},
        {"image": SKETCH, "strength": 0.5, "steps": 10, "losses": ["blue=9"], "loss_every": 2,
         "loss_mode": "exact"},
    ],
    ids=["control", "loss"],
)  # fmt: skip
def test_what_does_not_act_in_each_step_is_measured_too(
    model: LoadedModel, tmp_path: Path, settings: dict[str, Any]
) -> None:
    if "controls" in settings:
        net = save_control(tiny_sd1(), tmp_path / "net")
        settings = {"controls": [f"{net}={SKETCH}:1:0.5..1"]}
    recipe = resolved(model, **settings)
    try:
        measured = fitting._peak(model, [recipe], open_image)
        assert measured == pytest.approx(peak_of_run(model, recipe, 1), rel=0.02)
    finally:
        forget_controlnets()


def test_outpainting_is_measured_at_its_largest_window(model: LoadedModel, tmp_path: Path) -> None:
    """The first windows are as low as the picture, those above it larger."""
    sketch(16, 16).save(tmp_path / "small.png")
    small = {"image": str(tmp_path / "small.png"), "width": None, "height": None}
    recipe = resolved(model, **small, right=24, up=16, steps=1)
    assert fitting._peak(model, [recipe], open_image) == pytest.approx(
        peak_of_run(model, recipe, 1), rel=0.1
    )


def test_where_two_do_not_fit_it_is_one(
    gpu: PretendedCuda, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not 32, as if two took the memory of one, which halving makes of it."""
    recipe = resolved(model)
    one, two = (fitting._peak(model, [recipe] * count, open_image) or 0 for count in (1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "SHARE", 1.0)  # one must fit, with some room left
        gpu.memory.total = (one + two) // 2
        assert largest_batch(model, recipe, open_image) == 1
    gpu.memory.total = int((two + 2 * (two - one)) / fitting.SHARE) + 1
    assert largest_batch(model, recipe, open_image) == 4


def test_two_can_measure_the_peak_at_the_same_time(gpu: PretendedCuda) -> None:
    """A batch that is decoded while the next one begins keeps its own peak."""
    first = PeakMemory(torch.device("cuda:0"))
    large = torch.zeros(1000, device="cuda")
    del large
    second = PeakMemory(torch.device("cuda:0"))
    small = torch.zeros(10, device="cuda")
    assert (first.read(), second.read()) == (4000, small.nbytes)


def test_a_model_is_loaded_on_its_own_card_alone(gpu: PretendedCuda, tiny_model: Path) -> None:
    """So that the cache is emptied there; ``test_two_cards`` tells in which order."""
    load_components(str(tiny_model), device="cuda:0")
    assert gpu.devices_used == [torch.device("cuda:0")]
    load_clip(device="cuda:0")
    assert gpu.devices_used == [torch.device("cuda:0")] * 2


def test_an_idle_worker_gives_the_memory_of_its_last_call_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    freed: list[int] = []
    monkeypatch.setattr("sdloop.models.memory.free_memory", lambda: freed.append(1))
    for device, times in (("cpu", 0), ("cuda", 1)):
        cache = ModelCache()
        cache._components = SimpleNamespace(  # type: ignore[assignment]
            device=torch.device(device), unet=None
        )
        cache.rest()
        assert len(freed) == times


def test_a_failure_keeps_no_tensors(gpu: PretendedCuda) -> None:
    def attempt() -> None:
        activations = torch.zeros(1000, device="cuda")
        raise RuntimeError(f"no picture of {len(activations)}")

    try:
        attempt()
    except RuntimeError as error:
        failed = failures([], error, together=True)
        kept = error
    assert failed == [] and str(kept) == "no picture of 1000"
    assert gpu.memory.held == 0
