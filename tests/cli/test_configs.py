"""Every file in configs/ runs with the command in its first lines, up to the sampling."""

import json
import shlex
from pathlib import Path

import pytest
from helpers.loras import lora_pairs, save_kohya
from helpers.tiny import tiny_sd1, tiny_sdxl
from typer.testing import CliRunner

from sdloop.batch.settings import read_settings
from sdloop.cli import app
from sdloop.recipe.presets import PRESETS, parse_preset, with_preset

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))


def command(config: Path) -> list[str]:
    """The command in the comment at the file's top, without its first word."""
    lines = config.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("#   sdloop ")]
    assert f"configs/{config.name}" in line
    return shlex.split(line.removeprefix("#   sdloop "))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_begins_with_what_it_is_for_and_how_to_run_it(config: Path) -> None:
    first = config.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")
    assert command(config)[0] == "txt2img"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_command_of_a_config_plans_its_pictures(
    config: Path,
    tiny_model: Path,
    tiny_sdxl_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The models and LoRAs of the hub are not here: tiny ones take their place."""
    monkeypatch.chdir(ROOT)
    settings = read_settings(str(config)).recipe
    xl = "xl" in settings.get("model", "")
    flags = ["--model", str(tiny_sdxl_model if xl else tiny_model)]
    if "loras" in settings:
        pairs = lora_pairs(tiny_sdxl() if xl else tiny_sd1(), parts=("unet",))
        flags += ["--lora", str(save_kohya(pairs, tmp_path / "tiny.safetensors"))]
    result = CliRunner().invoke(app, [*command(config), *flags, "--dry-run"])
    assert result.exit_code == 0, result.stderr
    settings = with_preset(settings)
    for line in result.stdout.splitlines():
        recipe = json.loads(line)
        assert {name: recipe[name] for name in settings if name not in MODEL} == {
            name: settings[name] for name in settings if name not in MODEL
        } | ({"seed": recipe["seed"]} if "seed" in settings else {})


MODEL = ("model", "revision", "variant", "vae", "loras")


def test_each_preset_has_one() -> None:
    named = [read_settings(str(config)).recipe.get("preset", "") for config in CONFIGS]
    assert {parse_preset(name)[0] for name in named if name} == PRESETS.keys()


def test_the_gallery_is_what_the_embedded_model_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = command(ROOT / "configs" / "mini-gallery.toml")
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.stderr
    assert {json.loads(line)["model"] for line in result.stdout.splitlines()} == {"mini"}
