"""Guidance on the command line: flags, settings files, and the metadata of pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img")
FLAGS = ["a cat", "--seed", "4", "--size", "32x32", "--scheduler", "euler"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


@pytest.mark.parametrize(
    ("flags", "recorded"),
    [
        (["--guidance", "apg"], {"guidance": "apg:eta=0:momentum=-0.5"}),
        (["--guidance", "cfg++"], {"guidance": "cfg++", "guidance_scale": 0.6}),
        (["--guidance", "threshold:limit=1"], {"guidance": "threshold:percentile=0.995:limit=1"}),
        (["--guidance-interval", "..5"], {"guidance_interval": "0..5", "guidance_scale": 7.5}),
        (["--guidance-schedule", "cosine:1..9"], {"guidance_schedule": "cosine:1..9"}),
        (["--pag-scale", "3"], {"pag_scale": 3, "pag_layers": "mid"}),
        (["--slg-scale", "2", "--slg-layers", "up"], {"slg_scale": 2, "slg_layers": "up"}),
        (["--reuse", "2"], {"reuse": 2}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_picture_remakes_itself(flags: list[str], recorded: dict[str, object]) -> None:
    TXT2IMG.make(*FLAGS, "-o", "plain.png")
    TXT2IMG.make(*FLAGS, *flags, "-o", "led.png")
    assert pixels("led.png") != pixels("plain.png")
    settings = read_record(Path("led.png")).settings
    assert {name: settings.get(name) for name in recorded} == recorded
    shown = CliRunner().invoke(app, ["show", "led.png", "--json"])
    recipe = json.loads(shown.stdout)["recipe"]
    Path("again.jsonl").write_text(json.dumps(recipe), encoding="utf-8")
    result = TXT2IMG.run("--from-file", "again.jsonl", "-o", "again.png")
    assert result.exit_code == 0, result.stderr
    assert pixels("again.png") == pixels("led.png")


def test_a_schedule_from_a_file_is_in_the_recipe() -> None:
    Path("scales.txt").write_text("1\n4.5\n9\n", encoding="utf-8")
    (made,) = TXT2IMG.plan(*FLAGS, "--guidance-schedule", "scales.txt")
    assert made["guidance_schedule"] == "1,4.5,9"
    assert made == TXT2IMG.plan(*FLAGS, "--guidance-schedule", "1, 4.5, 9")[0]
    missing = TXT2IMG.refused(*FLAGS, "--guidance-schedule", "none.txt", code=3)
    assert missing.startswith("cannot read none.txt")


def test_flags_take_the_place_of_what_a_file_says() -> None:
    Path("a.toml").write_text('guidance_schedule = "1,9"\nguidance = "apg"\n', encoding="utf-8")
    (made,) = TXT2IMG.plan(*FLAGS, "--config", "a.toml", "-g", "3", "--guidance", "cfg")
    assert made["guidance_scale"] == 3
    assert not {"guidance", "guidance_schedule"} & set(made)
    (kept,) = TXT2IMG.plan(*FLAGS, "--config", "a.toml")
    assert kept["guidance_schedule"] == "1,9"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--guidance", "apg:norm"], "guidance apg:norm must be a number, got ''"),
        (["--guidance", "cfg++", "-g", "7"], "guidance cfg++ needs scales from 0 to 1"),
        (["--guidance-interval", "5..1"], "guidance_interval must have the lower sigma first"),
        (["--guidance-schedule", "1..9"], "guidance_schedule must be a number, got '1..9'"),
        (["--pag-layers", "mid"], "pag_layers needs pag_scale"),
        (["-g", "1", "--guidance", "apg"], "guidance needs guidance, and guidance_scale 1"),
    ],
    ids=str,
)
def test_bad_input_is_refused(flags: list[str], message: str) -> None:
    assert TXT2IMG.refused(*FLAGS, *flags).startswith(message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--guidance-interval", "90..99"],
            "guidance_interval must contain the sigma of at least one step",
        ),
        (["--pag-scale", "1", "--pag-layers", "top"], "pag_layers must name layers with self-att"),
    ],
    ids=str,
)
def test_what_needs_the_model_to_be_judged_is_refused_with_it(
    flags: list[str], message: str
) -> None:
    result = TXT2IMG.run(*FLAGS, *flags)
    assert result.exit_code == 2
    assert f"sdloop: error: {message}" in result.stderr


def test_other_ways_of_making_pictures_are_guided_as_well() -> None:
    TXT2IMG.make(*FLAGS, "-o", "a.png")
    flags = ["--guidance-interval", "0.01..20", "--guidance", "apg", "--pag-scale", "1"]
    for command, *more in (
        ("img2img", "a.png", "a dog"),
        ("upscale", "a.png", "a dog"),
        ("mix", "a cat", "a dog"),
    ):
        usual = ["--scheduler", "euler", "--seed", "4", "--steps", "4"]
        made = [
            CliRunner().invoke(
                app, [command, *more, *usual, *extra, "-o", f"{command}{number}.png"]
            )
            for number, extra in enumerate(([], flags))
        ]
        assert [one.exit_code for one in made] == [0, 0], made[-1].output
        assert pixels(f"{command}0.png") != pixels(f"{command}1.png")


@pytest.mark.slow
def test_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "sdloop", "txt2img", *FLAGS, "--steps", "2", "-q"]
    command += ["--guidance", "apg", "--guidance-interval", "..20", "-o", "a.png"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "a.png\n", "")
    TXT2IMG.make(*FLAGS, "--guidance", "apg", "--guidance-interval", "..20", "-o", "b.png")
    assert pixels("a.png") == pixels("b.png")
