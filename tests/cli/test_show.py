"""``sdloop show``: text for people, JSON lines for programs, and escaped control characters."""

import csv
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from helpers.foreign import COMFYUI, every_kind, png_with
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from sdloop.cli.show import show
from sdloop.metadata.picture import write_picture
from sdloop.metadata.record import Made
from sdloop.recipe.recipe import FIELDS, Recipe

RECIPE = Recipe(
    prompt="東京, a frog\non 🐎",
    seed=4,
    guidance_scale=7.5,
    width=16,
    height=8,
    steps=25,
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


def test_a_lora_is_shown_with_both_scales(tmp_path: Path) -> None:
    lora = {"name": "ink.safetensors", "scale": 0.5, "text_scale": 0.8, "sha256": "ab" * 32}
    recipe = replace(RECIPE, loras=(lora, {"name": "oil.safetensors"}))
    path = write_picture(Image.new("RGB", (16, 8)), tmp_path / "a.png", recipe=recipe, made=MADE)
    shown = [line.strip() for line in _run(path).stdout.splitlines()]
    assert f"loras             ink.safetensors:0.8:0.5  {'ab' * 32}" in shown
    assert "oil.safetensors:1" in shown


def test_programs_read_json_lines(picture: Path, tmp_path: Path) -> None:
    other = _foreign(tmp_path / "other.png", "a cat\nSteps: 3, Sampler: Heun, Seed: 4, Model: m")
    lines = _run("--json", picture, other).stdout.splitlines()
    own, foreign = map(json.loads, lines)
    assert own["path"] == str(picture)
    assert Recipe.from_dict(own["recipe"]) == RECIPE
    assert own["made"]["sigmas"] == [14.614641189575195, 0.5]
    assert own["fields"]["Sampler"] == "Euler"
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
  rng     philox

  A1111's, not supported by sdloop:
  Sampler: Restart
  Model: m
"""
    )


def test_an_unreadable_file_does_not_hide_the_others(picture: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    result = _run(tmp_path / "none.png", picture, tmp_path / "plain.png")
    assert result.exit_code == 3
    assert result.stdout.startswith(f"{picture}\n  prompt ")
    assert len(result.stderr.splitlines()) == 2
    assert "it does not exist" in result.stderr


def test_folders_are_looked_through_and_other_pictures_in_them_counted(
    picture: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for name in ("10.png", "9.png", ".hidden.png"):
        (inner / name).write_bytes(picture.read_bytes())
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "notes.txt").write_text("no picture")
    result = _run("--json", tmp_path)
    paths = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    assert paths == [str(picture), str(inner / "9.png"), str(inner / "10.png")]
    assert result.stderr == "sdloop: skipped 1 file without settings\n"
    assert result.exit_code == 0
    listed = CliRunner().invoke(app, ["-", "--json"], input=f"{picture}\n")
    assert json.loads(listed.stdout)["path"] == str(picture)


def test_every_program_is_shown(tmp_path: Path) -> None:
    for source, path in every_kind(tmp_path).items():
        shown = _run(path).stdout
        assert "  seed" in shown
        assert "a red frog" in shown
        if source not in ("comfyui", "invokeai", "sd-metadata", "a1111", "sd.cpp"):
            assert "(the same seed gives another picture in sdloop)" in shown
        assert ("model: " in shown) == (source != "a1111")


def test_a_table_has_a_column_for_each_setting_of_any(picture: Path, tmp_path: Path) -> None:
    kinds = [str(path) for path in every_kind(tmp_path).values()]
    table = list(csv.DictReader(io.StringIO(_run("--csv", picture, *kinds).stdout)))
    assert len(table) == 7
    assert table[0]["prompt"] == RECIPE.prompt
    assert (table[0]["seed"], table[0]["device"], table[0]["versions.torch"]) == (
        "4", "cpu", "2.13.0",
    )  # fmt: skip
    assert table[1]["negative_prompt"] == "blurry"
    assert table[0]["negative_prompt"] == ""
    assert table[1]["rng"] == "philox"
    names = list(table[0])
    own = [name for name in FIELDS if name in names]
    assert [name for name in names if name in FIELDS] == own
    assert "sigmas" in names  # the Recipe's, and none of the made ones
    assert table[0]["sigmas"] == "uniform"
    backwards = list(csv.DictReader(io.StringIO(_run("--csv", *kinds[::-1], picture).stdout)))
    assert list(backwards[0]) == names
    assert _run("--csv", "--json", picture).exit_code != 0


def test_from_file_reads_what_json_prints(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = _run("--json", picture).stdout
    from sdloop.cli import app as all_commands

    options = ["txt2img", "--from-file", "-", "--dry-run"]
    result = CliRunner().invoke(all_commands, [*options, "--model", str(tiny_model)], input=lines)
    assert result.exit_code == 0, result.stderr
    assert Recipe.from_dict(json.loads(result.stdout)) == RECIPE
    film = json.dumps({**json.loads(lines), "moving": {"walk": 3}})
    result = CliRunner().invoke(all_commands, options, input=film)
    assert result.exit_code == 2
    assert "it is for an animation" in result.stderr


def test_a_thousand_files_are_shown_within_seconds(picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    data = picture.read_bytes()
    for number in range(1000):
        (folder / f"{number}.png").write_bytes(data)
    start = time.process_time()
    assert len(_run("--csv", folder).stdout.splitlines()) > 1000
    assert time.process_time() - start < 5


def test_a_prompt_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = _foreign(tmp_path / "a.png", "a \x1b[2J\x9b31m cat\u202e")
    assert "prompt  a \\x1b[2J\\x9b31m cat\\u202e\n" in _run(path).stdout


def test_showing_imports_nothing_heavy(picture: Path) -> None:
    code = (
        "import sys\nfrom sdloop.cli.show import show\n"
        f"show(files=[{str(picture)!r}], json=False, csv=False)\n"
        "print({'PIL', 'torch', 'numpy', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_one_odd_file_does_not_end_a_folder(tmp_path: Path) -> None:
    lora = {"lora_name": "ink.safetensors", "strength_model": ["99", 0], "model": ["4", 0]}
    sampler = {**COMFYUI["3"], "inputs": COMFYUI["3"]["inputs"] | {"model": ["10", 0]}}
    odd = {**COMFYUI, "3": sampler, "10": {"class_type": "LoraLoader", "inputs": lora}}
    png_with(tmp_path / "1.png", prompt=odd)
    png_with(tmp_path / "2.png", prompt=COMFYUI)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "lora: ink.safetensors at ['99', 0]" in result.output
    assert "2.png" in result.output
