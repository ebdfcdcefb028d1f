"""sdloop outpaint with tiny models, in the test process: flags and written files."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Command, pixels, work_in
from helpers.pictures import gradient
from helpers.tiny import save_diffusers_folder, tiny_inpaint
from PIL import Image
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe

COMMAND = Command("outpaint")
outpaint, make, plan, refused = COMMAND.run, COMMAND.make, COMMAND.plan, COMMAND.refused


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Work in a folder with a photo in it; the tiny model's window is 32x32."""
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    gradient().save("photo.png")
    return folder


def test_one_picture_whose_file_says_how_to_remake_it(tiny_model: Path) -> None:
    arguments = ["photo.png", "a city", "--right", "24", "--up", "8", "--seed", "4"]
    assert make(*arguments) == ["photo-a-city-4.png"]
    recipe = read_record(Path("photo-a-city-4.png")).recipe
    assert recipe == Recipe(
        prompt="a city", seed=4, model=str(tiny_model), width=72, height=40, steps=2,
        guidance_scale=7.5, scheduler="pndm", image="photo.png",
        image_sha256=hashlib.sha256(Path("photo.png").read_bytes()).hexdigest(),
        right=24, up=8, overlap=16, background="white",
    )  # fmt: skip
    made = np.asarray(Image.open("photo-a-city-4.png"))
    assert made.shape == (40, 72, 3)
    assert np.array_equal(made[8:, :48], np.asarray(gradient()))
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    # Through any command: there is one path.
    again = ["txt2img", "--from-file", "again.txt", "-o", "again.png"]
    assert CliRunner().invoke(app, again).exit_code == 0
    assert pixels("again.png") == pixels("photo-a-city-4.png")


def test_what_runs_is_told() -> None:
    arguments = ["photo.png", "a city", "--seed", "4", "--dry-run"]
    assert (
        "outpaint: 48x32 → 72x40 in 6 passes of 25 steps\n"
        in outpaint(*arguments, "--right", "24", "--up", "8").stderr
    )
    Image.new("RGB", (20, 20), "red").save("small.png")
    assert (
        "outpaint: 20x20 → 32x20 in 1 pass of 9 steps\n"
        in outpaint("small.png", *arguments[1:], "--right", "12", "--steps", "9").stderr
    )
    assert outpaint(*arguments, "--right", "24", "-q").stderr == ""


def test_json_tells_the_grown_size_and_the_file_its_parameters() -> None:
    (line,) = make("photo.png", "a city", "--left", "8", "--down", "8", "--seed", "4", "--json")
    told = json.loads(line)
    assert (told["width"], told["height"]) == (56, 40)
    assert (told["recipe"]["left"], told["recipe"]["down"]) == (8, 8)
    assert "Size: 56x40" in Image.open(told["path"]).info["parameters"]
    shown = CliRunner().invoke(app, ["show", told["path"]]).stdout
    assert "overlap           16" in shown


def test_folders_and_seeds_and_standard_input() -> None:
    Path("photos").mkdir()
    for number in (2, 10):
        gradient(24, 24).save(f"photos/{number}.png")
    names = make("photos", "a city", "--right", "8", "--seed", "4,7", "--outdir", "out",
                 "--batch-size", "4")  # fmt: skip
    assert names == [f"out/{n}-a-city-{seed}.png" for n in (2, 10) for seed in (4, 7)]
    assert pixels(names[0]) == pixels(names[2]) != pixels(names[1])
    bytes_ = Path("photos/2.png").read_bytes()
    (name,) = make("-", "a city", "--right", "8", "--seed", "4", stdin=bytes_)
    difference = np.subtract(Image.open(name), np.asarray(Image.open(names[0]), int))
    assert abs(difference).max() <= 1


def test_a_dry_run_is_what_a_prompt_file_takes() -> None:
    first = plan("photo.png", "a city", "--right", "8", "--overlap", "8", "--seed", "4,7")
    assert [recipe["width"] for recipe in first] == [56, 56]
    lines = "\n".join(json.dumps(recipe) for recipe in first)
    assert plan("--from-file", "-", stdin=lines) == first


def test_growing_step_by_step_goes_on_and_on() -> None:
    make("photo.png", "a city", "--right", "8", "--seed", "4", "-o", "one.png")
    make("one.png", "a city", "--down", "8", "--seed", "5", "-o", "two.png")
    two = np.asarray(Image.open("two.png"))
    assert np.array_equal(two[:32], np.asarray(Image.open("one.png")))


@pytest.mark.slow
def test_an_inpainting_model_in_a_real_process(tmp_path: Path) -> None:
    """And once more in this one, to the same bytes."""
    model = save_diffusers_folder(tiny_inpaint("sd1"), tmp_path / "painter")
    arguments = ["photo.png", "a city", "--up", "8", "-m", str(model), "--steps", "2",
                 "--seed", "4"]  # fmt: skip
    command = [sys.executable, "-m", "sdloop", "outpaint", *arguments, "-o", "one.png"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "one.png\n"), result.stderr
    assert result.stderr == "sdloop: outpaint: 48x32 → 48x40 in 2 passes of 2 steps\n"
    assert outpaint(*arguments, "-o", "two.png").exit_code == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["photo.png", "a"], "left, right, up or down must be given, as in: sdloop outpaint photo"),
        (["photo.png", "--right", "8"], "prompt must be given, as in: sdloop outpaint photo.png"),
        (["photo.png", "a", "--right", "9"], "right must be a multiple of 2 for this model, got 9"),
        (["photo.png", "a", "--right", "-8"], "right must be at least 1, got -8"),
        (["photo.png", "a", "--right", "8", "--overlap", "32"], "overlap must be smaller than"),
        (["photo.png", "a", "--right", "8", "--size", "64x64"], "width must be left out or "),
        (["photo.png", "a", "--right", "32768"], "width must be at most 32768, got 32816"),
    ],
    ids=str,
)
def test_settings_that_are_refused_before_any_work(arguments: list[str], complaint: str) -> None:
    assert complaint in refused(*arguments)


def test_what_is_no_picture_ends_with_3() -> None:
    Path("text.png").write_text("two green frogs")
    assert refused("text.png", "a", "--right", "8", code=3).startswith("'text.png' is not a pict")


def test_growth_is_for_one_command() -> None:
    result = CliRunner().invoke(app, ["config", "set", "right", "8"])
    assert result.exit_code == 2
    result = CliRunner().invoke(app, ["txt2img", "a cat", "--right", "8"])
    assert result.exit_code == 2


def test_a_line_that_does_not_grow_is_refused() -> None:
    """Else it would be made like one of img2img."""
    lines = '{"prompt": "a", "right": 8}\n{"prompt": "b"}\n'
    message = refused("photo.png", "--from-file", "-", "--seed", "4", stdin=lines)
    assert message.startswith("standard input, line 2: left, right, up or down must be given, as")
    assert len(plan("photo.png", "--from-file", "-", "--seed", "4", "--up", "8", stdin=lines)) == 2
    Path("still.toml").write_text("steps = 3\n")
    assert "down must be given" in refused("photo.png", "a", "--config", "still.toml")
