"""Settings files, and the priority of several sources.

A settings file is TOML: fields of the Recipe at the top, settings of the command in a table::

    steps = 30
    scheduler = "dpmpp-2m"

    [command]
    device = "cuda"
    outdir = "pictures"

The first of these sources that has a setting decides it: the line of a prompt file, the flags,
``--config``, the environment (``SDLOOP_MODEL``), the user's settings file, the default.
"""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdloop.batch.command_settings import COMMAND_FIELDS, CommandSettings
from sdloop.batch.prompts import Prompt
from sdloop.batch.text_input import read_text
from sdloop.errors import SettingError
from sdloop.recipe.fields import PRESET, SETTINGS
from sdloop.recipe.names import OLD_NAMES
from sdloop.recipe.presets import with_preset
from sdloop.recipe.recipe import FIELDS, Recipe
from sdloop.rules import hint_for

_KEYS = (*FIELDS, *PRESET)  # of settings files

# Settings that must not be a silent default for every picture.
NOT_FOR_ALL = (*(name for name, row in SETTINGS.items() if not row.for_all), "count", "output")

# If a source sets the first of these, the others are not taken from lower sources: a revision
# belongs to its model, and an exact file name needs no folder or format.
_REPLACES = {name: row.replaces for name, row in SETTINGS.items()} | {
    "output": ("outdir", "format")
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of one source, or of several merged: only those that are set."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    command: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Split values into fields of the Recipe and of the command; others are left out."""
        return cls(
            recipe={name: values[name] for name in SETTINGS if name in values},
            command={name: values[name] for name in COMMAND_FIELDS if name in values},
        )

    def over(self, lower: "Settings") -> "Settings":
        """Merge both; these settings win."""
        return Settings(
            recipe=_over(self.recipe, lower.recipe), command=_over(self.command, lower.command)
        )


def merged(prompts: Iterable[Prompt], settings: Settings) -> list[dict[str, Any]]:
    """The settings of each prompt's line over ``settings``."""
    return [dict(Settings(recipe=one.settings).over(settings).recipe) for one in prompts]


def _over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    dropped = {other for name in upper for other in _REPLACES.get(name, ())}
    kept = {name: value for name, value in lower.items() if name not in dropped}
    return kept | dict(upper)


def read_settings(name: str) -> Settings:
    """The settings in a TOML file, after checks of each value and of their combination.

    Raises ``FileError`` if it cannot be read, ``SettingError``, which names the file, for an
    unknown or invalid setting.
    """
    try:
        values = tomllib.loads(read_text(name))
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{name} is not valid TOML: {error}") from error
    command = values.pop("command", {})
    if not isinstance(command, dict):
        raise SettingError(f"{name}: command must be a table, [command], got {command!r}")
    _refuse_unknown(values, _KEYS, COMMAND_FIELDS, f"{name} has", "it belongs under [command]")
    _refuse_unknown(command, COMMAND_FIELDS, _KEYS, f"[command] in {name} has", "it belongs above")
    settings = Settings(recipe=values, command=command)
    check_settings(settings, name)
    return settings


def check_settings(settings: Settings, source: str) -> None:
    """Raise ``SettingError``, which names the source, for invalid values."""
    try:
        Recipe(**with_preset({"prompt": "", "seed": 0, **settings.recipe}))
        CommandSettings(**settings.command)
    except SettingError as error:
        raise SettingError(f"{source}: {error}", field=error.field) from error


def _refuse_unknown(
    values: Mapping[str, Any],
    known: Collection[str],
    elsewhere: Collection[str],
    subject: str,
    direction: str,
) -> None:
    for key in values:
        if key in known:
            continue
        if key in elsewhere:
            raise SettingError(f"{subject} the key {key!r} in the wrong place: {direction}")
        if key in OLD_NAMES:
            raise SettingError(f"{subject} the key {key!r}, which is now called {OLD_NAMES[key]!r}")
        hint = hint_for(key, [*known, *elsewhere], otherwise=f"it takes {', '.join(known)}")
        raise SettingError(f"{subject} an unknown key {key!r}: {hint}")
