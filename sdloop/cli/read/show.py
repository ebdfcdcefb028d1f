"""Print the settings in picture files, as text, JSON or CSV."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from sdloop.cli.read.recorded import files_of
from sdloop.cli.read.table import csv_lines
from sdloop.cli.terminal.columns import entry, safe
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import FileError
from sdloop.metadata.picture import read_record
from sdloop.metadata.read import SavedPicture
from sdloop.metadata.record import Record
from sdloop.recipe.check import PROMPTS
from sdloop.recipe.controls import Control
from sdloop.recipe.loras import Lora


def show_files(files: Sequence[str], *, json_lines: bool, csv: bool) -> None:
    """Print the settings in each file."""
    failed: list[str] = []
    shown = _recorded(files, failed)
    if csv:
        for line in csv_lines(list(shown)):
            emit(line)
    for number, one in enumerate(shown):
        separator = "\n" if number and not json_lines else ""
        emit(separator + (_json_line if json_lines else _text)(one.path, one.record))
    if failed:
        raise typer.Exit(FileError.exit_code)


def _recorded(names: Sequence[str], failed: list[str]) -> Iterator[SavedPicture]:
    """The readable records. Others: an error for named files, a count for files in folders."""
    silent = 0
    for path, named in files_of(names):
        try:
            yield SavedPicture(path=path, record=read_record(path))
        except FileError as error:
            if named:
                say(f"error: {error}")
                failed.append(str(path))
            silent += not named
    if silent:
        say(f"skipped {silent} file{'s' if silent > 1 else ''} without settings")


_WHOSE = {
    "a1111": "A1111's",
    "sd.cpp": "stable-diffusion.cpp's",
    "mflux": "mflux's",
    "invokeai": "InvokeAI's",
    "comfyui": "ComfyUI's",
    "swarmui": "SwarmUI's",
    "fooocus": "Fooocus'",
    "drawthings": "Draw Things'",
    "novelai": "NovelAI's",
    "easydiffusion": "Easy Diffusion's",
}


def _json_line(path: Path, record: Record) -> str:
    return json.dumps(
        {
            "path": str(path),
            "source": record.source,
            "recipe": record.settings,
            "moving": record.moving,
            "step": record.step,
            "made": record.made,
            "model": record.model,
            "fields": record.fields,
            "left_out": record.left_out,
        }
    )


def _text(path: Path, record: Record) -> str:
    return "\n".join(_lines(path, record))


def _lines(path: Path, record: Record) -> Iterator[str]:
    """The file's name, its settings with the prompts first, then the facts of the run."""
    made = {name: value for name, value in record.made.items() if value not in (None, {}, [])}
    width = max(map(len, [*record.settings, *record.moving, *made]), default=0)
    yield safe(str(path))
    if record.step:
        yield f"  {safe(_step(record.step))}"
    for name in sorted(record.settings, key=_prompts_first):
        yield from entry(name, _value(name, record.values[name]), width)
    yield from _moving_lines(record.moving, width)
    if made:
        yield ""
    for name, value in made.items():
        yield from entry(name, _value(name, value), width)
    left_out = list(record.left_out)
    if record.model is not None and record.source != "a1111":  # A1111's left_out already has it
        left_out.insert(0, f"model: {record.model}")
    if left_out:
        yield f"\n  {_WHOSE[record.source]}, not supported by sdloop:"
    for text in left_out:
        yield f"  {safe(text)}"


def _step(step: Mapping[str, Any]) -> str:
    """A note at the top, because a step may be mistaken for the finished picture."""
    return f"step {step.get('number')} of {step.get('of')}, not the finished picture"


def _moving_lines(moving: Mapping[str, Any], width: int) -> Iterator[str]:
    """The settings of an animation; the hashes of its frames on one line each."""
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
    if name in ("loras", "controls", "t2i_adapters"):
        return "\n".join(map(_with_hashes, value))
    if isinstance(value, list | tuple):
        separator = "x" if name.endswith("_size") else ", "
        return separator.join(
            f"{part:g}" if isinstance(part, float) else str(part) for part in value
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def _with_hashes(one: Lora | Control) -> str:
    """A LoRA, ControlNet or T2I-Adapter as in its flag, and the sha256 of its files."""
    hashes = (value for name, value in one.to_dict().items() if name.endswith("sha256"))
    return "  ".join([str(one), *hashes])
