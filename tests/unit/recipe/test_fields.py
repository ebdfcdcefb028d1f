"""The table of settings: each of its rows can be used wherever settings have names."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from sdloop.batch.settings import Settings, read_settings
from sdloop.batch.sweep import parse_axis
from sdloop.cli import app
from sdloop.cli.user_settings import user_settings
from sdloop.errors import SettingError
from sdloop.recipe.check import check_alone
from sdloop.recipe.fields import ALIASES, ROWS, parse_value
from sdloop.recipe.kinds import (
    Compound,
    Flag,
    Hash,
    Number,
    Numbers,
    Pair,
    Several,
    Text,
    Whole,
)
from sdloop.recipe.recipe import Recipe

# The command that takes the flags of a section, where it is not txt2img.
COMMANDS = {"Start": "img2img", "Mask": "inpaint", "Growth": "outpaint", "Mixture": "mix"}
COMMANDS |= {"factor": "upscale", "noise_level": "upscale"}
# A text of settings that have a grammar of their own.
TEXTS = {"guidance_interval": "0.3..5", "guidance_schedule": "linear:1..9", "losses": "blue=200"}
TEXTS |= {"embeddings": "frog.safetensors", "regions": "a frog=mask.png"}
TEXTS |= {"replace_tokens": "puppy=cat", "background": "white"}
FLAGS = [name for name, row in ROWS.items() if row.flag]


def text_of(name: str) -> str:
    """A text that is a value of the setting."""
    kind: Any = ROWS[name].kind
    if isinstance(kind, Several) and isinstance(kind.kind, Hash):
        kind = kind.kind
    match kind:
        case _ if name in TEXTS:
            return TEXTS[name]
        case Text() if kind.suggested:
            return kind.suggested[0]
        case Whole() | Number():
            return f"{kind.lowest:g}"
        case Numbers() | Pair():
            return "9,1"
        case Flag():
            return "true"
        case Hash():
            return "0" * 64
        case Compound():
            return kind.example
        case _:
            return "any"


def test_a_recipe_has_the_fields_of_the_table_and_their_defaults() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Recipe)}
    assert fields == {name: row.default for name, row in ROWS.items()}


@pytest.mark.parametrize("name", FLAGS)
def test_each_flag_is_one_of_a_command(name: str) -> None:
    row = ROWS[name]
    command = COMMANDS.get(name, COMMANDS.get(row.panel, "txt2img"))
    group: Any = get_command(app)
    chosen = group.get_command(typer.Context(group), command)
    (found,) = [option for option in chosen.params if row.flag in option.opts]
    assert set(found.opts) == {row.flag, *row.aliases}
    assert found.rich_help_panel == row.panel
    assert row.help in found.help


def test_what_has_no_flag_is_an_argument_or_found_out_from_files() -> None:
    """A new setting must have one: without it, no command can make such a picture again."""
    others = {name for name in ROWS if name not in FLAGS and not name.endswith("_sha256")}
    assert others == {"prompt", "seed", "image", "mix_prompts"}


def test_no_two_settings_share_a_name() -> None:
    names = [flag for row in ROWS.values() for flag in (row.flag, *row.aliases) if flag]
    assert len(names) == len(set(names))
    assert not ALIASES.keys() & ROWS.keys()
    assert (
        ALIASES.items()
        >= {"cfg": "guidance_scale", "lora": "loras", "sampler": "scheduler"}.items()
    )
    assert {other for row in ROWS.values() for other in row.replaces} <= ROWS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_each_can_be_swept(name: str) -> None:
    axis = parse_axis(f"{name}={text_of(name)}".replace(",", r"\,"))
    assert list(axis) == [parse_value(name, text_of(name))]


@pytest.mark.parametrize("name", ROWS)
def test_each_is_checked_and_its_errors_are_about_it(name: str) -> None:
    value = check_alone(name, parse_value(name, text_of(name)))
    assert check_alone(name, value) == value
    if not isinstance(ROWS[name].kind, Numbers):  # these are checked with the steps that they are
        with pytest.raises(SettingError, match=f"^{name}") as caught:
            check_alone(name, object())
        assert caught.value.field == name


@pytest.mark.parametrize("name", ROWS)
def test_each_is_a_key_of_settings_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.of({name: 1}).recipe == {name: 1}
    value = parse_value(name, text_of(name))
    written = [*value] if isinstance(value, tuple) else value
    told = repr(written) if not isinstance(written, bool) else str(written).lower()
    path = tmp_path / "one.toml"
    path.write_text(f"{name} = {told}\n", encoding="utf-8")
    monkeypatch.setenv("SDLOOP_CONFIG", str(path))
    try:
        assert read_settings(str(path)).recipe == {name: written}
    except SettingError as error:  # of those that need others beside them
        assert error.field in ROWS, error
        return
    if ROWS[name].for_all:
        assert user_settings().recipe == {name: written}
    else:
        with pytest.raises(SettingError, match=f"{name} belongs to one command"):
            user_settings()
