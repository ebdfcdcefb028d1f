"""Listed timesteps and sigmas, and Align Your Steps: equal to diffusers, or a named error."""

import importlib.util
import inspect
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_utils import AysSchedules
from helpers.commands import Command, pixels, work_in
from helpers.crossings import FAMILIES, STEPPING, whole_or_stepping
from helpers.model_facts import Model
from helpers.parity import reference
from helpers.pictures import gradient
from helpers.tiny import tiny_sd1, tiny_sdxl

from sdloop.errors import SettingError
from sdloop.images.input.read import open_image
from sdloop.metadata.picture import read_record
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.pipeline.steps import scheduled
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.align_your_steps import ays
from sdloop.schedulers.names import SCHEDULERS

KNOWS = {
    what: [name for name, entry in SCHEDULERS.items() if what in entry.knows]
    for what in ("timesteps", "sigmas_list", "ays")
}
TIMESTEPS = (999, 850, 500, 199, 24)
SIGMAS = (14.6, 5.5, 1.7, 0.4, 0.0)
TXT2IMG, INSPECT = Command("txt2img", steps=3), Command("inspect")


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "width": 32, "height": 24,
             "guidance_scale": 7.5}  # fmt: skip
    return Recipe(**(usual | settings))


def assert_equal(components: Components, ours: Recipe, theirs: Recipe, **brought: Any) -> None:
    (picture,) = generate(components, ours)
    latents, images = reference(components, theirs, [7], **brought)
    assert torch.equal(picture.latents, latents[0])
    assert np.array_equal(np.asarray(picture.image), np.asarray(images[0]))


def test_the_table_says_who_takes_lists_as_diffusers_does() -> None:
    """Some classes take sigmas for flow models, or for EDM's alone."""
    for name, entry in SCHEDULERS.items():
        if entry.knows & {"descent", "edm"}:
            continue
        takes = inspect.signature(getattr(diffusers, entry.class_name).set_timesteps).parameters
        assert ("timesteps" in takes) == ("timesteps" in entry.knows), name
        assert ("sigmas" in takes and name != "unipc") == ("sigmas_list" in entry.knows), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheduler", KNOWS["timesteps"])
