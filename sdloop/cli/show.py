"""``sdloop show``: what a picture file says about how it was made."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sdloop.cli.entries import entry, safe
from sdloop.cli.screen import emit, say
from sdloop.errors import FileError
from sdloop.png import Record, read_record
from sdloop.recipe import PROMPTS

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="Pictures: PNG, JPEG, WebP, GIF or MP4.", show_default=False
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON line per picture.", rich_help_panel="Output"),
]


def show(files: Files, json_lines: Json = False) -> None:
    """Print what pictures were made with, be it by sdloop or by A1111.

    One that cannot be read does not hide the others; the exit code is 3 then.

    [bold]Example:[/bold] sdloop show frog-4.png
    """
    shown = 0
    for path in files:
        try:
            record = read_record(path)
        except FileError as error:
            say(f"error: {error}")
            continue
        separator = "\n" if shown and not json_lines else ""
        emit(separator + (_json_line if json_lines else _text)(path, record))
        shown += 1
    if shown < len(files):
        raise typer.Exit(FileError.exit_code)


def _json_line(path: Path, record: Record) -> str:
    return json.dumps(
        {
            "path": str(path),
            "source": record.source,
            "recipe": record.settings,
            "moving": record.moving,
            "step": record.step,
            "made": record.made,
            "a1111": record.fields,
            "left_out": record.left_out,
        }
    )


def _text(path: Path, record: Record) -> str:
    return "\n".join(_lines(path, record))


def _lines(path: Path, record: Record) -> Iterator[str]:
    """The file's name, its settings with the prompts first, then the circumstances."""
    made = {name: value for name, value in record.made.items() if value not in (None, {}, [])}
    width = max(map(len, [*record.settings, *record.moving, *made]), default=0)
    yield safe(str(path))
    if record.step:
        yield f"  {safe(_step(record.step))}"
    for name in sorted(record.settings, key=_prompts_first):
        yield from entry(name, _value(name, record.settings[name]), width)
    yield from _moving_lines(record.moving, width)
    if made:
        yield ""
    for name, value in made.items():
        yield from entry(name, _value(name, value), width)
    if record.left_out:
        yield "\n  A1111's, without a counterpart here:"
    for text in record.left_out:
        yield f"  {safe(text)}"


def _step(step: Mapping[str, Any]) -> str:
    """Before all else, for somebody who takes it for the picture."""
    return f"step {step.get('number')} of {step.get('of')}, not the finished picture"


def _moving_lines(moving: Mapping[str, Any], width: int) -> Iterator[str]:
    """What decides the frames of a file that moves; their hashes one below the other."""
    if moving:
        yield ""
    for name, value in moving.items():
        lines = name.endswith("sha256") and isinstance(value, list)
        text = "\n".join(map(str, value)) if lines else _value(name, value)
        yield from entry(name, text, width)


def _prompts_first(name: str) -> int:
    return PROMPTS.index(name) if name in PROMPTS else len(PROMPTS)


def _value(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{key} {part}" for key, part in value.items())
    if name == "loras" and isinstance(value, list):
        return "\n".join(map(_lora, value))
    if isinstance(value, list):
        separator = "x" if name.endswith("_size") else ", "
        return separator.join(
            f"{part:g}" if isinstance(part, float) else str(part) for part in value
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def _lora(values: Mapping[str, Any]) -> str:
    """A LoRA with its scale, and the sha256 of its file."""
    return f"{values.get('name')}:{values.get('scale', 1):g}  {values.get('sha256', '')}".rstrip()
