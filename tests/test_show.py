"""``sdloop show``: readable for people, JSON lines for programs, and nothing in it is obeyed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from sdloop.cli.show import show
from sdloop.png import Made, write_picture
from sdloop.recipe import Recipe

RECIPE = Recipe(
    prompt="東京, a frog\non 🐎",
    seed=4,
    guidance_scale=7.5,
    width=16,
    height=8,
    scheduler="euler",
    sigmas="uniform",
)
MADE: Made = {
    "weights": {"unet/a.safetensors": "ab" * 32},
    "revision": None,
    "sigmas": (14.614641189575195, 0.5),
    "versions": {"sdloop": "0.1.0", "torch": "2.13.0"},
    "device": "cpu",
    "seconds": 1.234567891,
}

app = typer.Typer()
app.command()(show)


def _run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGB", (16, 8))
    return write_picture(image, tmp_path / "frog.png", recipe=RECIPE, made=MADE)


def _foreign(path: Path, text: str) -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def test_people_read_the_prompt_first_then_the_circumstances(picture: Path) -> None:
    result = _run(picture)
    assert result.exit_code == 0
    assert (
        result.stdout
        == f"""\
{picture}
  prompt            東京, a frog
                    on 🐎
  seed              4
  emphasis          a1111
  model             mini
  width             16
  height            8
  steps             25
  guidance_scale    7.5
  guidance_rescale  0
  scheduler         euler
  sigmas            uniform
  eta               0
  clip_skip         1

  weights           unet/a.safetensors {"ab" * 32}
  sigmas            14.6146, 0.5
  versions          sdloop 0.1.0
                    torch 2.13.0
  device            cpu
  seconds           1.23457
"""
    )


def test_programs_read_json_lines(picture: Path, tmp_path: Path) -> None:
    other = _foreign(tmp_path / "other.png", "a cat\nSteps: 3, Sampler: Heun, Seed: 4, Model: m")
    lines = _run("--json", picture, other).stdout.splitlines()
    own, foreign = map(json.loads, lines)
    assert own["path"] == str(picture)
    assert Recipe.from_dict(own["recipe"]) == RECIPE
    assert own["made"]["sigmas"] == [14.614641189575195, 0.5]
    assert own["a1111"]["Sampler"] == "Euler"
    assert foreign["source"] == "a1111"
    assert foreign["recipe"]["scheduler"] == "heun"
    assert foreign["left_out"][0] == "Model: m"


def test_what_a1111_set_beyond_us_is_shown(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.png", "a cat\nSteps: 3, Sampler: Restart, Seed: 4, Model: m")
    assert (
        _run(path).stdout
        == f"""\
{path}
  prompt  a cat
  steps   3
  seed    4

  A1111's, without a counterpart here:
  Sampler: Restart
  Model: m
  RNG: GPU (the same seed gives another picture here)
"""
    )


def test_an_unreadable_file_does_not_hide_the_others(picture: Path, tmp_path: Path) -> None:
    result = _run(tmp_path / "none.png", picture, picture.parent)
    assert result.exit_code == 3
    assert result.stdout.startswith(f"{picture}\n  prompt ")
    assert len(result.stderr.splitlines()) == 2
    assert "it is not there" in result.stderr


def test_a_prompt_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.png", "a \x1b[2J\x9b31m cat\u202e")
    assert "prompt  a \\x1b[2J\\x9b31m cat\\u202e\n" in _run(path).stdout


def test_showing_imports_nothing_heavy(picture: Path) -> None:
    code = (
        "import sys, pathlib\nfrom sdloop.cli.show import show\n"
        f"show([pathlib.Path({str(picture)!r})])\n"
        "print({'PIL', 'torch', 'numpy', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
