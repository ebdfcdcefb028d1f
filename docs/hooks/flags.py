"""mkdocs hook: the flag reference, generated from the command line when the site is built.

In ``docs/flags.md`` a marker is replaced by a table for each group of flags, and by a list of the
flags of each command.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MARKER = "<!-- flags -->"
ARGUMENTS = "Arguments"
OTHERS = "Other"


@dataclass(kw_only=True)
class Row:
    """A flag with the same names and help in each of ``commands``."""

    names: str
    values: str
    help: str
    default: str
    commands: list[str] = field(default_factory=list)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return markdown.replace(MARKER, reference()) if page.file.src_uri == "flags.md" else markdown


def reference() -> str:
    """All flags by group, then all commands with their flags."""
    commands = dict(commands_of_sdloop())
    groups: dict[str, dict[tuple[str, ...], Row]] = {}
    for name, command in commands.items():
        for flag in flags_of(command):
            help_, default = help_and_default(flag)
            names, values = ", ".join(flag.opts), value_of(flag)
            group = groups.setdefault(flag.rich_help_panel or OTHERS, {})
            row = Row(names=names, values=values, help=help_, default=default)
            group.setdefault((names, values, help_, default), row).commands.append(name)
    parts = [table(group, list(rows.values())) for group, rows in groups.items()]
    return "\n\n".join([*parts, "## The flags of each command", *map(entry, commands.items())])


def commands_of_sdloop() -> Iterator[tuple[str, Any]]:
    """Each command with its full name, such as "inspect noise"; groups of commands are left out."""
    import typer

    from sdloop.cli import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "list_commands"):
            yield name, command
            return
        context = typer.Context(command)  # parses nothing, so the command stays as it was
        for one in command.list_commands(context):
            yield from walk(f"{name} {one}".strip(), command.get_command(context, one))

    yield from walk("", typer.main.get_command(app))


def flags_of(command: Any) -> list[Any]:
    """The flags that have a help text, without --help; flags for debugging have none."""
    flags = [one for one in command.params if one.opts[0].startswith("-")]
    return [one for one in flags if getattr(one, "help", None) and "--help" not in one.opts]


def arguments_of(command: Any) -> list[Any]:
    return [one for one in command.params if not one.opts[0].startswith("-")]


def help_and_default(flag: Any) -> tuple[str, str]:
    """The help of a flag and its default, in Markdown; the default may be part of the help text."""
    text = plain(flag.help)
    found = re.search(r"\s*\[default: (.*?)\]", text)
    if found is not None:
        return escaped(text.replace(found[0], "")), escaped(found[1])
    found = re.search(r"\s*Default: (.*?)\.?$", text)
    if found is not None:
        return escaped(text.replace(found[0], "")), escaped(found[1])
    shown = flag.show_default and flag.default is not None and not callable(flag.default)
    default = str(flag.default) if shown and not isinstance(flag.default, bool) else ""
    return escaped(text), escaped(default)


def plain(text: str) -> str:
    """The help on one line, without rich's markup."""
    text = re.sub(r"(?<!\\)\[/?(?:bold|dim|italic|cyan|green|yellow)\]", "", text)
    return " ".join(text.replace("\\[", "[").split())


def escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text)


def value_of(flag: Any) -> str:
    is_switch = getattr(flag, "is_flag", False)
    return "" if is_switch else (flag.metavar or "VALUE")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def table(group: str, rows: list[Row]) -> str:
    """A table of the flags of a group, one row for each."""
    lines = [f"## {group}", "", "| flag | what it does | default | commands |", "|---|---|---|---|"]
    for row in rows:
        names = " ".join(code(name) for name in row.names.split(", "))
        values = code(row.values.replace("|", "\\|"))
        where = ", ".join(row.commands)
        cells = (f"{names} {values}".strip(), row.help, row.default, where)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def entry(named: tuple[str, Any]) -> str:
    """A command: its usage, what it does, and the names of its flags."""
    name, command = named
    arguments = " ".join(one.metavar or one.name.upper() for one in arguments_of(command))
    first = plain((command.help or "").split("\n\n")[0])
    flags = ", ".join(code(one.opts[0]) for one in flags_of(command))
    call = f"sdloop {name} {arguments}".strip()
    lines = [f"### {name}", code(call), escaped(first), f"Flags: {flags}" if flags else ""]
    return "\n\n".join(line for line in lines if line)
