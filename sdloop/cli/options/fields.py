"""Make flags from the table of settings: a row becomes a flag of each command that takes it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args

from typer.models import OptionInfo

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Own:
    """A flag of a group's own, before it has a name."""

    text: str
    flags: tuple[str, ...]
    panel: str
    metavar: str
    choices: Sequence[str]
    default: object

    def named(self, name: str, panel: str) -> Any:
        flags = self.flags
        if not any(one.startswith("--") for one in flags):
            flags = (f"--{name.replace('_', '-')}", *flags)
        metavar, choices, default = self.metavar, self.choices, self.default
        heading = self.panel or panel
        return option(heading, self.text, *flags, metavar=metavar, choices=choices, default=default)


def own(
    text: str,
    *flags: str,
    panel: str = "",
    metavar: str = "",
    choices: Sequence[str] = (),
    default: object = None,
) -> Any:
    """A flag in a group: an ``option`` with the field's name, under the heading of the group.

    ``flags`` are its other names, or all of them if there is a long one.
    """
    return _Own(
        text=text, flags=flags, panel=panel, metavar=metavar, choices=choices, default=default
    )


@dataclass_transform(kw_only_default=True, frozen_default=True)
def options(*sections: Iterable[str], panel: str = "") -> Callable[[type[Group]], type[Group]]:
    """Make a class a group of flags: its own fields, and the settings of ``sections``.

    ::

        @options(MASK, panel="Output")
        class SomeOptions:
            overwrite: bool = own("Overwrite an existing file.")
            steps: int | None = flag("steps")

    A flag that is not given is None, or False for one without a value; a field that cannot be
    None has the ``default`` of its flag. ``panel`` is the heading of its own flags in the help.
    """

    def group(cls: type[Group]) -> type[Group]:
        fields = dict(vars(cls).get("__annotations__", {}))
        for name in fields:
            made, unset = vars(cls).get(name), None
            if isinstance(made, _Own):
                unset = None if type(None) in get_args(fields[name]) else made.default
                made = made.named(name, panel)
            if isinstance(made, OptionInfo):
                _set(cls, fields, name, fields[name], made, unset)
        for name in (name for one in sections for name in one):
            if SETTINGS[name].flag and name not in fields:
                typed = SETTINGS[name].kind.typed
                _set(cls, fields, name, typed if typed is bool else typed | None, flag(name))
        cls.__annotations__ = fields
        return dataclass(frozen=True, kw_only=True, slots=True)(cls)

    return group


def _set(
    cls: type, fields: dict[str, Any], name: str, typed: Any, made: OptionInfo, unset: object = None
) -> None:
    fields[name] = Annotated[typed, made]
    setattr(cls, name, False if typed is bool else unset)
