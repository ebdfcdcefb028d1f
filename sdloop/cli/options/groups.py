"""Turn groups of options into flags for typer.

A command takes whole groups, which are dataclasses with annotated fields. ``with_options`` gives
typer each field as a separate option::

    @with_options
    def command(prompt: PromptArgument, *, recipe: RecipeOptions, output: OutputOptions): ...
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import typer

from sdloop.batch.command_settings import CommandSettings

_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(CommandSettings)
    if field.default not in (None, "mini")
}


def option(
    panel: str,
    text: str,
    *flags: str,
    metavar: str = "",
    choices: Sequence[str] = (),
    default: object = None,
) -> Any:
    """A flag under the heading ``panel``; the first of ``flags`` gives the name of the setting.

    ``choices`` are for shell completion; without a ``metavar`` they are the only valid values.
    ``default`` is the default that the help shows, if it is not that of the command's setting.
    """
    name = flags[0].strip("-").replace("-", "_")
    shown = _DEFAULTS.get(name) if default is None else default
    if shown is not None:
        text += f" [default: {shown}]"
    return typer.Option(
        *flags,
        metavar=metavar or "|".join(choices) or None,
        help=text,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=(lambda: list(choices)) if choices else None,
    )


def argument(metavar: str, text: str, *choices: str) -> Any:
    """An argument, which is given without a flag; ``choices`` are for shell completion."""
    complete = (lambda: list(choices)) if choices else None
    return typer.Argument(metavar=metavar, help=text, show_default=False, autocompletion=complete)


def given(*groups: Any) -> dict[str, Any]:
    """The flags that were given, by the names of their settings."""
    values = {
        field.name: getattr(group, field.name)
        for group in groups
        for field in dataclasses.fields(group)
    }
    return {
        name: value
        for name, value in values.items()
        if value not in (None, []) and value is not False
    }


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Make the fields of a command's option groups parameters of the command, for typer.

    typer reads the signature of a function and knows no groups. So it gets a signature in which
    each group is replaced by its fields; when called, the values are put back into groups.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    parameters = inspect.signature(command).parameters.values()
    plain = [parameter for parameter in parameters if parameter.name not in groups]
    unfolded = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=annotations[field.name],
        )
        for kind in groups.values()
        for annotations in [get_type_hints(kind, include_extras=True)]
        for field in dataclasses.fields(kind)
    ]

    @functools.wraps(command)
    def unfolding(**values: Any) -> None:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        command(**values)

    unfolding.__dict__["__signature__"] = inspect.Signature([*plain, *unfolded])
    return unfolding
