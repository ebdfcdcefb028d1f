"""The events of a batch as messages, and what the engines that make it have in common."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.finish import AlreadyThere, Failed, Written
from sdloop.batch.planned import Planned
from sdloop.batch.pool import Message
from sdloop.cli.make.json_line import line_of
from sdloop.models.checkpoint.value import ModelNames
from sdloop.places.path import location

if TYPE_CHECKING:
    from sdloop.models.components.load import Components

    Load = Callable[[Planned], Components]


def message_of(event: Any, *, json_lines: bool) -> Message | None:
    """The message for an outcome, or for the first step of a batch; None for other steps."""
    if isinstance(event, AlreadyThere):
        return "there", event.planned.key, ""
    if isinstance(event, Failed):
        recipe = json.dumps(event.planned.recipe.to_dict(), ensure_ascii=False)
        return "failed", event.planned.key, f"{event.error}; its recipe: {recipe}"
    if isinstance(event, Written):
        line = _json_line(event) if json_lines else str(event.path)
        return "made", event.planned.key, line
    return ("begun", "", "") if event.index == 0 else None


def keeping(load: "Load") -> "Load":
    """``load`` with a cache of one model: finding the batch size has often loaded it already."""
    last: dict[tuple[ModelNames, Path], Components] = {}

    def kept(planned: Planned) -> "Components":
        names = planned.checkpoint.names, planned.checkpoint.path
        if names not in last:
            last.clear()  # frees the memory before the next model is loaded
            last[names] = load(planned)
        return last[names]

    return kept


def folder_of(command: CommandSettings) -> tuple[Path, int | None]:
    """The folder of all pictures, and how many levels of subfolders to search.

    Without --outdir it is the current folder, searched only as deep as the file names go: it may
    have very many subfolders.
    """
    if command.outdir is not None:
        return location(command.outdir), None
    name = "" if command.output is None else command.output
    fixed = name.partition("{")[0].rpartition("/")[0]
    return (location(f"{fixed}/"), None) if fixed else (Path(), name.count("/"))


def _json_line(written: Written) -> str:
    picture = written.picture
    line = line_of(picture, written.path)
    line["seconds_per_step"] = round(picture.seconds / max(1, len(picture.sigmas)), 4)
    return json.dumps({**line, "sha256": written.sha256}, ensure_ascii=False)
