"""The names of settings in files: the current names, and those of earlier versions."""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.fields import SETTINGS
from sdloop.rules import hint_for

# Names of settings in the files of earlier versions.
OLD_NAMES = {
    "scale": "factor",
    "guides": "losses",
    "guides_sha256": "losses_sha256",
    "guide_every": "loss_every",
    "guide_mode": "loss_mode",
    "guide_clip": "loss_clip",
    "guide_clip_sha256": "loss_clip_sha256",
}


def with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from a file, under their current names."""
    return {OLD_NAMES.get(name, name): value for name, value in values.items()}


def check_keys(values: Mapping[str, Any], *, source: str = "a recipe") -> None:
    """Raise ``SettingError`` for an unknown key; the error suggests the nearest known one."""
    for key in values:
        if key not in SETTINGS:
            hint = hint_for(key, SETTINGS, otherwise=f"it takes {', '.join(SETTINGS)}")
            raise SettingError(f"{source} has an unknown key {key!r}: {hint}")
