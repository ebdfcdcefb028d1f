"""Print and change the settings in the user's file."""

from typing import Any

from sdloop.batch.command_settings import COMMAND_FIELDS
from sdloop.batch.settings import NOT_FOR_ALL, Settings, check_settings
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import user_path, user_settings
from sdloop.errors import SettingError
from sdloop.metadata.atomic import write_whole
from sdloop.recipe.fields import SETTINGS, parse_value
from sdloop.recipe.parse import parse_whole
from sdloop.rules import hint_for

KEYS = tuple(name for name in (*SETTINGS, *COMMAND_FIELDS) if name not in NOT_FOR_ALL)


def show_settings() -> None:
    """Print all settings, as TOML."""
    text = _toml(user_settings())
    if text:
        emit(text.rstrip("\n"))
    else:
        say(f"no settings in {user_path()}")


def show_setting(key: str) -> None:
    """Print one setting."""
    value = _set(key)[key]
    emit("x".join(map(str, value)) if isinstance(value, list) else str(value))


def set_setting(key: str, text: str) -> None:
    """Check one setting and write it to the file."""
    _check_key(key)
    parsed = _parse(key, text)
    _write(Settings.of({key: parsed}).over(user_settings()))


def unset_setting(key: str) -> None:
    """Remove one setting from the file."""
    left = _set(key)
    del left[key]
    _write(Settings.of(left))


def _set(key: str) -> dict[str, Any]:
    """All settings in the file, among them ``key``."""
    _check_key(key)
    settings = user_settings()
    values = {**settings.recipe, **settings.command}
    if key not in values:
        raise SettingError(f"{key} is not set in {user_path()}")
    return values


def _check_key(key: str) -> None:
    if key not in KEYS:
        hint = hint_for(key, KEYS, otherwise=f"use one of {', '.join(KEYS)}")
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