def test_timesteps_are_those_of_diffusers_pipelines(family: str, scheduler: str) -> None:
    wanted = recipe(scheduler=scheduler, timesteps=TIMESTEPS)
    assert wanted.steps == 5
    assert_equal(whole_or_stepping(scheduler, family, FAMILIES, STEPPING), wanted, wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_sigmas_are_those_of_diffusers_pipelines(family: str) -> None:
    wanted = recipe(scheduler="euler", sigmas_list=SIGMAS)
    assert wanted.steps == 4
    assert_equal(FAMILIES[family](), wanted, wanted)


# Not Heun's, of whose list diffusers' pipeline counts each look as a step.
@pytest.mark.parametrize("scheduler", ["euler", "dpmpp-2m"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_starts_within_a_list(
    family: str, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = gradient(32, 24)
    image.save("photo.png")
    wanted = recipe(
        scheduler=scheduler, timesteps=TIMESTEPS, strength=0.6, image="photo.png", seed=7
    )
    components = STEPPING[family]()
    (picture,) = generate(components, wanted, open_image=open_image)
    assert len(set(picture.sigmas)) == 3
    assert_equal(components, wanted, wanted, image=image)


@pytest.mark.parametrize(
    ("family", "table"), [("sd1", "StableDiffusion"), ("sdxl", "StableDiffusionXL")]
)
@pytest.mark.parametrize("scheduler", KNOWS["ays"])
def test_ten_steps_of_ays_are_diffusers_table(family: str, table: str, scheduler: str) -> None:
    ours = recipe(scheduler=scheduler, sigmas="ays", steps=10)
    listed = {"sigmas_list": AysSchedules[f"{table}Sigmas"]}
    if scheduler != "euler":
        listed = {"timesteps": AysSchedules[f"{table}Timesteps"]}
    assert_equal(STEPPING[family](), ours, recipe(scheduler=scheduler, **listed))


@pytest.mark.parametrize("sdxl", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 40])
def test_ays_is_interpolated_for_other_steps(steps: int, sdxl: bool) -> None:
    levels = ays(steps, sdxl=sdxl)
    assert len(levels) == steps + 1
    assert levels[0] == pytest.approx(14.615)
    assert levels[-1] == 0
    assert all(one > following for one, following in pairwise(levels))
    if steps == 20:  # every second one is the table's
        assert levels[:-1:2] == pytest.approx(ays(10, sdxl=sdxl)[:-1])


def test_timesteps_too_near_for_ays_are_refused() -> None:
    with pytest.raises(SettingError, match="steps must be fewer for sigmas 'ays', got 500"):
        generate(tiny_sd1(), recipe(scheduler="dpmpp-2m", sigmas="ays", steps=500))


def test_a_list_takes_the_place_of_the_checkpoints_own_spacing() -> None:
    karras = {**tiny_sdxl().scheduler_config, "use_karras_sigmas": True}
    components = replace(tiny_sdxl(), scheduler_config=karras)
    resolved = resolve(recipe(timesteps=TIMESTEPS), components)
    assert (resolved.scheduler, resolved.sigmas) == ("euler", None)
    assert tuple(scheduled(resolved, components)[1].tolist()) == TIMESTEPS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timesteps": (999, 500), "steps": 3}, "steps must be 2 to agree with timesteps, got 3"),
        ({"sigmas_list": SIGMAS, "steps": 5}, "steps must be 4 to agree with sigmas_list, got 5"),
        ({"timesteps": (500, 500)}, "timesteps must decrease, got 500 after 500"),
        ({"timesteps": (5, 9)}, "timesteps must decrease, got 9 after 5"),
        ({"timesteps": ()}, r"timesteps must be a list of at least 1 numbers, got \(\)"),
        ({"timesteps": "999"}, "timesteps must be a list of at least 1 numbers, got '999'"),
        ({"timesteps": (9.5,)}, "timesteps must be a whole number, got 9.5"),
        ({"timesteps": (-1,)}, "timesteps must be at least 0, got -1"),
        ({"timesteps": tuple(range(1001, 0, -1))}, "timesteps must have at most 1000 numbers"),
        ({"sigmas_list": (3.0, 1.0)}, "sigmas_list must end with 0 .*got 1 at the end"),
        ({"sigmas_list": (0.0,)}, "sigmas_list must be a list of at least 2 numbers"),
        ({"sigmas_list": (1.0, 2.0, 0.0)}, "sigmas_list must decrease, got 2 after 1"),
        ({"sigmas_list": (float("nan"), 0.0)}, "sigmas_list must be a finite number, got nan"),
        (
            {"timesteps": (1,), "sigmas_list": (1.0, 0.0)},
            "timesteps cannot be combined with sigmas_list",
        ),
        ({"timesteps": (1,), "sigmas": "karras"}, "sigmas cannot be combined with timesteps"),
        (
            {"timesteps": (1,), "scheduler": "Euler Karras"},
            "sigmas cannot be combined with timesteps",
        ),
        (
            {"sigmas_list": SIGMAS, "timestep_spacing": "leading"},
            "timestep_spacing cannot be combined with",
        ),
        (
            {"timesteps": (9, 1), "exact_steps": True},
            "exact_steps cannot be combined with timesteps",
        ),
        ({"timesteps": (1,), "scheduler": "ddim"}, "timesteps has no effect with the scheduler dd"),
        (
            {"sigmas_list": SIGMAS, "scheduler": "heun"},
            "sigmas_list has no effect .* works with euler$",
        ),
        (
            {"sigmas": "ays", "scheduler": "lms"},
            "sigmas has no effect .*'ays'.* works with ddpm, euler, h",
        ),
    ],
    ids=str,
)
def test_lists_that_cannot_be_followed_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Recipe(prompt="", seed=0, **settings)


def test_what_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(SettingError, match="timesteps must be less than the model's 1000"):
        resolve(recipe(timesteps=(1000, 1)), Model())
    ddim = Model(scheduler_config={"_class_name": "DDIMScheduler"})
    with pytest.raises(SettingError, match="timesteps has no effect with the scheduler ddim"):
        resolve(recipe(timesteps=(999, 1)), ddim)


def test_steps_follow_from_lists_or_else_from_the_model() -> None:
    assert Recipe(prompt="", seed=0).steps is None
    assert resolve(Recipe(prompt="", seed=0), Model()).steps == 25
    assert resolve(Recipe(prompt="", seed=0), Model(steps=4)).steps == 4
    listed = recipe(timesteps=(900, 1))
    assert listed.steps == 2
    assert Recipe.from_dict(listed.to_dict()) == listed
    assert recipe(timesteps=[900, 1]) == listed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


def test_from_flags_to_the_file_and_back(here: Path) -> None:
    flags = ["a cat", "--seed", "3", "--size", "32x32", "--scheduler", "euler"]
    assert TXT2IMG.run(*flags, "--timesteps", "900, 500,100", "-o", "a.png").exit_code == 0
    record = read_record(Path("a.png"))
    assert record.recipe is not None
    assert (record.recipe.timesteps, record.recipe.steps) == ((900, 500, 100), 3)
    assert len(record.made["sigmas"]) == 3
    (line,) = TXT2IMG.plan(*flags, "--timesteps", "900,500,100")
    assert line["timesteps"] == [900, 500, 100]
    assert TXT2IMG.run(*flags, "--sigmas-list", "14.6,2,0.5,0", "-o", "b.png").exit_code == 0
    assert pixels("a.png") != pixels("b.png")
    assert TXT2IMG.make(*flags, "--sigmas", "ays", "-o", "c.png") == ["c.png"]
    assert record.fields["Steps"] == "3"
    assert read_record(Path("c.png")).fields["Schedule type"] == "Align Your Steps"


def test_what_is_named_nearer_decides_where_the_steps_lie(here: Path) -> None:
    Path("a.toml").write_text('scheduler = "euler"\ntimesteps = [900, 100]\n')
    Path("b.toml").write_text('scheduler = "euler"\nsteps = 30\nsigmas = "karras"\n')
    (line,) = TXT2IMG.plan("a cat", "--seed", "3", "--config", "a.toml", "--steps", "4")
    assert line["steps"] == 4
    assert "timesteps" not in line
    (line,) = TXT2IMG.plan("a cat", "--seed", "3", "--config", "b.toml", "--sigmas-list", "9,1,0")
    assert (line["steps"], line["sigmas_list"]) == (2, [9.0, 1.0, 0.0])
    assert "sigmas" not in line


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--timesteps", "9,x"], "timesteps must be a whole number, got 'x'"),
        (["--sigmas-list", "9,,0"], "sigmas_list must be a number, got ''"),
        (["--timesteps", "9,1", "--steps", "3"], "steps must be 2 to agree with timesteps, got 3"),
        (
            ["--timesteps", "9,1", "--scheduler", "ddim"],
            "timesteps has no effect with the scheduler ddim",
        ),
    ],
    ids=str,
)
def test_bad_lists_are_refused(here: Path, flags: list[str], complaint: str) -> None:
    assert TXT2IMG.refused("a cat", *flags).startswith(complaint)


