"""Settings files, the user's config file, and the precedence of all sources."""

import os
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.settings import Settings, read_settings
from sdloop.cli import app
from sdloop.cli.user_settings import standing_settings, user_path, user_settings
from sdloop.errors import FileError, SettingError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", *arguments])


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_what_is_set_can_be_got_shown_and_unset() -> None:
    assert run("set", "steps", "30").exit_code == 0
    assert run("set", "device", "cuda:1").exit_code == 0
    assert run("set", "target_size", "512x768").exit_code == 0
    assert run("get", "steps").stdout == "30\n"
    assert run("get", "target_size").stdout == "512x768\n"
    expected = {"steps": 30, "target_size": [512, 768], "command": {"device": "cuda:1"}}
    assert tomllib.loads(run("show").stdout) == expected
    assert run().stdout == run("show").stdout
    assert run("unset", "device").exit_code == 0
    assert user_settings() == Settings(recipe={"steps": 30, "target_size": [512, 768]})


def test_another_model_does_not_inherit_the_revision_of_the_last() -> None:
    run("set", "model", "a/b")
    run("set", "revision", "main")
    run("set", "model", "c/d")
    assert user_settings().recipe == {"model": "c/d"}


def test_the_path_is_told_and_can_be_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("path").stdout == f"{os.environ['XDG_CONFIG_HOME']}/sdloop/config.toml\n"
    monkeypatch.setenv("SDLOOP_CONFIG", str(tmp_path / "own.toml"))
    assert user_path() == tmp_path / "own.toml"
    run("set", "model", "東京")
    assert 'model = "東京"' in (tmp_path / "own.toml").read_text(encoding="utf-8")


def test_nothing_is_set_at_first() -> None:
    result = run("show")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "no settings in" in result.stderr


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["set", "steps", "0"], "steps must be at least 1, got 0"),
        (["set", "steps", "many"], "steps must be a whole number"),
        (["set", "batch_size", "0"], "batch_size must be at least 1"),
        (["set", "device", "gpu"], "device must be auto, cuda"),
        (["set", "format", "gif"], "format must be one of png, jpg, webp"),
        (
            ["set", "scheduler", "eular"],
            "got 'eular': did you mean euler?",
        ),
        (["set", "outdir", ""], "outdir must not be empty"),
        (["set", "stpes", "4"], "unknown setting 'stpes': did you mean 'steps'?"),
        (["set", "seed", "4"], "unknown setting 'seed'"),
        (["get", "steps"], "steps is not set"),
        (["unset", "steps"], "steps is not set"),
    ],
)
def test_what_is_refused_leaves_the_file_as_it_was(arguments: list[str], complaint: str) -> None:
    run("set", "model", "a/b")
    before = user_path().read_bytes()
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
    assert user_path().read_bytes() == before


def test_a_setting_that_contradicts_another_is_refused() -> None:
    run("set", "eta", "0.5")
    result = run("set", "scheduler", "euler")
    assert result.exit_code == 2
    assert "eta has no effect with the scheduler euler" in result.stderr


def test_the_file_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, link = tmp_path / "real.toml", tmp_path / "link.toml"
    target.write_text("steps = 4\n")
    link.symlink_to(target)
    monkeypatch.setenv("SDLOOP_CONFIG", str(link))
    run("set", "steps", "5")
    assert link.is_symlink()
    assert target.read_text() == "steps = 5\n"
    assert sorted(tmp_path.iterdir()) == [link, target]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("scale = 2", "a.toml has the key 'scale', which is now called 'factor'"),
        ("stpes = 4", "a.toml has an unknown key 'stpes': did you mean 'steps'?"),
        ("zzz = 4", "it takes prompt, seed"),
        ('device = "cpu"', "'device' in the wrong place: it belongs under [command]"),
        ("[command]\nsteps = 4", "'steps' in the wrong place: it belongs above"),
        ('[command]\nmodel_dir = "x"', "[command] in "),
        ("command = 4", "command must be a table"),
        ("steps = 0", "a.toml: steps must be at least 1, got 0"),
        ("steps = ", "a.toml is not valid TOML"),
        ('[command]\nbatch_size = "4"', "batch_size must be a whole number"),
        ("seed = true", "seed must be a whole number"),
    ],
)
def test_settings_files_are_airtight(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(write(tmp_path / "a.toml", text))
    assert complaint in str(caught.value)


def test_a_settings_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_settings(str(tmp_path / "missing.toml"))


def test_the_users_file_holds_no_prompt_or_seed() -> None:
    write(user_path(), "seed = 4")
    with pytest.raises(
        SettingError, match="seed belongs to one command, and this file is for all commands"
    ):
        user_settings()


def test_who_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(user_path(), 'model = "user"\nsteps = 1\neta = 0.1\n[command]\ndtype = "fp16"')
    assert standing_settings(None).recipe["model"] == "user"
    monkeypatch.setenv("SDLOOP_MODEL", "environment")
    assert standing_settings(None).recipe["model"] == "environment"
    config = write(tmp_path / "a.toml", 'model = "config"\nsteps = 2')
    standing = standing_settings(config)
    assert standing.recipe == {"model": "config", "steps": 2, "eta": 0.1}
    assert standing.command == {"dtype": "fp16"}
    flags = Settings(recipe={"model": "flag"})
    assert flags.over(standing).recipe == {"model": "flag", "steps": 2, "eta": 0.1}
    monkeypatch.setenv("SDLOOP_MODEL", "")
    assert standing_settings(None).recipe["model"] == "user"


def test_what_belongs_to_a_model_or_a_name_goes_with_it() -> None:
    lower = Settings(
        recipe={"model": "a/b", "revision": "r", "variant": "fp16", "vae": "c/d", "steps": 4},
        command={"outdir": "pictures", "format": "jpg", "dtype": "bf16"},
    )
    assert Settings(recipe={"model": "e/f"}).over(lower).recipe == {"model": "e/f", "steps": 4}
    assert Settings(recipe={"variant": "x"}).over(lower).recipe["revision"] == "r"
    upper = Settings(command={"output": "a.png"})
    assert upper.over(lower).command == {"output": "a.png", "dtype": "bf16"}


@pytest.mark.parametrize(
    "values",
    [{"device": "cuda:x"}, {"dtype": "fp7"}, {"metadata": "some"}, {"count": 0}, {"output": 4}],
)
def test_command_settings_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        CommandSettings(**values)  # type: ignore[arg-type]
