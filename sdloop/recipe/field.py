"""One row of the table of settings: everything about a setting except its effect."""

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from sdloop.recipe.kinds import Kind


@dataclass(frozen=True, slots=True)
class Field:
    """A setting: its allowed values, its flag, and how it combines with other settings.

    kind
        The allowed values, and how they are written.
    help
        The help of its flag. A setting without help has no flag: it is read from files, or it is
        an argument of the command.
    default
        The default value. ``None``: the model decides, or the setting is off. ``MISSING``: the
        setting must be given.
    flag, aliases, metavar
        The flag, if it is not ``--`` and the name; its other names; the placeholder for its value
        in the help.
    usual
        The default that the help shows, if that is not ``default``.
    panel
        Its heading in the help; ``section`` sets it.
    common
        Whether ``--help`` shows the flag; ``--help-all`` shows all of them.
    for_all
        Whether a user's own settings file may set it for every picture.
    replaces
        Settings that this one overrides: if it is given as a flag, these are not taken from a
        settings file.
    keyed
        Whether its value is in the content key. If not, it changes no pixel, or another value in
        the key stands for it.
    essential
        Whether the picture depends on it so much that ``rerun`` never drops it by itself.
    per_picture
        Whether pictures of one forward pass may have different values.
    """

    kind: Kind
    help: str = ""
    _: KW_ONLY
    default: Any = None
    flag: str = ""
    aliases: tuple[str, ...] = ()
    metavar: str = ""
    usual: object = None
    panel: str = ""
    common: bool = False
    for_all: bool = True
    replaces: tuple[str, ...] = ()
    keyed: bool = True
    essential: bool = False
    per_picture: bool = False


def section(panel: str, rows: Mapping[str, Field], *, for_all: bool = True) -> dict[str, Field]:
    """Rows with the heading ``panel``, and with the name of each flag filled in."""
    return {
        name: dataclasses.replace(
            row,
            panel=panel,
            flag=(row.flag or f"--{name.replace('_', '-')}") if row.help else "",
            for_all=row.for_all and for_all,
        )
        for name, row in rows.items()
    }
