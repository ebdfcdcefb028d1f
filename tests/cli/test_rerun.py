"""sdloop rerun: pictures made again from their metadata, with and without changes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.foreign import A1111, COMFYUI, every_kind, png_with
from helpers.pictures import sketch
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sd2, tiny_sdxl
from PIL import Image

from sdloop.metadata.picture import read_record, write_picture
from sdloop.recipe.recipe import Recipe

RERUN, TXT2IMG, IMG2IMG = Command("rerun"), Command("txt2img", steps=3), Command("img2img", steps=4)
INPAINT, UPSCALE, MIX = Command("inpaint", steps=4), Command("upscale", steps=4), Command("mix")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


def _again(*arguments: str) -> list[str]:
    result = RERUN.run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def _told(*arguments: str) -> tuple[dict[str, Any], list[str]]:
    """The one Recipe that would be made, and what is told of it."""
    result = RERUN.run(*arguments, "--dry-run")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), result.stderr.splitlines()


def _file(command: Command, *arguments: str) -> None:
    """A file as ``command`` would write it, but for its pixels: nothing is sampled."""
    *flags, dash_o, name = arguments
    assert dash_o == "-o"
    (recipe,) = command.plan(*flags)
    write_picture(Image.new("RGB", (32, 32)), Path(name), recipe=Recipe.from_dict(recipe))


def _bytes(name: str) -> bytes:
    return Path(name).read_bytes()


def test_without_changes_the_file_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    TXT2IMG.make("a cat", "-n", "a dog", "--seed", "4", "-o", "cat.png")
    Path("mine.toml").write_text("steps = 50\nguidance_scale = 2\n")
    monkeypatch.setenv("SDLOOP_CONFIG", "mine.toml")  # is for new pictures
    assert _again("cat.png") == ["cat-again.png"]
    assert _bytes("cat.png") == _bytes("cat-again.png")
    assert _again("cat.png") == ["cat-again-2.png"]


@pytest.mark.slow
def test_in_a_process_of_its_own() -> None:
    TXT2IMG.make("a cat", "--seed", "4", "-o", "cat.png")
    command = [sys.executable, "-m", "sdloop", "rerun", "cat.png", "--steps", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("cat-again.png\n", "")
    recipe = read_record(Path("cat-again.png")).recipe
    assert recipe is not None
    assert recipe.steps == 5


def test_every_kind_of_picture_is_remade(tiny_model: Path) -> None:
    sketch(24, 18).save("sketch.png")
    mask = Image.new("L", (24, 18))
    mask.paste(255, (4, 4, 14, 12))
    mask.save("mask.png")
    names = IMG2IMG.make("sketch.png", "a cat", "--seed", "4", "-o", "a.png")
    names += INPAINT.make("sketch.png", "a cat", "--mask", "mask.png", "--seed", "4", "-o", "b.png")
    names += UPSCALE.make("sketch.png", "--seed", "4", "-o", "c.png")
    names += TXT2IMG.make("a cat", "--hires", "2", "--seed", "4", "-o", "d.png")
    names += MIX.make("a cat", "a dog", "--slerp", "--seed", "4", "-o", "e.png")
    again = _again(*names)
    assert again == [f"{name[0]}-again.png" for name in names]
    assert [_bytes(name) for name in names] == [_bytes(name) for name in again]


@pytest.mark.parametrize(
    "family",
    ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sd2", "sdxl", "mini"))],
)
def test_variations_of_a_good_one(tmp_path: Path, family: str) -> None:
    make = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
    model = family
    if family in make:
        model = str(save_diffusers_folder(make[family](), tmp_path / "model"))
    TXT2IMG.make("a cat", "--seed", "4", "--model", model, "-o", "cat.png")
    vary = ("--variation-seed", "9", "--variation-strength")
    _again("cat.png", *vary, "0.15", "-o", "near.png")
    TXT2IMG.make("a cat", "--seed", "4", "--model", model, *vary, "0.15", "-o", "typed.png")
    assert pixels("near.png") == pixels("typed.png") != pixels("cat.png")
    _again("near.png", "-o", "near-2.png")
    assert pixels("near-2.png") == pixels("near.png")
    fields = read_record(Path("near.png")).fields
    assert fields["Variation seed"] == "9"
    assert fields["Variation seed strength"] == "0.15"
    _again("cat.png", *vary, "0", "-o", "same.png")
    assert pixels("same.png") == pixels("cat.png")


def test_many_files_folders_seeds_and_names() -> None:
    Path("in/deep").mkdir(parents=True)
    TXT2IMG.make("a cat", "--seed", "4", "-o", "in/cat 10.png")
    TXT2IMG.make("a dog", "--seed", "7", "-o", "in/cat 2.webp")
    TXT2IMG.make("a bird", "--seed", "9", "-o", "in/deep/bird.jpg")
    sketch(8, 8).save("in/sketch.png")
    result = RERUN.run("in", "--outdir", "out")
    assert result.stdout.splitlines() == [
        "out/cat-2-again.webp", "out/cat-10-again.png", "out/bird-again.jpg",
    ]  # fmt: skip
    assert "skipped 1 file without settings" in result.stderr
    assert pixels("in/cat 2.webp") == pixels("out/cat-2-again.webp")
    assert _again("in/cat 10.png", "--seed", "1,2") == [
        "cat-10-again-1.png", "cat-10-again-2.png",
    ]  # fmt: skip
    assert _again("in/cat 10.png", "--count", "2", "-o", "{file}+{seed}.png") == [
        "cat-10+4.png", "cat-10+5.png",
    ]  # fmt: skip
    result = RERUN.run("-", "-o", "more/{file}.png", stdin="in/cat 10.png\n\nin/cat 2.webp\n")
    assert result.stdout.splitlines() == ["more/cat-10.png", "more/cat-2.png"]
    Path("in/picks.txt").write_text("cat 10.png\ndeep/bird.jpg\n")
    plan = RERUN.run("in/picks.txt", "--dry-run").stdout.splitlines()
    assert [json.loads(line)["seed"] for line in plan] == [4, 9]
    assert "{file}" in TXT2IMG.refused("a cat", "-o", "{file}.png")


def test_a_new_size_lets_go_of_what_followed_from_the_old(tiny_sdxl_model: Path) -> None:
    sketch(24, 18).save("sketch.png")
    _file(IMG2IMG, "sketch.png", "a cat", "--seed", "4", "-o", "cat.png")
    recipe, _ = _told("cat.png")
    assert (recipe["width"], recipe["height"]) == (36, 28)
    recipe, _ = _told("cat.png", "--width", "48")
    assert (recipe["width"], recipe["height"]) == (48, 36)
    _file(UPSCALE, "sketch.png", "--factor", "2", "--seed", "4", "-o", "large.png")
    recipe, told = _told("large.png", "--size", "60x40")
    assert (recipe["width"], recipe.get("factor"), recipe.get("enlarge")) == (60, None, None)
    assert "sdloop: large.png: factor 2 is dropped" in told
    recipe, _ = _told("large.png", "--factor", "3")
    assert (recipe["width"], recipe["height"], recipe["factor"]) == (72, 54, 3)
    sizes = ("--original-size", "32x32", "--target-size", "64x64")
    _file(TXT2IMG, "a cat", "--model", str(tiny_sdxl_model), *sizes, "--seed", "4", "-o", "xl.png")
    recipe, told = _told("xl.png", "--size", "48x32")
    assert recipe["target_size"] == [64, 64]
    assert "original_size" not in recipe
    assert "sdloop: xl.png: original_size [32, 32] is dropped" in told


def test_another_model_decides_what_the_old_one_decided(tiny_sdxl_model: Path) -> None:
    _file(TXT2IMG, "a cat", "--seed", "4", "-W", "40", "-o", "cat.png")
    recipe, _ = _told("cat.png", "--model", "mini")
    assert (recipe["width"], recipe["height"]) == (40, 128)
    assert recipe["guidance_scale"] == 1.5
    _file(TXT2IMG, "a cat", "--seed", "4", "-g", "3", "--scheduler", "ddim", "-o", "dog.png")
    recipe, _ = _told("dog.png", "--model", "mini")
    assert (recipe["guidance_scale"], recipe["scheduler"], recipe["width"]) == (3, "ddim", 128)
    moved = read_record(Path("dog.png")).recipe
    assert moved is not None
    elsewhere = Recipe.from_dict({**moved.to_dict(), "model": "./elsewhere"})
    write_picture(Image.new("RGB", (32, 32)), Path("far.png"), recipe=elsewhere)
    recipe, told = _told("far.png", "--model", "mini")
    assert (recipe["width"], recipe["guidance_scale"]) == (128, 1.5)
    assert (
        "sdloop: far.png: ./elsewhere is not available: using the defaults of the new model" in told
    )
    assert RERUN.refused("far.png", code=3).endswith("; choose another with --model")


def test_what_a_change_makes_meaningless_is_left_out_and_told() -> None:
    _file(
        TXT2IMG, "a cat", "-n", "a dog", "--guidance-rescale", "0.5", "--seed", "4", "-o", "a.png"
    )
    recipe, told = _told("a.png", "-g", "1")
    assert recipe["guidance_rescale"] == 0
    assert "negative_prompt" not in recipe
    assert any(
        line.startswith("sdloop: a.png: left out negative_prompt a dog: negative_prompt needs")
        for line in told
    )
    _file(
        TXT2IMG, "a cat", "--scheduler", "euler", "--sigmas", "karras", "--seed", "4", "-o", "b.png"
    )
    recipe, told = _told("b.png", "--scheduler", "ddim")
    assert "sigmas" not in recipe
    assert any("left out sigmas karras" in line for line in told)
    _file(MIX, "a cat", "a dog", "--seed", "4", "-o", "c.png")
    recipe, told = _told("c.png", "--prompt", "a bird")
    assert "mix_prompts" not in recipe
    assert "sdloop: c.png: mix_prompts ['a dog'] is dropped" in told


def test_what_would_be_another_picture_is_refused_with_a_way_out() -> None:
    sketch(24, 18).save("sketch.png")
    _file(IMG2IMG, "sketch.png", "a cat", "--start-step", "3", "--seed", "4", "-o", "a.png")
    assert RERUN.refused("a.png", "--steps", "2") == (
        "a.png: start_step must be at most 1, got 3; or remove it: --drop start_step"
    )
    recipe, _ = _told("a.png", "--steps", "2", "--drop", "start_step")
    assert recipe["strength"] == 0.75
    recipe, told = _told("a.png", "--strength", "0.5")
    assert "start_step" not in recipe
    assert "sdloop: a.png: start_step 3 is dropped" in told
    assert RERUN.refused("a.png", "--hires", "2").startswith(
        "a.png: hires works only without an image, got 2"
    )
    assert "did you mean 'negative_prompt'" in RERUN.refused("a.png", "--drop", "negative")
    _file(TXT2IMG, "a cat", "--seed", "4", "-o", "b.png")
    assert RERUN.refused("b.png", "--strength", "0.5").startswith("b.png: strength is for pictures")
    assert RERUN.refused().startswith("a picture must be named")


def test_input_pictures_are_found_and_checked() -> None:
    sketch(24, 18).save("sketch.png")
    IMG2IMG.make("sketch.png", "a cat", "--seed", "4", "-o", "cat.png")
    Path("away").mkdir()
    for name in ("sketch.png", "cat.png"):
        Path(name).rename(f"away/{name}")
    assert _again("away/cat.png", "-o", "again.png") == ["again.png"]
    assert pixels("again.png") == pixels("away/cat.png")
    for name in ("sketch.png", "away/sketch.png"):
        sketch(20, 18).save(name)
    assert "is not the picture that the recipe was made with" in RERUN.refused(
        "away/cat.png", code=3
    )
    recipe, _ = _told("away/cat.png", "-i", "sketch.png")
    assert (recipe["width"], recipe["image"]) == (36, "sketch.png")  # as wide as it was
    data = Path("sketch.png").read_bytes()
    IMG2IMG.make("-", "a cat", "--seed", "4", "-o", "piped.png", stdin=data)
    assert RERUN.refused("piped.png", code=3) == (
        "piped.png: its image came from standard input: name the file with --image"
    )
    recipe, _ = _told("piped.png", "-i", "sketch.png")
    assert recipe["image"] == "sketch.png"


def test_files_that_hold_no_single_picture(here: Path) -> None:
    TXT2IMG.make("a cat", "--seed", "4", "-o", "cat.png", "--save-steps", "steps")
    MIX.make("a cat", "a dog", "--walk", "2", "--seed", "4", "-o", "walk.gif")
    assert "it is an animation" in RERUN.refused("walk.gif", code=3)
    sketch(8, 8).save("plain.png")
    assert "contains no settings" in RERUN.refused("plain.png", code=3)
    assert "it does not exist" in RERUN.refused("none.png", code=3)
    Path("empty").mkdir()
    assert RERUN.refused("empty", code=3) == "no picture in 'empty' contains its settings"
    result = RERUN.run("steps/cat-step-002.png", "-o", "again.png")
    assert "the file shows step 2 of 4; making the finished picture" in result.stderr
    assert pixels("again.png") == pixels("cat.png")


def test_files_of_other_programs(here: Path) -> None:
    for source, path in every_kind(here).items():
        chosen = ("--model", "mini", "--size", "64x64", "--lora-dir", ".", "--drop", "loras")
        prompt = ("--prompt", "a red frog") if source in ("sd.cpp", "invokeai") else ()
        recipe, told = _told(str(path), *chosen, *prompt)
        assert (recipe["seed"], recipe["steps"], recipe["model"]) == (4, 4, "mini")
        assert recipe["prompt"].startswith("a red frog")
        if source == "a1111":
            assert recipe["rng"] == "philox"
            assert any("rng philox: the file names no RNG" in line for line in told)
            assert "rng" not in _told(str(path), *chosen, "--rng", "cpu")[0]
            assert any("not used from a1111: Model: v1-5" in line for line in told)
    names = _again("a1111.png", "--model", "mini", "--size", "64x64")
    assert names == ["a1111-again.png"]
    assert Image.open("a1111-again.png").size == (64, 64)


def test_the_model_of_a_foreign_file(here: Path, tiny_model: Path) -> None:
    png_with(here / "a.png", parameters=A1111)
    assert RERUN.refused("a.png", code=3) == (
        "a.png: it was made with the model 'v1-5-pruned-emaonly' (hash 6ce0161689), which is not "
        "available: choose one with --model"
    )
    png_with(here / "b.png", parameters=A1111.replace("v1-5-pruned-emaonly", "mini"))
    recipe, told = _told("b.png", "--size", "64x64")
    assert recipe["model"] == "mini"
    assert not any("Model" in line for line in told)
    text = A1111.replace("Model: v1-5-pruned-emaonly, ", "").replace("Seed: 4, ", "")
    png_with(here / "c.png", parameters=text)
    recipe, told = _told("c.png")
    assert recipe["model"] == str(tiny_model)
    assert any("chosen at random: the file has none" in line for line in told)


def test_a_graph_that_cannot_be_read_is_refused(here: Path) -> None:
    png_with(here / "a.png", prompt={**COMFYUI, "20": COMFYUI["3"]})
    assert RERUN.refused("a.png", code=3).startswith(
        "a.png: it has no prompt that can be read: the graph must have a single KSampler"
    )


def test_loras_of_foreign_prompts_are_looked_up(here: Path) -> None:
    png_with(here / "a.png", parameters=A1111.replace("a red frog", "a red frog <lora:ink:0.8>"))
    assert "give its folder with --lora-dir" in RERUN.refused("a.png", "--model", "mini")


def test_python_that_a_file_names_is_not_run_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.py").write_text("print('run!')\n\ndef dim(image):\n    return image.mean()\n")
    monkeypatch.syspath_prepend(".")
    (recipe,) = TXT2IMG.plan("a cat", "--seed", "4", "--loss", "mine:dim=0.1")
    write_picture(Image.new("RGB", (32, 32)), Path("a.png"), recipe=Recipe.from_dict(recipe))
    refused = RERUN.refused("a.png")
    assert "losses would run the Python of 'mine:dim=0.1', which this file names" in refused
    assert Command("verify").run("a.png").exit_code == 3
    assert RERUN.run("a.png", "--run-code", "--dry-run").exit_code == 0
