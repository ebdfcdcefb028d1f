"""How option groups become flags that typer understands.

A command takes whole groups, which are dataclasses of annotated fields, and ``with_options`` shows
each field to typer as an option of its own::

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
    """A flag under the heading ``panel``; the first of ``flags`` names the setting.

    ``choices`` are for the shell to complete; without a ``metavar`` they are all there are. The
    ``default`` is shown where it is not that of the command's setting of this name.
    """
    name = flags[0].strip("-").replace("-", "_")
    told = _DEFAULTS.get(name) if default is None else default
    if told is not None:
        text += f" [default: {told}]"
    return typer.Option(
        *flags,
        metavar=metavar or "|".join(choices) or None,
        help=text,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=(lambda: list(choices)) if choices else None,
    )


def given(*groups: Any) -> dict[str, Any]:
    """The flags that were given, under their settings' names."""
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
    """Let typer see the fields of a command's option groups as parameters of the command.

    typer reads a signature, where it has no place for a group: so it gets one in which every
    group is unfolded, and the call folds the values back.
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
