"""One row of the table of settings: all that is known of a setting apart from what it does."""

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from sdloop.recipe.kinds import Kind


@dataclass(frozen=True, slots=True)
class Field:
    """A setting: its values, its flag, and how it goes together with others.

    kind
        What its values may be, and how they are written.
    help
        The help of its flag. Without it the setting has no flag: it is found out from files, or
        an argument of the command.
    default
        What it is where nobody sets it. ``None`` leaves it to the model, or out; a setting whose
        default is ``MISSING`` must be given.
    flag, aliases, metavar
        The flag, where it is not ``--`` and the name; its other names; what the help shows as its
        value.
    usual
        What the help shows as the default, where that is not ``default``.
    panel
        The heading of the help that it stands under, which is that of its section of the table.
    common
        Whether it is one of the few flags that ``--help`` shows.
    for_all
        Whether a user's own settings file may set it for every picture.
    replaces
        The settings that give way to it: who sets this one in a flag does not want these from a
        settings file.
    keyed
        Whether its value is in the content key. Where it is not, it decides no pixel, or something
        else in the key stands for it.
    essential
        Whether it makes a picture what it is: ``rerun`` does not leave it out by itself.
    per_picture
        Whether pictures of one forward pass may differ in it.
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
    """Rows under one heading, each with its flag's name written in if it has a flag."""
    return {
        name: dataclasses.replace(
            row,
            panel=panel,
            flag=(row.flag or f"--{name.replace('_', '-')}") if row.help else "",
            for_all=row.for_all and for_all,
        )
        for name, row in rows.items()
    }
