"""Make flags from the table of settings: a row becomes a flag of each command that takes it."""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, TypeVar

from sdloop.cli.options.groups import option
from sdloop.recipe.field import Field
from sdloop.recipe.fields import SETTINGS

Group = TypeVar("Group")


def flag(name: str, *, panel: str = "", help: str = "", usual: object = None) -> Any:
    """The flag of a setting, from its row; arguments given here override the row's values."""
    row = SETTINGS[name]
    return option(
        panel or row.panel,
        help or row.help,
        *(row.flag, *row.aliases),
        metavar=row.metavar,
        choices=getattr(row.kind, "suggested", ()),
        default=_shown_default(row) if usual is None else usual,
    )


def _shown_default(row: Field) -> object:
    if row.usual is not None or row.default in (None, "mini", (), False, MISSING):
        return row.usual
    return row.default


def takes(*sections: Iterable[str]) -> Callable[[type[Group]], type[Group]]:
    """Make a class a group of flags: its own fields and the settings of ``sections``."""

    def group(cls: type[Group]) -> type[Group]:
        own = dict(cls.__annotations__) if "__annotations__" in vars(cls) else {}
        names = [
            name for one in sections for name in one if SETTINGS[name].flag and name not in own
        ]
        cls.__annotations__ = own | {name: _annotation(name) for name in names}
        for name in names:
            setattr(cls, name, False if SETTINGS[name].kind.typed is bool else None)
        return dataclass(frozen=True, kw_only=True, slots=True)(cls)

    return group


def _annotation(name: str) -> Any:
    typed = SETTINGS[name].kind.typed
    return Annotated[typed if typed is bool else typed | None, flag(name)]
