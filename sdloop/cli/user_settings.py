"""The user's settings: the settings file, the environment and ``--config``."""

import os
from pathlib import Path

import typer

from sdloop.batch.settings import NOT_FOR_ALL, Settings, read_settings
from sdloop.errors import SettingError


def standing_settings(config: str | None) -> Settings:
    """All settings except flags: ``--config``, over the environment, over the user's file."""
    named = read_settings(config) if config is not None else Settings()
    model = os.environ.get("SDLOOP_MODEL")
    environment = Settings(recipe={"model": model} if model else {})
    return named.over(environment).over(user_settings())


def user_path() -> Path:
    """The path of the settings file: ``SDLOOP_CONFIG``, or config.toml in the user's config."""
    named = os.environ.get("SDLOOP_CONFIG")
    return Path(named) if named else Path(typer.get_app_dir("sdloop")) / "config.toml"


def user_settings() -> Settings:
    """The settings in the user's file; empty if there is none."""
    path = user_path()
    # Path.exists() would raise for a folder without permission.
    if not os.path.exists(path):  # noqa: PTH110
        return Settings()
    settings = read_settings(str(path))
    for name in NOT_FOR_ALL:
        if name in settings.recipe or name in settings.command:
            raise SettingError(
                f"{path}: {name} belongs to one command, and this file is for all commands"
            )
    return settings
