"""``--memory auto`` goes by the most demanding picture of a plan, in each process of its own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from helpers.commands import Command, work_in
from helpers.loras import lora_pairs, save_kohya
from helpers.pools import Here
from helpers.pretended_cuda import PretendedCuda
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sd2

from sdloop.batch.command_settings import CommandSettings
from sdloop.cli.make import batch_run, unit_runner
from sdloop.cli.make.model import with_memory
from sdloop.errors import ModelError
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.load import without_numbers
from sdloop.pipeline.demanding import most_demanding
from sdloop.pipeline.memory import needs_for
from sdloop.recipe.recipe import Recipe

BATCH = Command("batch")
SMALL = {"prompt": "a cat", "seed": 7, "width": 32, "height": 32}
LARGE = SMALL | {"width": 48, "height": 48}


class OnCard(Here):
    """As ``--gpus 0`` and an actor of Ray have it."""

    def __init__(self, where: object, settings: Any) -> None:
        command = replace(settings.command, device="cuda:0")
        super().__init__(where, replace(settings, command=command))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual one, in a folder of this test: no other test gets it from this card."""
    for name in ("LocalPool", "RayPool"):
        monkeypatch.setattr(batch_run, name, OnCard)
    place = work_in(tmp_path / "work", monkeypatch, tmp_path / "model")
    return save_diffusers_folder(tiny_sd1(), place.parent / "model")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The memory with which each model was to be loaded; none is."""
    found: dict[str, str] = {}

    def loaded(checkpoint: Checkpoint, command: CommandSettings, recipes: Any = ()) -> NoReturn:
        if recipes:
            command = with_memory(checkpoint, command, recipes)
        assert found.setdefault(Path(checkpoint.name).name, command.memory) == command.memory
        raise ModelError("it is not loaded in this test")

    monkeypatch.setattr(unit_runner, "loaded", loaded)
    return found


def run(*plan: dict[str, Any], flags: tuple[str, ...] = ("--gpus", "0")) -> str:
    """What it says."""
    Path("plan.jsonl").write_text("".join(json.dumps(one) + "\n" for one in plan))
    done = BATCH.run("--from-file", "plan.jsonl", "--outdir", "out", "--dtype", "bf16", *flags)
    return done.stderr


def room_for(gpu: PretendedCuda, model: Path, full: dict[str, Any], low: dict[str, Any]) -> None:
    """As much memory as the model needs for the picture ``full``, or for ``low`` with "low"."""
    sizes = without_numbers(find_checkpoint(str(model)), torch.bfloat16, fp8=False)
    usual = {"steps": 1, "guidance_scale": 7.5}
    needs = [needs_for(sizes, Recipe(**(usual | settings))) for settings in (full, low)]
    room = max(needs[0].peak("full"), needs[1].peak("low"))
    assert room < needs[1].peak("full")
    gpu.memory.total = int(room * 1.13)


@pytest.mark.parametrize("flags", [("--gpus", "0"), ("--on", "ray")], ids=["gpus", "on"])
def test_one_that_comes_later_decides(
    gpu: PretendedCuda, model: Path, chosen: dict[str, str], flags: tuple[str, ...]
) -> None:
    room_for(gpu, model, SMALL, LARGE)
    run(SMALL, SMALL | {"seed": 8}, flags=flags)
    assert chosen.pop("model") == "full"
    run(SMALL, LARGE, flags=flags)
    assert chosen.pop("model") == "low"
    run(SMALL, LARGE, flags=(*flags, "--memory", "lowest"))
    assert chosen == {"model": "lowest"}


def test_each_model_goes_by_its_own(
    gpu: PretendedCuda, model: Path, chosen: dict[str, str]
) -> None:
    save_diffusers_folder(tiny_sd2(), Path("other"))
    room_for(gpu, model, SMALL, LARGE)
    other = SMALL | {"model": "./other"}
    run(other, SMALL, LARGE)
    run(SMALL, LARGE, other)
    assert chosen == {"other": "full", "model": "low"}


def test_a_picture_that_cannot_be_read_does_not_count(
    gpu: PretendedCuda, model: Path, chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is gone when the process starts; in its turn it says so."""
    lora = save_kohya(lora_pairs(tiny_sd1()), Path("lora.safetensors"))
    start = OnCard.start
    monkeypatch.setattr(OnCard, "start", lambda self: [lora.rename("gone"), start(self)][1])
    room_for(gpu, model, SMALL, LARGE)
    gone = SMALL | {"loras": [{"name": str(lora), "scale": 1.0}]}
    assert "it is not loaded in this test" in run(SMALL, LARGE, gone)
    assert chosen == {"model": "low"}
    Path("gone").rename(lora)
    assert "there is no file lora.safetensors" in run(gone, SMALL, LARGE)


def test_of_each_kind_the_largest() -> None:
    """Of each model, too; and what changes no memory makes no kind."""
    plan = [
        Recipe(prompt="a cat", seed=seed, width=width, height=64, **settings)
        for seed, (width, settings) in enumerate([
            (64, {}), (128, {"steps": 9}), (64, {"scheduler": "ddim"}),
            (64, {"guidance_scale": 1.0}), (64, {"model": "other"}), (96, {"model": "other"}),
        ])
    ]  # fmt: skip
    assert [one.seed for one in most_demanding(plan, lambda one: one)] == [1, 3, 5]
