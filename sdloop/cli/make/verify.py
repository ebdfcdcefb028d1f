"""Make pictures again and tell what differs: the work of ``sdloop verify``."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import blaming
from sdloop.batch.remake import (
    RemakeOptions,
    check_code,
    located,
    own_code_of,
    request_for,
    resolving,
    wanted_again,
)
from sdloop.batch.requests import Request
from sdloop.batch.settings import Settings
from sdloop.batch.verify import Verdict, verdicts
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.model import loaded
from sdloop.cli.make.run import plan_for
from sdloop.cli.options.groups import given
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.verify import VerifyOptions
from sdloop.cli.read.recorded import recorded_files
from sdloop.cli.terminal.columns import safe
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.terminal.progress import Progress
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import BatchError, FileError, SdloopError
from sdloop.images.input.read import OpenImage
from sdloop.metadata.differences import short
from sdloop.metadata.read import SavedPicture

if TYPE_CHECKING:
    from sdloop.models.components.load import Components


def verify_files(files: Sequence[str], how: VerifyOptions) -> None:
    """Compare each file with its picture made again, and print a verdict for each."""
    found = recorded_files(files, quiet=how.quiet)
    open_named = image_opener()
    plan = _planned(found, how, open_named)
    tolerance = how.tolerance or 0
    differ = 0
    with Progress(pictures=len(plan), quiet=how.quiet) as progress:
        load = partial(_load, _command(how), progress)
        for verdict in verdicts(plan, load, open_named, watch=progress.step):
            progress.picture()
            emit(_json_line(verdict) if how.json else _text(verdict))
            differ += not verdict.is_equal(tolerance)
    if differ:
        raise BatchError(
            f"{differ} of {len(plan)} pictures differ from what their Recipes make here"
        )
    if len(plan) < len(found):
        raise typer.Exit(FileError.exit_code)


def _command(how: VerifyOptions) -> CommandSettings:
    standing = Settings(command=standing_settings(None).command)
    command = Settings.of(given(how)).over(standing).command
    wanted = ("device", "dtype", "memory", "compile", "lora_dir")
    return CommandSettings(**{name: command[name] for name in wanted if name in command})


def _load(command: CommandSettings, progress: Progress, planned: Planned) -> "Components":
    progress.loading(planned.checkpoint.name)
    return loaded(planned.checkpoint, command, [planned.recipe])


def _planned(
    found: Sequence[SavedPicture], how: VerifyOptions, open_named: OpenImage
) -> list[tuple[SavedPicture, Planned]]:
    """Each file with the plan to make its picture again; prints errors for the others."""
    resolve = resolving(open_named, may_fetch=True)
    changes = {} if how.model is None else {"model": how.model}
    asked = RemakeOptions(changes=changes, lora_dir=how.lora_dir, run_code=how.run_code)
    ready, wanted = [], []
    for one in found:
        try:
            again = _wanted(one, asked, resolve, quiet=how.quiet)
            with blaming(again.prompt.where):
                resolve(again.recipe)
        except SdloopError as error:
            say(f"error: {error}")
            if how.json:
                emit(json.dumps({"path": str(one.path), "error": str(error)}, ensure_ascii=False))
            continue
        ready.append(one)
        wanted.append(again)
    output = OutputOptions(quiet=how.quiet)
    plan = plan_for(wanted, CommandSettings(), output, open_named, check=False)
    return list(zip(ready, plan, strict=True))


def _wanted(
    one: SavedPicture, asked: RemakeOptions, resolve: Callable[..., Any], *, quiet: bool
) -> Request:
    """The Recipe of one file; a model that is now at another path does not change it."""
    recipe = one.record.recipe
    with blaming(str(one.path)):
        if one.record.moving:
            raise FileError("it is animated, and only still pictures can be compared")
        if one.record.own_code:
            raise FileError(f"it was made with {own_code_of(one)}, which sdloop does not have")
    if recipe is None:
        notices: list[str] = []
        (wanted,) = wanted_again(one, asked, resolve, notices.append)
        for line in notices if not quiet else ():
            say(f"{one.path}: {line}")
        return wanted
    with blaming(str(one.path)):
        check_code(recipe, asked)
        recipe = located(recipe, one.path.parent, {})
    moved = replace(recipe, **asked.changes)
    return request_for(moved, one.path, "{file}.png")


def _text(verdict: Verdict) -> str:
    (width, height), (other_width, other_height) = verdict.sizes
    what = str(verdict.difference)
    if verdict.difference is None:
        what = f"its size is {width}x{height}, made again it is {other_width}x{other_height}"
    lines = [f"{safe(verdict.path)}: {what}", *(f"  {safe(note)}" for note in verdict.notes)]
    if verdict.difference is None or not verdict.difference.equal:
        for name, (then, now) in verdict.made.items():
            lines.append(f"  {safe(f'{name}: {short(name, then)}, now {short(name, now)}')}")
    return "\n".join(lines)


def _json_line(verdict: Verdict) -> str:
    return json.dumps(verdict.to_dict(), ensure_ascii=False)