def test_inspect_schedule_shows_them(here: Path) -> None:
    def told(*flags: str) -> list[str]:
        result = INSPECT.run("schedule", "--scheduler", "euler", *flags)
        assert result.exit_code == 0, result.stderr
        return result.stdout.splitlines()

    listed = told("--timesteps", "900,500")
    assert listed[0] == "euler as listed, 2 UNet calls"
    assert [line.split()[1] for line in listed[2:]] == ["900", "500"]
    sigmas = told("--sigmas-list", "14.6,2,0")
    assert [line.split()[2] for line in sigmas[2:]] == ["14.6", "2"]
    assert told("--sigmas", "ays", "--steps", "10")[0] == "euler ays, 10 UNet calls"
    descent = INSPECT.run("schedule", "--scheduler", "sgd", "--steps", "4").stdout.splitlines()
    assert [line.split()[2] for line in descent[2:]] == ["14.6", "10.22", "7.154", "5.0078"]


@pytest.mark.parametrize(
    ("flags", "package"),
    [
        (["--scheduler", "lms"], "scipy"),
        (["--scheduler", "euler", "--sigmas", "beta"], "scipy"),
        (["--scheduler", "dpmpp-sde"], "torchsde"),
    ],
    ids=str,
)
def test_a_missing_package_is_told_while_planning(
    here: Path, flags: list[str], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == package else find(name, *rest),
    )
    message = TXT2IMG.refused("a cat", *flags, "--dry-run")
    assert f"needs {package}: pip install 'sdloop[schedulers]'" in message


def test_a_checkpoints_own_scheduler_may_miss_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = Model(scheduler_config={"_class_name": "LMSDiscreteScheduler"})
    with pytest.raises(SettingError, match="the scheduler LMSDiscreteScheduler needs scipy"):
        resolve(recipe(), model)
