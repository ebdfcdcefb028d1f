"""``sdloop config``: the user's settings file, which applies to every command."""

import difflib
from typing import Annotated, Any

import typer

from sdloop.batch.command_settings import COMMAND_FIELDS
from sdloop.batch.settings import NOT_FOR_ALL, Settings, check_settings
from sdloop.cli.terminal.commands import App
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import user_path, user_settings
from sdloop.errors import SettingError
from sdloop.metadata.atomic import write_whole
from sdloop.recipe.fields import SETTINGS, parse_value
from sdloop.recipe.parse import parse_whole

KEYS = tuple(name for name in (*SETTINGS, *COMMAND_FIELDS) if name not in NOT_FOR_ALL)

config = App()

Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="Name of a setting, such as model, device, outdir or steps.",
        autocompletion=lambda: list(KEYS),
        show_default=False,
    ),
]
Value = Annotated[
    str, typer.Argument(metavar="VALUE", help="Value, written as for the flag.", show_default=False)
]


@config.callback(invoke_without_command=True)
def config_(context: typer.Context) -> None:
    """Read and change the settings of every command.

    Such as the model, the device or the folder for pictures. Without a command, print them all.

    Example:
      sdloop config set model stabilityai/stable-diffusion-xl-base-1.0
    """
    if context.invoked_subcommand is None:
        show()


@config.command()
def path() -> None:
    """Print the path of the settings file, even if it does not exist yet.

    Example:
      cat "$(sdloop config path)"
    """
    emit(str(user_path()))


@config.command()
def show() -> None:
    """Print all settings, as TOML.

    Example:
      sdloop config show
    """
    text = _toml(user_settings())
    if text:
        emit(text.rstrip("\n"))
    else:
        say(f"no settings in {user_path()}")


@config.command()
def get(key: Key) -> None:
    """Print one setting.

    Example:
      sdloop config get model
    """
    _check_key(key)
    settings = user_settings()
    values = {**settings.recipe, **settings.command}
    if key not in values:
        raise SettingError(f"{key} is not set in {user_path()}")
    value = values[key]
    emit("x".join(map(str, value)) if isinstance(value, list) else str(value))


@config.command("set")
def set_(key: Key, value: Value) -> None:
    """Check one setting and write it to the settings file.

    Comments in the file are lost.

    Example:
      sdloop config set steps 30
    """
    _check_key(key)
    parsed = _parse(key, value)
    _write(Settings.of({key: parsed}).over(user_settings()))


@config.command()
def unset(key: Key) -> None:
    """Remove one setting from the settings file.

    Example:
      sdloop config unset model
    """
    _check_key(key)
    settings = user_settings()
    left = {**settings.recipe, **settings.command}
    if key not in left:
        raise SettingError(f"{key} is not set in {user_path()}")
    del left[key]
    _write(Settings.of(left))


def _check_key(key: str) -> None:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(KEYS)}"
        raise SettingError(f"unknown setting {key!r}: {hint}")


def _parse(key: str, text: str) -> Any:
    if key in SETTINGS:
        return parse_value(key, text)
    return parse_whole(key, text) if key == "batch_size" else text


def _toml(settings: Settings) -> str:
    import tomli_w

    command = {"command": settings.command} if settings.command else {}
    return tomli_w.dumps({**settings.recipe, **command})


def _write(settings: Settings) -> None:
    path = user_path()
    check_settings(settings, "the setting is not valid")
    write_whole(path, _toml(settings).encode(), exists="overwrite")
