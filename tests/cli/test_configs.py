"""Every file in configs/ runs with the command in its first lines, up to the sampling."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdloop.batch.settings import read_settings
from sdloop.cli import app

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
    config: Path, tiny_model: Path, tiny_sdxl_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models of the hub are not here: a tiny one of their family takes their place."""
    monkeypatch.chdir(ROOT)
    settings = read_settings(str(config)).recipe
    model = tiny_sdxl_model if "xl" in settings.get("model", "") else tiny_model
    result = CliRunner().invoke(app, [*command(config), "--model", str(model), "--dry-run"])
    assert result.exit_code == 0, result.stderr
    for line in result.stdout.splitlines():
        recipe = json.loads(line)
        assert {name: recipe[name] for name in settings if name not in MODEL} == {
            name: settings[name] for name in settings if name not in MODEL
        } | ({"seed": recipe["seed"]} if "seed" in settings else {})


MODEL = ("model", "revision", "variant", "vae")


def test_the_gallery_is_what_the_embedded_model_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = command(ROOT / "configs" / "mini-gallery.toml")
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.stderr
    assert {json.loads(line)["model"] for line in result.stdout.splitlines()} == {"mini"}
