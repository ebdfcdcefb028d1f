"""sdloop upscale, and the second stage of txt2img: flags and written files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.pictures import sketch
from PIL import Image

from sdloop.metadata.picture import read_record

UPSCALE, TXT2IMG = Command("upscale", steps=4), Command("txt2img", steps=4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    sketch(24, 17).save("sketch.png")
    return folder


def test_a_picture_gets_twice_as_large_and_its_file_remakes_it() -> None:
    result = UPSCALE.run("sketch.png", "--seed", "4", "--steps", "4")
    assert result.stdout == "sketch-2x-4.png\n"
    assert "sdloop: factor 2: 48x34, strength 0.35: 1 of 4 steps\n" in result.stderr
    recipe = read_record(Path("sketch-2x-4.png")).recipe
    assert recipe is not None
    assert (recipe.size, recipe.prompt, recipe.guidance_scale) == ((48, 34), "", 1)
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    assert TXT2IMG.make("--from-file", "again.txt", "-o", "again.png") == ["again.png"]
    assert pixels("again.png") == pixels("sketch-2x-4.png")


def test_a_size_that_is_rounded_is_told() -> None:
    result = UPSCALE.run("sketch.png", "--factor", "1.5", "--seed", "4", "--dry-run")
    assert "1.5 times 24x17 is 36x25.5, and becomes 36x26: sides are multiples of 2" in (
        result.stderr
    )


def test_a_picture_brings_its_own_prompt_and_flags_win() -> None:
    TXT2IMG.make("a cat", "-n", "a dog", "--seed", "4", "-o", "cat.png")
    result = UPSCALE.run("cat.png", "--seed", "4", "--dry-run")
    assert "using the prompt recorded in 'cat.png': \"a cat\"" in result.stderr
    recipe = json.loads(result.stdout)
    assert (recipe["prompt"], recipe["negative_prompt"]) == ("a cat", "a dog")
    (recipe,) = UPSCALE.plan("cat.png", "a fish", "--seed", "4")
    assert recipe["prompt"] == "a fish"
    assert "negative_prompt" not in recipe
    (recipe,) = UPSCALE.plan("cat.png", "-g", "1", "--seed", "4")
    assert (recipe["prompt"], recipe["guidance_scale"]) == ("a cat", 1)
    assert "negative_prompt" not in recipe


def test_several_pictures_standard_input_and_settings_files() -> None:
    sketch(20, 20).save("b.png")
    recipes = UPSCALE.plan("sketch.png", "-i", "b.png", "--seed", "4,7")
    assert [(one["image"], one["width"], one["seed"]) for one in recipes] == [
        ("sketch.png", 48, 4), ("sketch.png", 48, 7), ("b.png", 40, 4), ("b.png", 40, 7),
    ]  # fmt: skip
    (recipe,) = UPSCALE.plan("-", "--seed", "4", stdin=Path("b.png").read_bytes())
    assert recipe["width"] == 40
    Path("large.toml").write_text('factor = 3\nwidth = 32\nimage = "b.png"\n')
    (recipe,) = UPSCALE.plan("--config", "large.toml", "--seed", "4")
    assert (recipe["width"], recipe.get("tile")) == (60, None)


def test_large_pictures_are_seen_through_windows_unless_told() -> None:
    result = UPSCALE.run("sketch.png", "--factor", "5", "--seed", "4", "--dry-run")
    assert "factor 5: 120x84 in windows of 32, strength 0.35: 8 of 25 steps" in result.stderr
    assert json.loads(result.stdout)["tile"] == 32
    (whole,) = UPSCALE.plan("sketch.png", "--factor", "5", "--tile", "0", "--seed", "4")
    assert whole["tile"] == 0
    names = UPSCALE.make("sketch.png", "--factor", "5", "--seed", "4")
    names += UPSCALE.make("sketch.png", "--factor", "5", "--seed", "4", "--tile", "0")
    assert len({pixels(name) for name in names}) == 2


def test_hires_from_noise() -> None:
    result = TXT2IMG.run("a cat", "--hires", "2", "--strength", "0.5", "--seed", "4", "--json")
    assert result.exit_code == 0, result.stderr
    assert "hires 2: 64x64, strength 0.5: 12 of 25 steps" in result.stderr
    told = json.loads(result.stdout)
    assert (told["width"], told["height"]) == (64, 64)
    assert told["peak_memory"] > 10**8
    with Image.open(told["path"]) as picture:
        assert picture.size == (64, 64)
        text = picture.info["parameters"]
    for item in ("Size: 32x32", "Denoising strength: 0.5", "Hires upscale: 2", "Lanczos"):
        assert item in text
    assert read_record(Path(told["path"])).made.get("peak_memory") is None


@pytest.mark.parametrize(
    ("command", "arguments", "complaint"),
    [
        (UPSCALE, [], "image must be given, as in: sdloop upscale photo.png"),
        (UPSCALE, ["sketch.png", "sketch.png"], "prompt must be a text"),
        (UPSCALE, ["sketch.png", "--factor", "0.5"], "factor must be between 1 and 16, got 0.5"),
        (UPSCALE, ["sketch.png", "--factor", "17"], "factor must be between 1 and 16, got 17"),
        (UPSCALE, ["sketch.png", "-W", "50"], "width cannot be set here"),
        (
            UPSCALE,
            ["sketch.png", "--size", "48x34"],
            "width cannot be set here",
        ),
        (
            UPSCALE,
            ["sketch.png", "-W", "50", "--factor", "2"],
            "width must agree with factor 2, which makes it 48, got 50",
        ),
        (UPSCALE, ["sketch.png", "--enlarge", "x"], "enlarge must be one of lanczos, latent"),
        (UPSCALE, ["sketch.png", "--strength", "0.01"], "strength must be at least 0.04"),
        (UPSCALE, ["sketch.png", "--tile", "48"], "tile must be less than the longer side of 48"),
        (UPSCALE, ["sketch.png", "--tile", "17"], "tile must be a multiple of 2"),
        (UPSCALE, ["sketch.png", "--tile", "8"], "tile must be at least 16, got 8"),
        (TXT2IMG, ["a cat", "--tile", "32"], "tile must be less than the longer side of 32x32"),
        (TXT2IMG, ["a cat", "--strength", "0.5"], "neither image nor hires is given"),
        (TXT2IMG, ["a cat", "--enlarge", "latent"], "enlarge needs factor or hires"),
        (TXT2IMG, ["a cat", "--hires", "0.5"], "hires must be between 1 and 16, got 0.5"),
        (TXT2IMG, ["a cat", "--hires", "1.3"], "got 1.3, which makes the width 41.6; nearest: 1.3"),
    ],
    ids=str,
)
def test_what_is_refused(command: Command, arguments: list[str], complaint: str) -> None:
    assert complaint in command.refused(*arguments)


def test_a_missing_picture_ends_with_3() -> None:
    assert "cannot read 'no.png'" in UPSCALE.refused("no.png", code=3)


@pytest.mark.slow
def test_the_real_command(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "sdloop", "upscale", "sketch.png", "--seed", "4"]
    done = subprocess.run([*command, "--steps", "4"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "sketch-2x-4.png\n"), done.stderr


def test_few_steps_run_one_where_nobody_said_how_strong() -> None:
    flags = ["a cat", "--hires", "2", "--model", "mini", "--seed", "4", "--dry-run"]
    result = Command("txt2img").run(*flags, "--steps", "6")
    assert json.loads(result.stdout)["strength"] == 0.1667
    assert "strength 0.1667: 1 of 6 steps" in result.stderr
    message = Command("txt2img").refused(*flags[:-1], "--steps", "6", "--strength", "0.08")
    assert message == "strength must be at least 0.1667 for one of 6 steps to run, got 0.08"
