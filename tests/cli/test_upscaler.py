"""sdloop upscale with an upscaler model: flags and written files."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.pictures import sketch
from helpers.tiny import save_diffusers_folder, tiny_upscaler
from PIL import Image

from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe

COMMAND = Command("upscale")
upscale, make, plan, refused = COMMAND.run, COMMAND.make, COMMAND.plan, COMMAND.refused


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(tiny_upscaler(), tmp_path_factory.mktemp("models") / "x4")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upscaler: Path) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, upscaler)
    sketch(18, 13).save("small.png")
    return folder


def test_one_picture_whose_file_says_how_to_remake_it(upscaler: Path) -> None:
    (name,) = make("small.png", "a white cat", "--seed", "4")
    assert Image.open(name).size == (72, 52)
    recipe = read_record(Path(name)).recipe
    assert recipe == Recipe(
        prompt="a white cat", seed=4, model=str(upscaler), width=72, height=52, steps=2,
        guidance_scale=9.0, scheduler="ddim", image="small.png",
        image_sha256=hashlib.sha256(Path("small.png").read_bytes()).hexdigest(),
        resize="crop", background="white", factor=4, noise_level=20,
    )  # fmt: skip
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    assert make("--from-file", "again.txt", "-o", "again.png") == ["again.png"]
    assert pixels("again.png") == pixels(name)
    assert "Denoising strength" not in Image.open(name).info["parameters"]


def test_the_noise_level_decides_and_is_told() -> None:
    result = upscale("small.png", "a cat", "--seed", "4", "--steps", "2", "-o", "a.png")
    assert "factor 4: 72x52, noise level 20: 2 steps\n" in result.stderr
    make("small.png", "a cat", "--seed", "4", "--noise-level", "300", "-o", "b.png")
    assert pixels("a.png") != pixels("b.png")
    shown = Command("show").run("b.png").stdout
    assert any(line.split() == ["noise_level", "300"] for line in shown.splitlines())


def test_a_picture_in_windows() -> None:
    """Each of them at least eight latents wide; they change the picture, but not its size."""
    flags = ["small.png", "a cat", "--seed", "4"]
    make(*flags, "-o", "whole.png")
    make(*flags, "--tile", "48", "-o", "windows.png")
    assert Image.open("windows.png").size == (72, 52)
    assert pixels("whole.png") != pixels("windows.png")
    sketch(70, 50).save("large.png")
    assert [one["tile"] for one in plan("large.png", "a cat", "--seed", "4")] == [64]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--factor", "2"], "factor must be 4 for the upscaler"),
        (["--strength", "0.5"], "strength is not supported by upscalers"),
        (["--enlarge", "latent"], "enlarge is not supported by upscalers"),
        (["--noise-level", "351"], "noise_level must be at most 350, got 351"),
        (["--noise-level", "-1"], "noise_level must be at least 0, got -1"),
        (["--width", "100"], "width must agree with factor 4, which makes it 72, got 100"),
    ],
    ids=str,
)
def test_what_it_does_not_do_is_refused(flags: list[str], complaint: str) -> None:
    assert complaint in refused("small.png", "a cat", *flags)


def test_a_noise_level_for_another_model_is_refused(tiny_model: Path) -> None:
    message = refused("small.png", "a cat", "--noise-level", "20", "--model", str(tiny_model))
    assert message == f"noise_level needs an upscaler model, and {tiny_model} is not one"


def test_txt2img_is_refused(upscaler: Path) -> None:
    assert Command("txt2img").refused("a cat") == (
        f"image must be given for the upscaler {upscaler}: use `sdloop upscale`"
    )


@pytest.mark.slow
def test_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "sdloop", "upscale", "small.png", "a cat", "--seed", "4"]
    flags = ["--steps", "2", "-o", "own.png", "--noise-level", "0"]
    ran = subprocess.run([*command, *flags], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "own.png\n"), ran.stderr
    assert Image.open("own.png").size == (72, 52)


def test_a_line_of_a_prompt_file_may_name_the_upscaler(upscaler: Path, tiny_model: Path) -> None:
    """Beside one for another model: each gets the scale that suits it, unless one is named."""
    lines = json.dumps({"prompt": "a cat", "model": str(upscaler)}) + "\na dog\n"
    flags = ["small.png", "--from-file", "-", "--seed", "4", "--model", str(tiny_model)]
    assert [one["factor"] for one in plan(*flags, stdin=lines)] == [4, 2]
    message = refused(*flags, "--factor", "3", stdin=lines)
    assert message.startswith("standard input, line 1: factor must be 4 for the upscaler")
    Path("large.toml").write_text("factor = 3\n")
    assert "factor must be 4" in refused(*flags, "--config", "large.toml", stdin=lines)
