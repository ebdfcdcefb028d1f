"""``sdloop config``: the user's settings file, which applies to every command."""

from typing import Annotated

import typer

from sdloop.cli.options.groups import argument
from sdloop.cli.terminal.commands import App
from sdloop.cli.terminal.output import emit

config = App()


def _keys() -> list[str]:
    from sdloop.cli.read.settings_file import KEYS

    return list(KEYS)


Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="Name of a setting, such as model, device, outdir or steps.",
        autocompletion=_keys,
        show_default=False,
    ),
]
Value = Annotated[str, argument("VALUE", "Value, written as for the flag.")]


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
    from sdloop.cli.user_settings import user_path

    emit(str(user_path()))


@config.command()
def show() -> None:
    """Print all settings, as TOML.

    Example:
      sdloop config show
    """
    from sdloop.cli.read.settings_file import show_settings

    show_settings()


@config.command()
def get(key: Key) -> None:
    """Print one setting.

    Example:
      sdloop config get model
    """
    from sdloop.cli.read.settings_file import show_setting

    show_setting(key)


@config.command("set")
def set_(key: Key, value: Value) -> None:
    """Check one setting and write it to the settings file.

    Comments in the file are lost.

    Example:
      sdloop config set steps 30
    """
    from sdloop.cli.read.settings_file import set_setting

    set_setting(key, value)


@config.command()
def unset(key: Key) -> None:
    """Remove one setting from the settings file.

    Example:
      sdloop config unset model
    """
    from sdloop.cli.read.settings_file import unset_setting

    unset_setting(key)
