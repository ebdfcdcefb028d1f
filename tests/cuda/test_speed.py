"""``measure_speed``: its numbers belong together."""

import pytest
import torch
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.placed import placed
from helpers.tiny import tiny_sd1

from sdloop.inspection import speed
from sdloop.inspection.speed import measure_speed
from sdloop.recipe.recipe import Recipe

RECIPE = Recipe(prompt="a cat", seed=1, steps=2, width=16, height=16, scheduler="euler")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_ROUNDS", 1)
    monkeypatch.setattr(speed, "_SIDE", 64)


def test_its_numbers_belong_together() -> None:
    one = measure_speed(tiny_sd1(), RECIPE, 1)
    assert one.waits is None
    assert one.pictures_per_second == pytest.approx(1 / (2 * one.step + one.decoding))
    assert one.overhead == pytest.approx(one.step / one.bare_step - 1)
    assert one.share == pytest.approx(
        one.flops_per_picture * one.pictures_per_second / one.device_flops
    )
    two = measure_speed(tiny_sd1(), RECIPE, 2)
    assert two.flops_per_picture == pytest.approx(one.flops_per_picture)


def test_the_work_of_a_picture_is_counted_once_for_each_row() -> None:
    unet = tiny_sd1()
    without = speed._flops_of_unet(unet, 1, 8, 8)
    assert speed._flops_of_unet(unet, 2, 8, 8) == 2 * without > 0


def test_on_a_gpu_its_waits_are_counted(
    gpu: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    found = measure_speed(placed(tiny_sd1(), "cuda", "bf16"), RECIPE, 1)
    assert found.waits == 0 and found.peak_memory
    assert modes == ["warn", 0]
