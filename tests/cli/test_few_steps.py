"""Presets and models for a few steps on the command line: what is chosen, and what is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from helpers.loras import lora_pairs, save_kohya
from helpers.pictures import sketch
from helpers.tiny import (
    save_diffusers_folder,
    tiny_sd1,
    with_guidance_input,
    write_json,
)

import sdloop
from sdloop.metadata.picture import read_record

TXT2IMG, IMG2IMG, BATCH, RERUN = map(Command, ("txt2img", "img2img", "batch", "rerun"))
LCM = {"_class_name": "LCMScheduler", "original_inference_steps": 50}
FIELDS = ("steps", "guidance_scale", "scheduler", "timestep_spacing")


@pytest.fixture
def workshop(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


def chosen(recipe: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(recipe.get(name) for name in FIELDS)


def test_a_preset_is_said_and_leaves_only_its_fields(workshop: Path) -> None:
    result = TXT2IMG.run("a cat", "--preset", "lightning:2", "--seed", "4", "-o", "cat.png")
    assert result.exit_code == 0, result.stderr
    said = "preset lightning:2 sets steps 2, scheduler euler, guidance_scale 1, timestep_spacing "
    assert said + "trailing\n" in result.stderr
    recipe = read_record(Path("cat.png")).recipe
    assert recipe is not None
    assert chosen(recipe.to_dict()) == (2, 1.0, "euler", "trailing")
    assert "preset" not in Path("cat.png").read_bytes().decode("latin-1")
    (again,) = RERUN.plan("cat.png")
    assert chosen(again) == (2, 1.0, "euler", "trailing")
    (other,) = RERUN.plan("cat.png", "--preset", "hyper:2")
    assert chosen(other) == (2, 1.0, "ddim", "trailing")


def test_flags_win_over_it_and_it_over_a_settings_file(workshop: Path) -> None:
    Path("own.toml").write_text('steps = 30\nscheduler = "dpmpp-2m"\nsigmas = "karras"\n')
    preset = ("--preset", "hyper:4", "--config", "own.toml")
    (recipe,) = TXT2IMG.plan("a cat", *preset, "--seed", "4")
    assert chosen(recipe) == (4, 1.0, "ddim", "trailing")
    (recipe,) = TXT2IMG.plan("a cat", *preset, "--seed", "4", "--steps", "6", "-g", "2")
    assert chosen(recipe) == (6, 2.0, "ddim", "trailing")
    Path("own.toml").write_text('preset = "lcm:8"\nguidance_scale = 1.5\n')
    (recipe,) = TXT2IMG.plan("a cat", "--config", "own.toml", "--steps", "5", "--seed", "4")
    assert chosen(recipe) == (5, 1.5, "lcm", None)


def test_wrong_presets_are_refused_by_name(workshop: Path) -> None:
    message = TXT2IMG.refused("a cat", "--preset", "lightning:3")
    assert message == (
        "preset lightning must be one of lightning:1, lightning:2, lightning:4, lightning:8, "
        "got 'lightning:3'"
    )
    Path("own.toml").write_text('preset = "fast"\n')
    assert "own.toml: preset must be one of turbo, lcm, lightning, hyper, got 'fast'" in (
        TXT2IMG.refused("a cat", "--config", "own.toml")
    )


def test_it_starts_from_a_picture_with_a_step_to_run(workshop: Path) -> None:
    sketch(64, 64).save("a.png")
    (recipe,) = IMG2IMG.plan("a.png", "a cat", "--preset", "turbo", "--strength", "0.5")
    assert chosen(recipe) == (2, 1.0, "euler-a", "trailing")
    (recipe,) = Command("inpaint").plan("a.png", "a cat", "--mask", "a.png", "--preset", "turbo")
    assert recipe["steps"] == 1
    Path("frames").mkdir()
    for name in ("1.png", "2.png"):
        sketch(64, 64).save(f"frames/{name}")
    frames = Command("animate").run("frames", "a cat", "--preset", "turbo", "-o", "{steps}.gif")
    assert frames.exit_code == 0, frames.stderr
    assert frames.stdout == "2.gif\n"
    assert "strength 0.75: 1 of 2 steps" in frames.stderr
    larger = TXT2IMG.run("a cat", "--preset", "turbo", "--hires", "2", "--seed", "4")
    assert larger.exit_code == 0, larger.stderr
    assert "hires 2: 64x64, strength 0.5: 1 of 2 steps" in larger.stderr
    grown = Command("outpaint").run("a.png", "a cat", "--preset", "turbo", "--right", "8")
    assert grown.exit_code == 0, grown.stderr
    recipes = Command("mix").plan("a cat", "a dog", "--weight", "0.5", "--preset", "lcm")
    assert [chosen(one) for one in recipes] == [(4, 1.0, "lcm", None)]


def test_presets_in_batches(workshop: Path) -> None:
    recipes = BATCH.plan("a cat", "--sweep", "preset=lcm:4,lcm:8,hyper:2", "--seed", "4")
    assert [(one["steps"], one["scheduler"]) for one in recipes] == [
        *((4, "lcm"), (8, "lcm"), (2, "ddim")),
    ]
    assert [one["output"].removesuffix(".png")[-7:] for one in recipes] == [
        *("4-lcm-4", "4-lcm-8", "-ddim-2"),
    ]
    sweep = ("--sweep", "preset=lcm,hyper", "--guidance-scale", "2", "--seed", "4")
    assert {one["guidance_scale"] for one in BATCH.plan("a cat", *sweep)} == {2.0}
    swept = BATCH.plan("a cat", "--preset", "lcm", "--sweep", "steps=2,3", "--seed", "4")
    assert [chosen(one) for one in swept] == [(2, 1.0, "lcm", None), (3, 1.0, "lcm", None)]
    lines = [{"prompt": "a", "preset": "turbo:3"}, {"prompt": "b", "preset": "lcm", "steps": 2}]
    Path("lines.txt").write_text("\n".join(map(json.dumps, lines)))
    from_file = ("--from-file", "lines.txt", "--steps", "9", "--seed", "4")
    assert [one["steps"] for one in BATCH.plan(*from_file)] == [3, 2]
    assert "preset is swept, and given as 'lcm' too" in BATCH.refused(
        "a", *sweep, "--preset", "lcm"
    )


def test_presets_in_python(workshop: Path, tiny_model: Path) -> None:
    picture = sdloop.generate("a cat", seed=4, model=str(tiny_model), preset="lcm:2", device="cpu")
    assert chosen(picture.recipe.to_dict()) == (2, 1.0, "lcm", None)
    again = sdloop.generate(picture.recipe, preset="hyper:1", device="cpu")
    assert chosen(again.recipe.to_dict()) == (1, 1.0, "tcd", None)
    assert again.recipe.eta == 1.0
    with pytest.raises(sdloop.SettingError, match="lcm must be one of"):
        sdloop.generate("a cat", seed=4, model=str(tiny_model), preset="lcm:20")


def test_a_model_for_a_few_steps_is_recognised_and_said(workshop: Path) -> None:
    lcm = replace(tiny_sd1(), scheduler_config=LCM)
    folder = save_diffusers_folder(lcm, workshop / "quick")
    result = TXT2IMG.run("a cat", "-m", "quick", "--seed", "4", "--dry-run")
    assert chosen(json.loads(result.stdout)) == (4, 1.0, "lcm", None)
    said = "quick is LCM, as its scheduler is LCM's: steps 4, guidance_scale 1\n"
    assert said in result.stderr
    asked = TXT2IMG.run("a", "-m", "quick", "--seed", "4", "--dry-run", "--steps", "9", "-g", "2")
    assert chosen(json.loads(asked.stdout)) == (9, 2.0, "lcm", None)
    assert "is LCM" not in asked.stderr
    write_json(folder / "scheduler/scheduler_config.json", tiny_sd1().scheduler_config)
    folder.rename("lcm-mix")
    hinted = TXT2IMG.run("a cat", "-m", "lcm-mix", "--seed", "4", "--dry-run")
    assert chosen(json.loads(hinted.stdout))[:2] == (25, 7.5)
    hint = "lcm-mix sounds like a model for a few steps; if it is, add --preset lcm\n"
    assert hint in hinted.stderr
    quiet = TXT2IMG.run("a", "-m", "lcm-mix", "--seed", "4", "--dry-run", "--preset", "lcm")
    assert "sounds like" not in quiet.stderr


def test_guidance_that_a_preset_switches_off_in_a_model_of_its_own_is_said(workshop: Path) -> None:
    lcm = replace(with_guidance_input(tiny_sd1()), scheduler_config=LCM)
    save_diffusers_folder(lcm, workshop / "embedded")
    model = ("a cat", "-m", "embedded", "--seed", "4", "--dry-run")
    result = TXT2IMG.run(*model)
    assert chosen(json.loads(result.stdout)) == (4, 8.0, "lcm", None)
    assert "embedded is LCM, as its UNet takes the guidance scale as an input" in result.stderr
    result = TXT2IMG.run(*model, "--preset", "lcm:2")
    assert chosen(json.loads(result.stdout)) == (2, 1.0, "lcm", None)
    assert "embedded has no guidance at guidance_scale 1; its own is 8\n" in result.stderr


def test_a_lora_for_a_few_steps_hints_at_its_preset(workshop: Path) -> None:
    name = "Hyper-SD15-8steps-CFG-lora.safetensors"
    save_kohya(lora_pairs(tiny_sd1(), parts=("unet",)), workshop / name)
    lora = ("a cat", "--seed", "4", "--dry-run", "--lora")
    result = TXT2IMG.run(*lora, name)
    assert chosen(json.loads(result.stdout))[:2] == (25, 7.5)  # a hint, not a change
    hint = f"{name} seems to be a LoRA for a few steps, by its name: add --preset hyper:8 -g 5\n"
    assert hint in result.stderr
    for unneeded in (("--preset", "hyper:8"), ("--steps", "10"), ("-q",)):
        assert "LoRA for a few steps" not in TXT2IMG.run(*lora, name, *unneeded).stderr
    assert "LoRA for a few steps" not in TXT2IMG.run(*lora, f"{name}:0").stderr
