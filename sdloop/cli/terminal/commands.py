"""Commands for typer: imported when they are chosen, with our own help pages and errors."""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from sdloop.cli.terminal.help_page import note_help_all, write_page
from sdloop.cli.terminal.output import no_log_lines
from sdloop.cli.terminal.usage_errors import UsageError, refuse, unknown_command

# typer imports pydantic, which takes as long as all else of `--help`, to turn the None of these
# flags into False. It gives the flag of two names either of them.
_NOT_ASKED = dict.fromkeys(("help", "help_all", "install_completion", "show_completion"), False)


class _OwnPages:
    """The help pages and the messages about wrong usage that commands and groups share.

    It stands before one of typer's classes, whose methods it calls.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **settings: Any
    ) -> Any:
        try:
            context: Any = super()  # typer's class, which mypy cannot know here
            settings.setdefault("default_map", _NOT_ASKED)
            return context.make_context(info_name, args, parent, **settings)
        except UsageError as error:
            refuse(error, _path(info_name, parent))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        note_help_all(ctx, args)
        parser: Any = super()
        return list(parser.parse_args(ctx, args))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        write_page(self, ctx, formatter)


class Command(_OwnPages, TyperCommand):
    """One command."""

    def invoke(self, ctx: Any) -> Any:
        with no_log_lines():
            return super().invoke(ctx)


class Group(_OwnPages, TyperGroup):
    """A command that has commands of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing and args[0] not in self.list_commands(ctx):
            unknown_command(ctx.command_path, args, self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def command_sections(self, ctx: Any) -> Mapping[str, Mapping[str, str]]:
        """Each heading of the help page, with the commands below it and a line about each."""
        lines = {name: first_line(self.commands[name].help) for name in self.list_commands(ctx)}
        return {"Commands": lines}


class LazyGroup(Group):
    """A group that imports a command when it is chosen.

    ``sections`` has for each command the line about it, which is the first of its own docstring.
    The command ``train-embedding`` is ``train_embedding`` in the module ``train_embedding`` of
    ``package``.
    """

    package: ClassVar[str]
    sections: ClassVar[Mapping[str, Mapping[str, str]]]

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for lines in self.sections.values() for name in lines]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = _imported(self.package, cmd_name)
        return self.commands[cmd_name]

    def command_sections(self, ctx: Any) -> Mapping[str, Mapping[str, str]]:
        return self.sections

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the names of the commands without importing them."""
        lines = [line for section in self.sections.values() for line in section.items()]
        names = [TyperCommand(name=name, callback=None, short_help=line) for name, line in lines]
        known = self.commands
        self.commands = {str(command.name): command for command in names}
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self.commands = known


class App(typer.Typer):
    """A typer app of such commands."""

    def __init__(self, **settings: Any) -> None:
        plain = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
        super().__init__(**{"cls": Group, **plain, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, **{"cls": Command, **settings})


def first_line(help_text: str | None) -> str:
    return (help_text or "").partition("\n")[0]


def _path(name: str | None, parent: Any) -> str:
    return name or "sdloop" if parent is None else f"{parent.command_path} {name}"


@functools.cache  # a worker's calls, and those of a test, have a group each
def _imported(package: str, name: str) -> Any:
    attribute = name.replace("-", "_")
    found = getattr(importlib.import_module(f"{package}.{attribute}"), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    app = App(add_completion=False)
    app.command(name)(found)
    return typer.main.get_command(app)
